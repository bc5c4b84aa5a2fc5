"""Searches over temperatures and weights: who survives, what is asked and read, and what is said about it."""

import gc
import json
import math
import pickle
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import stats

import instar
from instar.data import Batch, Samples, Source, load_data
from instar.errors import ConfigError, DataError, MismatchError, NonFiniteError, RunError
from instar.jobs.task import folder_of
from instar.models import MLP
from instar.procedures.report import report
from instar.runs.files import read_json, read_tensors
from instar.runs.run import Run
from instar.students import network
from instar.targets import Targets, TargetStore
from instar.teachers import Teacher, as_teacher
from instar.training import loop
from instar.tuning import search as tuning_search
from instar.tuning.cells import Cell, Setting
from instar.tuning.tuned import Tuned

DIGITS = load_data("digits", subset=150)
GRID = [(temperature, weight) for temperature in (1.0, 4.0, 8.0) for weight in (0.0, 0.5)]
SEARCH = {"temperatures": (1, 4, 8), "weights": (0, 0.5), "epochs": 3, "learning_rate": 0.02, "show": False}
QUICK = SEARCH | {"temperatures": (1, 4), "weights": (0,), "seeds": 2, "epochs": 1}
ONE = {"temperatures": [4], "weights": [0, 1]}


class Counting(Teacher):
    """Answers as another, and counts how often it is asked about each sample in each view."""

    def __init__(self, asked: Teacher) -> None:
        self.asked = asked
        self.counts: Counter[tuple[str, int, int]] = Counter()

    def targets(self, batch: Batch) -> Targets:
        if len(batch) > 2:  # a look at the first two says what the answers are like
            self.counts.update((batch.origin.samples.source.name, one, batch.view) for one in batch.ids.tolist())
        return self.asked.targets(batch)

    def fingerprint(self) -> str:
        return self.asked.fingerprint()

    def knows(self, samples: Samples) -> bool:
        return True


