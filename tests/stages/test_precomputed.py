"""Training from a store: the same run as with the live teacher, and one labelling for many students."""

from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from sklearn.ensemble import RandomForestClassifier
from torch import nn

import instar
from instar.errors import ConfigError, MismatchError
from instar.models import MLP, TrainedRun
from instar.procedures.distill import distill
from instar.procedures.label import label
from instar.runs.run import Run
from instar.targets import TargetStore
from instar.teachers import Classifier, Ensemble, Module

DIGITS = instar.load_data("digits", subset=400)
SETTINGS = {"epochs": 3, "batch_size": 100, "learning_rate": 0.02, "log_every": 1, "checkpoint_seconds": 0}
VIEWS = {"views": "Shift(1)", "num_views": 2}
EXACT = {"store": {"dtype": "float32"}}


class Counted(Module):
    """Counts the samples that it is asked about, but for the two that are tried first."""

    asked = 0

    def targets(self, batch: Any) -> Any:
        self.asked += len(batch) if len(batch) > 2 else 0
        return super().targets(batch)


@pytest.fixture(autouse=True)
def without_latency(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the cost of a finished run, because it queries the teacher as often as seconds allow."""
    monkeypatch.setattr("instar.stages.finish.write_cost", lambda *_: None)


def network(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 10))


def student(teacher: Any, out: Path, **changes: Any) -> TrainedRun:
    return distill(DIGITS, teacher, MLP([8], 0.5), out=out, **SETTINGS | {"objective": "SoftTargets(2)"} | changes)


def assert_same(first: Run, second: Run) -> None:
    left, right = first.model.state_dict(), second.model.state_dict()
    assert all(torch.equal(left[name], right[name]) for name in left)
    losses = [[line["loss"] for line in run.history() if line["kind"] == "train"] for run in (first, second)]
    assert losses[0] == losses[1]


@pytest.mark.parametrize("micro_batches", [1, 3])
@pytest.mark.parametrize("objective", ["SoftTargets(2)", "LogitMatching() + 0.5 * HardLabels()"])
def test_a_dense_store_trains_the_bits_of_answers_in_memory(tmp_path, objective: str, micro_batches: int) -> None:
    settings = VIEWS | {"objective": objective, "micro_batches": micro_batches}
    in_memory = student(network(), tmp_path / "memory", targets="memory", **settings)
    assert_same(in_memory, student(network(), tmp_path / "store", targets="store", **EXACT, **settings))
    assert_same(in_memory, student(network(), tmp_path / "folder", targets=str(tmp_path / "kept"), **EXACT, **settings))
    labelled = label(
        DIGITS, network(), out=tmp_path / "labelled", dtype="float32", batch_size=100, show=False, held_out=False,
        **VIEWS,
    )  # fmt: skip
    assert_same(in_memory, student(labelled, tmp_path / "given", **settings))
    live = student(network(), tmp_path / "online", **settings)
    for name, weight in live.model.state_dict().items():
        torch.testing.assert_close(weight, in_memory.model.state_dict()[name], rtol=1e-3, atol=1e-4)
    half = student(network(), tmp_path / "half", targets="store", **settings)
    assert half.metrics["nll"] == pytest.approx(in_memory.metrics["nll"], rel=0.02)
    assert half.metrics["nll"] != in_memory.metrics["nll"]


@pytest.mark.parametrize("step", [0, 5, 11])
@pytest.mark.parametrize("given", [True, False])
def test_a_run_from_a_store_that_is_stopped_ends_alike(tmp_path, stop_before, step: int, given: bool) -> None:
    teacher = Counted(network())
    if given:
        asked: Any = label(DIGITS, teacher, out=tmp_path / "labelled", keep="top:3", temperature=2, show=False, **VIEWS)
        settings: dict[str, Any] = {}
    else:
        asked, settings = teacher, VIEWS | {"targets": "store", "store": {"keep": "sample:20"}}
    straight = student(asked, tmp_path / "straight", **settings)
    stopped = stop_before(step)
    with pytest.raises(stopped):
        student(asked, tmp_path / "stopped", **settings)
    if not given:
        assert TargetStore(tmp_path / "stopped" / "targets").complete
    before = teacher.asked
    assert_same(straight, student(asked, tmp_path / "stopped", **settings))
    held_out = 2 * len(DIGITS.validation) + len(DIGITS.test)  # validation at the first look too
    assert teacher.asked - before == (0 if given else held_out)  # the answers were there


def test_one_labelling_serves_every_student_of_the_same_teacher_and_views(tmp_path) -> None:
    teacher, folder = Counted(network()), tmp_path / "kept"
    held_out = 2 * len(DIGITS.validation) + len(DIGITS.test)  # validation at the first look too
    student(teacher, tmp_path / "first", targets=str(folder), **VIEWS)
    assert teacher.asked == 2 * len(DIGITS.train) + held_out
    (store,) = folder.iterdir()
    before = {path.name: (path.stat().st_ino, path.stat().st_mtime_ns) for path in store.glob("*-*.safetensors")}
    student(teacher, tmp_path / "second", targets=str(folder), objective="SoftTargets(4)", micro_batches=2, **VIEWS)
    assert teacher.asked == 2 * len(DIGITS.train) + 2 * held_out  # of training samples, none again
    assert list(folder.iterdir()) == [store]
    assert before == {
        path.name: (path.stat().st_ino, path.stat().st_mtime_ns) for path in store.glob("*-*.safetensors")
    }
    student(teacher, tmp_path / "third", targets=str(folder), **VIEWS | {"num_views": 3})
    assert teacher.asked == 5 * len(DIGITS.train) + 3 * held_out
    student(Module(network(1)), tmp_path / "fourth", targets=str(folder), **VIEWS)
    student(teacher, tmp_path / "fifth", targets=str(folder), store={"keep": "top:2"}, **VIEWS)
    assert len(list(folder.iterdir())) == 4
    assert all(TargetStore(path).complete for path in folder.iterdir())


def test_a_folder_that_is_a_store_is_that_store_or_is_refused(tmp_path) -> None:
    teacher = Counted(network())
    student(teacher, tmp_path / "first", targets="store", **VIEWS)
    place, before = tmp_path / "first" / "targets", teacher.asked
    student(teacher, tmp_path / "second", targets=str(place), **VIEWS)
    assert teacher.asked - before == 2 * len(DIGITS.validation) + len(DIGITS.test)  # at the first look too
    with pytest.raises(instar.errors.StoreError, match=r"is another target store than requested \(parts\.train\.num"):
        student(teacher, tmp_path / "third", targets=str(place), **VIEWS | {"num_views": 3})


NEED_ALL = ["LogitMatching()", "PermutedDarkKnowledge()", "DecoupledKD()", "Standardised()"]


@pytest.mark.parametrize("objective", NEED_ALL)
def test_terms_that_need_all_classes_refuse_a_few_before_anything_is_asked_or_made(tmp_path, objective: str) -> None:
    sentence = r"these targets have 3 of 10 classes, but the objective needs all; store all \(keep=all\)"
    teacher = Counted(network())
    with pytest.raises(MismatchError, match=sentence):
        student(teacher, tmp_path / "kept", objective=objective, targets="store", store={"keep": "top:3"}, **VIEWS)
    assert teacher.asked == 0
    assert not (tmp_path / "kept" / "targets").exists()
    few = label(DIGITS, network(), out=tmp_path / "few", keep="top:3", show=False)
    with pytest.raises(MismatchError, match=sentence):
        student(few, tmp_path / "student", objective=objective)
    assert not (tmp_path / "student").exists()
    student(label(DIGITS, network(), out=tmp_path / "all", show=False), tmp_path / "fits", objective=objective)


def test_a_few_classes_hold_at_their_temperature_alone(tmp_path) -> None:
    few = label(DIGITS, network(), out=tmp_path / "few", keep="top:3", temperature=4, show=False)
    with pytest.raises(MismatchError, match=r"were stored at temperature 4, but the objective needs 2;"):
        student(few, tmp_path / "student")
    assert not (tmp_path / "student").exists()
    assert student(few, tmp_path / "fits", objective="SoftTargets(4)").complete
    kept = student(network(), tmp_path / "kept", targets="store", store={"keep": "top:3"})
    assert TargetStore(kept.path / "targets").manifest.parts["train"].temperature == 2  # that of the objective
    with pytest.raises(MismatchError, match=r"were stored at temperature 4, but the objective needs 2;"):
        student(network(), tmp_path / "other", targets="store", store={"keep": "top:3", "temperature": 4})


def test_an_arithmetic_mean_is_kept_at_one_temperature_and_a_geometric_at_any(tmp_path) -> None:
    members = [network(0), network(1)]
    arithmetic, geometric = Ensemble(members, "arithmetic"), Ensemble(members)
    plain = {"dtype": "float32", "batch_size": 100, "show": False, **VIEWS}
    store = label(DIGITS, arithmetic, out=tmp_path / "arithmetic", temperature=3, **plain)
    with pytest.raises(MismatchError, match=r"were stored at temperature 3, but the objective needs 2;"):
        student(store, tmp_path / "refused")
    given = student(store, tmp_path / "given", objective="SoftTargets(3)")
    live = student(arithmetic, tmp_path / "live", objective="SoftTargets(3)", **VIEWS)
    for name, weight in live.model.state_dict().items():
        torch.testing.assert_close(weight, given.model.state_dict()[name], rtol=1e-3, atol=1e-4)
    assert given.metrics["agreement"] == live.metrics["agreement"]
    store = label(DIGITS, geometric, out=tmp_path / "geometric", temperature=3, **plain)
    for temperature in (1, 3):
        settings = {"objective": f"SoftTargets({temperature})"}
        run = student(store, tmp_path / f"geometric-{temperature}", **settings)
        assert_same(run, student(geometric, tmp_path / f"memory-{temperature}", targets="memory", **VIEWS, **settings))


def test_an_objective_that_asks_at_two_temperatures_needs_one_to_be_named_for_a_few_classes(tmp_path) -> None:
    settings = {"objective": "SoftTargets(2) + DecoupledKD(temperature=4)", "targets": "store", **VIEWS}
    with pytest.raises(ConfigError, match=r"needs temperatures 2, 4; choose the one to store \(store\.temperature\)"):
        student(network(), tmp_path / "two", store={"keep": "top:3"}, **settings)


def test_all_classes_of_one_network_are_kept_for_every_temperature_of_an_objective(tmp_path) -> None:
    settings = {"objective": "SoftTargets(2) + DecoupledKD(temperature=4)", **VIEWS}
    in_memory = student(network(), tmp_path / "memory", targets="memory", **settings)
    assert_same(in_memory, student(network(), tmp_path / "store", targets="store", **EXACT, **settings))


class CountedForest(RandomForestClassifier):
    """Counts the samples that it is asked about."""

    asked: ClassVar[list[int]] = []

    def predict_proba(self, X: Any) -> Any:  # noqa: N803 (scikit-learn's name)
        self.asked.append(len(X))
        return super().predict_proba(X)


class ByBatch(Classifier):
    answers_by_row = False


def test_an_estimator_is_asked_once_about_each_sample_that_no_view_changes(tmp_path: Path) -> None:
    forest = CountedForest(3, random_state=0).fit(DIGITS.train.inputs().flatten(1), DIGITS.train.labels)
    by_batch = student(ByBatch(forest), tmp_path / "by batch", epochs=4)
    assert CountedForest.asked.count(100) == 4 * 4
    CountedForest.asked.clear()
    once = student(Ensemble([forest, Classifier(forest)]), tmp_path / "once", epochs=4)
    assert CountedForest.asked.count(400) == 2
    assert 100 not in CountedForest.asked
    assert_same(once, by_batch)
    CountedForest.asked.clear()
    student(forest, tmp_path / "views", epochs=4, views="Shift(1)")
    assert CountedForest.asked.count(100) == 4 * 4