@pytest.fixture(scope="module", autouse=True)
def _garbage():
    """Every run ends with a collection, which need not walk through all that was imported."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    out = tmp_path_factory.mktemp("teacher") / "teacher"
    return instar.train("digits", MLP([24]), out=out, epochs=5, learning_rate=0.01).path


@pytest.fixture(scope="module")
def whole(teacher, tmp_path_factory):
    """A search that was never killed, its folder, and who was asked."""
    out = tmp_path_factory.mktemp("whole") / "tune"
    counting = Counting(as_teacher(teacher))
    return instar.tune(DIGITS, counting, MLP([6]), out=out, **SEARCH), out, counting


def scored(out: Path, name: str) -> np.ndarray:
    """Return error and NLL on validation of the runs of a setting by seed, `[seed, 2]`, from their result.json."""
    folders = sorted(out.glob(f"{name}-seed-*"))
    assert [folder.name for folder in folders] == [f"{name}-seed-{seed}" for seed in range(len(folders))]
    found = [json.loads((folder / "result.json").read_text())["validation"] for folder in folders]
    return np.array([[one["error"], one["nll"]] for one in found])


def shared_scores(ours: Tuned, theirs: Tuned) -> int:
    """Compare the scores of the trials that two searches share, and return how many there are."""
    known = {cell.setting: cell for cell in (theirs.baseline, *theirs.cells)}
    count = 0
    for cell in (ours.baseline, *ours.cells):
        pairs = list(zip(cell.found["nll"], known[cell.setting].found["nll"], strict=False))
        assert all(mine == other for mine, other in pairs)
        count += len(pairs)
    return count


def test_survivors_are_those_that_brute_force_over_the_recorded_scores_gives(whole):
    found, out, _ = whole
    scores = {index: scored(out, f"T{t:g}-w{w:g}") for index, (t, w) in enumerate(GRID)}
    alive, dropped = set(scores), {}
    for rung, seeds in enumerate((1, 2), start=1):
        rank = {index: (*scores[index][:seeds].mean(0), index) for index in alive}
        half = math.ceil(len(alive) / 2)
        lost = {one for one in alive if sum(rank[other] < rank[one] for other in alive) >= half}
        assert all(len(scores[one]) == seeds for one in lost)  # not a seed more
        dropped |= dict.fromkeys(lost, rung)
        alive -= lost
    assert all(len(scores[one]) == 3 for one in alive)
    assert (len(dropped), len(alive), len(scored(out, "labels"))) == (4, 2, 3)
    assert [cell.dropped for cell in found.cells] == [dropped.get(index) for index in range(len(GRID))]
    assert [cell.seeds for cell in found.cells] == [tuple(range(len(scores[index]))) for index in range(len(GRID))]
    best = min(alive, key=lambda index: (*scores[index].mean(0), index))
    assert (found.chosen.setting.temperature, found.chosen.setting.weight) == GRID[best]
    assert found.chosen.found["error"] == tuple(scores[best][:, 0])
    assert read_json(out / "tune.json") == json.loads(json.dumps(found.as_dict()))


def test_the_teacher_is_asked_once_and_every_trial_learns_from_its_store(whole, teacher):
    found, out, counting = whole
    names = Counter(name for name, _, _ in counting.counts)
    assert set(counting.counts.values()) == {1}
    assert sum(names.values()) == len(DIGITS.train) + len(DIGITS.validation)
    assert TargetStore(out / "targets").manifest.parts.keys() == {"train", "validation"}
    for cell in found.cells:
        assert {tuple(Run(path).config["teachers"]) for path in cell.runs} == {(str(out / "targets"),)}
    before = counting.counts.total()
    again = instar.tune(DIGITS, counting, MLP([6]), out=out, **SEARCH)
    assert (again, counting.counts.total()) == (found, before)


def test_the_baseline_is_the_same_run_without_a_teacher(whole):
    found, _, _ = whole
    labels, other = (Run(cell.runs[0]).config for cell in (found.baseline, found.cells[1]))
    differing = {key for key in labels if labels[key] != other[key]}
    assert differing == {"teachers", "objective"}
    assert (labels["objective"], other["objective"]) == ("HardLabels()", "SoftTargets(1) + 0.5 * HardLabels()")


def test_no_trial_reads_the_test_split(whole, teacher, tmp_path):
    found, out, _ = whole
    test = DIGITS.test.source
    noise = Source("noise", torch.full_like(test.inputs.float(), torch.nan), test.labels.flip(0), test.classes)
    poisoned = replace(DIGITS, test=Samples.all_of(noise))
    same = instar.tune(poisoned, teacher, MLP([6]), out=tmp_path / "tune", **SEARCH | {"weights": [0]})
    assert shared_scores(same, found) >= 3 + 2  # one of each candidate, and more
    for path in [*found.baseline.runs, *(run for cell in found.cells for run in cell.runs)]:
        tensors, _ = read_tensors(Path(path) / "predictions.safetensors")
        assert {name.partition(".")[0] for name in tensors} == {"validation"}
        with pytest.raises(RunError, match="was evaluated only on the validation split"):
            _ = Run(path).metrics
    assert "It was evaluated only on validation" in report(out).read_text()


def test_a_killed_search_goes_on_and_takes_no_step_twice(whole, teacher, tmp_path, monkeypatch):
    found, _, _ = whole
    fit, rate = network.fit, loop.learning_rate
    steps: list[tuple[str, int]] = []
    kills = [9, 27]  # inside the second trial of the first rung, and in the second rung
    name = ""

    def noted_fit(*arguments, **others):
        nonlocal name
        name = arguments[4].path.name
        return fit(*arguments, **others)

    def noted_rate(config, step, *others):
        if kills and len(steps) == kills[0]:
            raise KeyboardInterrupt
        steps.append((name, step))
        return rate(config, step, *others)

    monkeypatch.setattr(network, "fit", noted_fit)
    monkeypatch.setattr(loop, "learning_rate", noted_rate)
    search = SEARCH | {"weights": [0], "seeds": 2, "out": tmp_path / "tune", "checkpoint_seconds": 0}
    while kills:
        with pytest.raises(KeyboardInterrupt):
            instar.tune(DIGITS, teacher, MLP([6]), **search)
        assert len(steps) == kills.pop(0)
        assert not (tmp_path / "tune" / "tune.json").exists()
    resumed = instar.tune(DIGITS, teacher, MLP([6]), **search)
    trials = sum(len(cell.seeds) for cell in (resumed.baseline, *resumed.cells))
    assert trials == 4 + 3
    assert (len(steps), len(set(steps))) == (6 * trials, 6 * trials)
    assert shared_scores(resumed, found) >= 3 + 2


def test_trials_travel_to_other_processes(whole, teacher, tmp_path, monkeypatch):
    found, _, _ = whole
    asked = []

    def elsewhere(tasks, jobs):
        asked.append(jobs)
        assert all(folder_of(task).parent == tmp_path / "tune" for task in tasks)
        assert all(task.run.__self__.stage.given.data is None for task in tasks)  # each loads them
        return [pickle.loads(pickle.dumps(task))() for task in tasks]

    monkeypatch.setattr(tuning_search, "run_all", elsewhere)
    search = SEARCH | {"temperatures": [1, 4], "weights": [0], "seeds": 2, "jobs": 2}
    away = instar.tune(DIGITS, teacher, MLP([6]), out=tmp_path / "tune", **search)
    assert asked == [2, 2]
    assert shared_scores(away, found) >= 2 + 2


def test_a_candidate_that_diverges_is_dropped_and_a_baseline_that_does_is_told(teacher, tmp_path):
    found = instar.tune(DIGITS, teacher, MLP([6]), out=tmp_path / "one", **QUICK | {"weights": (0, 3e38)})
    assert [(cell.diverged, cell.dropped) for cell in found.cells] == [(False, None), (True, 1)] * 2
    assert str(found).count("diverged (1)*") == 2
    with pytest.raises(NonFiniteError, match=r"diverged in '.*all'; lower training\.learning_rate"):
        instar.tune(DIGITS, teacher, MLP([6]), out=tmp_path / "all", **QUICK | {"learning_rate": 1e38})


def test_a_store_is_a_teacher_at_the_temperatures_that_it_holds(teacher, tmp_path):
    store = instar.label(
        DIGITS, teacher, out=tmp_path / "store", keep="top:3", temperature=4, views="Shift(1)", num_views=2, show=False
    )
    found = instar.tune(
        DIGITS, store, MLP([6]), out=tmp_path / "tune", **QUICK | {"temperatures": [4], "weights": [0, 1]}
    )
    assert not (tmp_path / "tune" / "targets").exists()
    for cell in (found.baseline, *found.cells):
        config = Run(cell.runs[0]).config
        assert (config["views"], config["num_views"], config["view_seed"]) == ("Shift(pixels=1)", 2, 0)
    others = QUICK | ONE | {"out": tmp_path / "other"}
    with pytest.raises(MismatchError, match=r"^the target store '.*' holds 2 views 'Shift\(pixels=1\)' of seed 0"):
        instar.tune(DIGITS, store, MLP([6]), **others, views="Shift(2)", num_views=2)
    with pytest.raises(MismatchError, match=r"store' has targets at temperature 4 only, and not at 1; logits of one"):
        instar.tune(DIGITS, store, MLP([6]), out=tmp_path / "other", **QUICK)


def tuned(scores: list[list[float]], labels: list[float], criterion: str = "error") -> Tuned:
    """Return an outcome by hand; who has fewer scores than labels was dropped."""

    def cell(setting: Setting, found: list[float]) -> Cell:
        gone = None if len(found) == len(labels) else len(found)
        return Cell(setting, (), tuple(range(len(found))), dict.fromkeys(("error", "nll"), tuple(found)), gone)

    grid = [Setting(temperature, weight) for temperature in (1.0, 4.0) for weight in (0.0, 0.1)]
    cells = tuple(cell(setting, found) for setting, found in zip(grid, scores, strict=True))
    return Tuned(criterion, 120, cells, cell(Setting(None, None), labels), "instar distill ...")


SCORES = [[0.05], [0.03, 0.05, 0.02], [0.06, 0.07], [0.02, 0.03, 0.04]]
LABELS = [0.07, 0.081, 0.085]


def test_intervals_are_those_of_scipy():
    found = tuned(SCORES, LABELS)
    assert found.objective == "SoftTargets(4) + 0.1 * HardLabels()"
    chosen = np.array(SCORES[3])
    mean, low, high = found.interval
    assert mean == pytest.approx(chosen.mean())
    assert (low, high) == pytest.approx(stats.t.interval(0.95, 2, chosen.mean(), stats.sem(chosen)))
    second, baseline = (found.against(found.others[name]) for name in ("the second best", "labels alone"))
    for difference, theirs in ((second, SCORES[1]), (baseline, LABELS)):
        paired = np.array(theirs) - chosen
        expected = stats.t.interval(0.95, 2, paired.mean(), stats.sem(paired))
        assert (difference.less, difference.low, difference.high) == pytest.approx((paired.mean(), *expected))
    assert (second.distinguishable, baseline.distinguishable) == (False, True)


def test_the_surface_and_the_choice_are_told_in_words():
    assert (
        str(tuned(SCORES, LABELS))
        == """\
Mean validation error (%); in brackets the number of seeds, * dropped early
                       w=0          w=0.1
T=1               5.00 (1)*      3.33 (3)
T=4               6.50 (2)*      3.00 (3)
labels alone      7.87 (3)
Chosen: SoftTargets(4) + 0.1 * HardLabels(), validation error (%) 3.00 (95% over 3 seeds: 0.52 to 5.48).
Against the second best, SoftTargets(1) + 0.1 * HardLabels(): 0.33 points less (95%, paired by seed: -4.84 to +5.50), \
not significant with these seeds.
Against labels alone: 4.87 points less (95%, paired by seed: +4.07 to +5.67), significant.
This score is optimistic, because it is the best of 4 on the 120 validation samples. No trial was evaluated on the \
test split. This command trains and tests a student:
instar distill ..."""
    )
    lines = str(tuned([[1.0], [0.5, 0.625, 0.5], [1.0], [0.5, 0.625, 0.5]], [0.375, 0.5, 0.375], "nll")).splitlines()
    assert lines[2] == "T=1             1.0000 (1)*    0.5417 (3)"
    assert lines[5].startswith(
        "Chosen: SoftTargets(1) + 0.1 * HardLabels(), validation NLL (nats) 0.5417 (95% over 3 seeds"
    )
    assert lines[6] == "Against the second best, SoftTargets(4) + 0.1 * HardLabels(): equal for every seed."
    assert lines[7] == "Against labels alone: 0.1250 nats more for every seed, so there is no interval."


@pytest.mark.parametrize(
    ("error", "sentence", "changes"),
    [
        (
            DataError,
            "needs a labelled validation split, and there is none",
            {"data": load_data("digits", validation=0)},
        ),
        (DataError, "no training sample has a label", {"data": load_data("digits", drop_labels=1)}),
        (
            ConfigError,
            "views 'Shift\\(pixels=1\\)' are endless|'Shift\\(pixels=1\\)' are endless",
            {"views": "Shift(1)"},
        ),
        (ConfigError, "temperatures must be different numbers above 0, got 0, 1", {"temperatures": (0, 1)}),
        (ConfigError, "weights must be different numbers of at least 0, got 1, 1", {"weights": (1, 1)}),
        (ConfigError, "weights must be different numbers of at least 0, got none", {"weights": ()}),
        (ConfigError, "leaves nothing to choose", {"temperatures": (4,)}),
        (ConfigError, "seeds must be at least 2", {"seeds": 1}),
        (ConfigError, "criterion must be 'error', 'nll', 'rmse' or 'mae', got 'loss'", {"criterion": "loss"}),
        (ConfigError, "the labels are classes, so criterion must be error or nll, got rmse", {"criterion": "rmse"}),
        (ConfigError, "every trial starts from fresh weights", {"model": torch.nn.Linear(64, 10)}),
        (ConfigError, "did you mean 'epochs'", {"epocs": 3}),
    ],
)
def test_what_cannot_be_tuned_is_refused_before_the_first_trial(teacher, tmp_path, error, sentence, changes):
    settings = {"teacher": teacher, "model": MLP([6]), "data": DIGITS, "out": tmp_path / "tune"} | QUICK | changes
    with pytest.raises(error, match=sentence):
        instar.tune(**settings)
    assert not (tmp_path / "tune").exists()


def test_arithmetic_means_are_tuned_at_one_temperature(teacher, tmp_path):
    both = {"combine": "arithmetic", "out": tmp_path / "tune"}
    with pytest.raises(MismatchError, match=r"at temperature 1 only, and not at 4; .* with combine=geometric"):
        instar.tune(DIGITS, [teacher, teacher], MLP([6]), **QUICK | both)
    arrays = load_data((DIGITS.train.inputs(), DIGITS.train.labels))
    found = instar.tune(arrays, [teacher, teacher], MLP([6]), **QUICK | both | ONE)
    assert TargetStore(tmp_path / "tune" / "targets").manifest.parts["train"].temperature == 4
    assert len(found.finalists) == 2
    assert str(found).endswith(f'\ninstar.distill(..., objective="{found.objective}")')  # such data have no name
