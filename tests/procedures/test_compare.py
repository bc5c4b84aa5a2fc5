"""Methods as run folders: what may differ, what is paired, what is refused, and the numbers against the logits."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from tests.older import as_older

from instar.config import RunConfig, validate
from instar.errors import ConfigError, MismatchError, RunError
from instar.procedures.compare import compare
from instar.runs.files import read_tensors, write_json, write_tensors
from instar.runs.run import Run
from instar.teachers import ENSEMBLE

Write = Callable[..., Path]
RANDOM = np.random.default_rng(0)
LABELS = torch.from_numpy(RANDOM.integers(0, 3, 200))


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a run folder that is complete where it has predictions, and has logits of its own where none are given."""

    def write_run(
        name: str,
        seed: int = 0,
        *,
        better: float = 1.0,
        labels: torch.Tensor = LABELS,
        test: str = "test-print",
        predictions: dict[str, torch.Tensor] | None = None,
        complete: bool = True,
        **settings: Any,
    ) -> Path:
        values = {"data": {"source": "digits"}, "model": {"name": "mlp", "arguments": {"widths": [8]}}, "seed": seed}
        config = validate(RunConfig, values | settings).model_dump(mode="json")
        run = Run.start(tmp_path / name, config, {"data": {"train": "train-print", "test": test}})
        if predictions is None:
            random = np.random.default_rng([seed, len(name), *name.encode()])
            logits = torch.from_numpy(random.standard_normal((*labels.shape, 3)))
            logits += better * torch.nn.functional.one_hot(labels.clamp(min=0), 3)
            predictions = {"logits": logits.float()}
        kept = predictions | {"ids": torch.arange(len(labels)), "labels": labels}
        write_tensors(run.path / "predictions.safetensors", {f"test.{key}": value for key, value in kept.items()})
        if complete:
            write_json(run.path / "result.json", {"metrics": {"errors": 0}, "parameters": 1, "seconds": 1.0})
        return run.path

    return write_run


def logits_of(*runs: Path) -> np.ndarray:
    return np.stack([read_tensors(run / "predictions.safetensors")[0]["test.logits"].numpy() for run in runs])


def test_numbers_are_those_of_the_logits(write: Write, tmp_path: Path) -> None:
    a = [write(f"a/{seed}", seed) for seed in range(4)]
    b = [write(f"b/deep/{seed}", seed, better=1.5, objective="HardLabels(0.1)") for seed in range(4)]
    (found,) = compare(tmp_path / "a", tmp_path / "b").comparisons
    labels = LABELS.numpy()
    wrong = [logits_of(*runs).argmax(-1) != labels for runs in (a, b)]
    rates = [100 * each.mean(1) for each in wrong]
    theirs = stats.ttest_rel(rates[1], rates[0])
    assert (found.runs, found.seeds) == ((4, 4), (0, 1, 2, 3))
    assert (found.error.reference, found.error.method) == pytest.approx([rate.mean() for rate in rates])
    assert found.error.over_samples.mean == pytest.approx(rates[1].mean() - rates[0].mean())
    assert found.error.over_seeds is not None
    assert found.error.over_seeds.p["t"] == pytest.approx(theirs.pvalue)
    assert (found.error.over_seeds.low, found.error.over_seeds.high) == pytest.approx(
        tuple(theirs.confidence_interval())
    )
    for seed, pair in found.pairs.items():
        table = [(wrong[0][seed] & ~wrong[1][seed]).sum(), (wrong[1][seed] & ~wrong[0][seed]).sum()]
        assert [pair.better, pair.worse] == table
        assert pair.p["mcnemar"] == stats.binomtest(int(table[0]), int(sum(table))).pvalue
        assert pair.corrected["mcnemar"] >= pair.p["mcnemar"]
    nll = [
        torch.nn.functional.cross_entropy(torch.tensor(each), LABELS) for runs in (a, b) for each in logits_of(*runs)
    ]
    assert found.nll is not None
    assert found.nll.over_samples.mean == pytest.approx(np.mean(nll[4:]) - np.mean(nll[:4]), rel=1e-5)
    assert found.nll.over_seeds is not None
    assert found.nll.over_seeds.mean == pytest.approx(found.nll.over_samples.mean)


def test_positions_are_examples_and_samples_are_drawn(write: Write) -> None:
    labels = torch.from_numpy(RANDOM.integers(0, 3, (50, 6)))
    labels[torch.arange(6) >= torch.from_numpy(RANDOM.integers(0, 7, 50))[:, None]] = -1
    runs = write("a", labels=labels), write("b", labels=labels, better=2.0)
    found = compare(*runs)
    known = (labels != -1).numpy()
    wrong = (logits_of(*runs).argmax(-1) != labels.numpy()) & known
    assert (found.samples, found.examples) == (known.any(1).sum(), known.sum())
    error = found.comparisons[0].error
    assert (error.reference, error.method) == pytest.approx(tuple(100 * wrong.sum((1, 2)) / known.sum()))
    assert f"with {known.sum()} positions" in " ".join(str(found).split())


def test_a_few_numbers_for_each_example_do_as_well_as_logits(write: Write) -> None:
    logits = torch.from_numpy(RANDOM.standard_normal((200, 3))).float()
    few = torch.stack(
        [torch.nn.functional.cross_entropy(logits, LABELS, reduction="none"), logits.argmax(1).float()], 1
    )
    reference = write("reference")
    whole, short = write("whole", predictions={"logits": logits}), write("short", predictions={"nll_and_answer": few})
    first, second = compare(reference, whole, short).comparisons
    assert first.error == second.error
    assert first.nll is not None
    assert second.nll is not None
    assert first.nll.method == pytest.approx(second.nll.method, rel=1e-6)


def test_an_infinite_nll_is_left_out(write: Write) -> None:
    logits = torch.zeros(200, 3)
    logits[torch.arange(200), (LABELS + 1) % 3] = torch.inf
    logits = torch.where(logits.isinf(), 0.0, -torch.inf)
    found = compare(write("a"), write("b", predictions={"logits": logits}), write("c"))
    assert [each.nll is None for each in found.comparisons] == [True, False]


def test_seeds_that_one_alone_has_are_named_and_left_out(write: Write, tmp_path: Path) -> None:
    for seed in (0, 1, 2):
        write(f"a/{seed}", seed)
    for seed in (1, 2, 5):
        write(f"b/{seed}", seed, objective="HardLabels(0.1)")
    write("c", 7)
    both, none = compare(tmp_path / "a", tmp_path / "b", tmp_path / "c").comparisons
    assert (both.seeds, both.left_out, both.runs) == ((1, 2), ((0,), (5,)), (2, 2))
    assert "Only B has runs of seed 5; these runs are left out." in both.conclusions("B", "A", 200)
    assert (none.seeds, none.left_out, none.runs, none.error.over_seeds) == ((), ((), ()), (3, 1), None)


def test_several_methods_are_corrected_for_their_number(write: Write, tmp_path: Path) -> None:
    for method in "abc":
        for seed in (0, 1, 2):
            write(f"{method}/{seed}", seed)
    found = compare(*(tmp_path / method for method in "abc"))
    p = sorted(each.error.over_samples.p["mcnemar"] for each in found.comparisons)
    corrected = sorted(each.error.over_samples.corrected["mcnemar"] for each in found.comparisons)
    assert corrected == pytest.approx([min(1, 2 * p[0]), min(1, max(2 * p[0], p[1]))])
    assert "2 over samples and 2 over seeds (Holm)" in " ".join(str(found).split())
    assert max(map(len, str(found).splitlines())) <= 100


def test_the_same_call_gives_the_same_numbers(write: Write) -> None:
    runs = write("a"), write("b")
    assert compare(*runs, resamples=500) == compare(*runs, resamples=500)
    assert compare(*runs, resamples=500) != compare(*runs, resamples=500, seed=1)


def test_teachers_may_differ_in_their_seed_too_and_ensembles_have_that_of_their_first(
    write: Write, tmp_path: Path
) -> None:
    for seed in (3, 4):
        teacher = write(f"teacher/{seed}", seed)
        student = write(f"student/{seed}", seed, teachers=(str(teacher),), objective="SoftTargets(4)")
        write(f"both/{seed}", teachers=(str(teacher), str(student)), model={"name": ENSEMBLE}, objective="")
    found = compare(*(tmp_path / name for name in ("teacher", "student", "both")))
    assert [each.seeds for each in found.comparisons] == [(3, 4), (3, 4)]
    other = write("other", 5, training={"epochs": 2, "learning_rate": 0.1})
    write("student/5", 5, teachers=(str(other),), objective="SoftTargets(4)")
    with pytest.raises(ConfigError, match=r"in teachers\.0\.training\.epochs, teachers\.0\.training\.learning_rate\."):
        compare(tmp_path / "teacher", tmp_path / "student")


def test_runs_on_other_test_data_are_refused_with_both_fingerprints(write: Write) -> None:
    a, b = write("a"), write("b", test="other-print")
    with pytest.raises(MismatchError, match=r"b' was tested on other data than '.*a' \(fingerprints other-print and t"):
        compare(a, b)
    short = {"logits": torch.zeros(150, 3)}
    with pytest.raises(MismatchError, match=r"other samples .*their ids or labels differ"):
        compare(a, write("c", labels=LABELS[:150], predictions=short))


def test_what_is_no_method_is_refused(write: Write, tmp_path: Path) -> None:
    a, b = write("m/a"), write("m/b", 1, training={"epochs": 3}, views="Flip()")
    write("twice/a", 3)
    write("twice/b", 3)
    write("half/0", complete=False)
    (write("half/1", 1) / "config.json").write_text("{")
    (tmp_path / "empty").mkdir()
    for given, error, words in (
        ([a], ConfigError, "compare needs at least two methods, got 1."),
        ([a, a], ConfigError, "a' is in both"),
        ([a, tmp_path / "nowhere"], RunError, "nowhere' is not a folder"),
        ([a, tmp_path / "empty"], RunError, "empty' holds no run folders."),
        ([b, tmp_path / "m"], ConfigError, "is in both"),
        ([write("c"), tmp_path / "m"], ConfigError, "m/a' and '.*m/b' differ in training.epochs, views"),
        ([a, tmp_path / "twice"], ConfigError, "have the same seed, 3; a method has one run per seed"),
        ([a, tmp_path / "half"], RunError, "half/0' is incomplete, '.*half/1' is damaged"),
    ):
        with pytest.raises(error, match=words):
            compare(*given)
    with pytest.raises(ConfigError, match="resamples must be at least 1, got 0"):
        compare(a, b, resamples=0)


def test_missing_predictions_and_fingerprints_are_told(write: Write) -> None:
    a, b, c = write("a"), write("b", predictions={}), write("c")
    with pytest.raises(RunError, match=r"b' cannot be compared: its predictions have no 'test\.nll_and_answer'"):
        compare(a, b)
    as_older(c)
    content = json.loads((c / "config.json").read_text())
    (c / "config.json").write_text(json.dumps(content | {"fingerprints": {}}))
    with pytest.raises(RunError, match="c' is damaged: it has no fingerprint of its test data"):
        compare(a, c)


def test_a_folder_from_before_there_was_a_setting_is_the_same_method(write: Write, tmp_path: Path) -> None:
    old = write("m/0") / "config.json"
    write("m/1", 1)
    as_older(old.parent)
    content = json.loads(old.read_text())
    del content["config"]["view_seed"], content["config"]["training"]["patience"]
    old.write_text(json.dumps(content))
    assert compare(write("a"), tmp_path / "m").seeds == ((0,), (0, 1))


def test_numbers_are_compared_by_their_errors_and_with_their_teachers(write: Write, tmp_path: Path) -> None:
    y = torch.from_numpy(RANDOM.normal(size=300)).float() * 1000
    labels = torch.zeros(300, dtype=torch.int64)
    labels[:10], y[:10] = -1, float("nan")
    noise = torch.from_numpy(RANDOM.normal(size=(7, 300))).float()
    teacher = y + 100 * noise[6]
    teacher[:10] = 0.0
    for seed in range(3):
        for name, spread in (("a", 300), ("b", 250)):
            kept = {"logits": (y + spread * noise[seed])[:, None], "numbers": y, "numbers_of_teacher": teacher}
            kept["logits"][:10] = 0.0
            write(
                f"{name}/{seed}", seed, labels=labels, predictions=kept, data={"source": "digits", "labels": "numbers"}
            )
    found = compare(tmp_path / "a", tmp_path / "b")
    (one,) = found.comparisons
    assert (found.samples, one.error, one.nll) == (290, None, None)
    rmse = one.others["rmse"]
    errors = [spread * noise[:3, 10:].double().numpy() for spread in (300, 250)]
    assert rmse.reference == pytest.approx(np.sqrt((errors[0] ** 2).mean(1)).mean(), rel=1e-5)
    assert rmse.over_seeds is not None
    assert rmse.over_seeds.corrected["t"] < 0.01
    # against resampling, which knows nothing of influences
    drawn = RANDOM.integers(290, size=(4000, 290))
    means = [np.sqrt((each[:, drawn] ** 2).mean(2)).mean(0) for each in errors]
    low, high = np.quantile(means[1] - means[0], [0.025, 0.975])
    assert (rmse.over_samples.low, rmse.over_samples.high) == pytest.approx((low, high), rel=0.05)
    lost = found.teachers[str(tmp_path / "b")]["r2"]
    assert lost.over_samples.high < 0 < lost.reference - lost.method
    against = found.teachers[str(tmp_path / "b")]
    theirs = 100 * noise[6, 10:].double().numpy()
    apart = np.sqrt(((errors[1] - theirs) ** 2).sum(1) / 300).mean()  # 10 without a label are equal
    assert (against["rmse_to_teacher"].reference, against["rmse_to_teacher"].method) == (0, pytest.approx(apart))
    variances = y[10:].double().numpy()[drawn].var(1)
    shares = [
        (1 - (each**2).mean(1) / variances) / (1 - (theirs[drawn] ** 2).mean(1) / variances)
        for each in errors[1][:, drawn]
    ]
    low, high = np.quantile(np.mean(shares, 0), [0.025, 0.975])
    kept = against["r2_kept"]
    assert (kept.method + kept.over_samples.low - kept.over_samples.mean) == pytest.approx(low, abs=4e-3)
    assert (kept.method + kept.over_samples.high - kept.over_samples.mean) == pytest.approx(high, abs=4e-3)
    told = " ".join(str(found).split())
    assert re.search(
        r"B keeps 9\d\.\d\d% of it \(95%: 9[\d.]+ to 9[\d.]+\), and its predictions are \d+\.\d+ from", told
    )
    assert re.search(r"B has a lower RMSE than A on these 290 samples with the weights .*: [\d.]+ lower \(95%:", told)
    assert re.search(r"The R² of B is 0\.9\d+, and that of its teacher 0\.9\d+: -0\.\d+ \(95%: -0", told)
    assert json.dumps(found.as_dict())
    classes = write("classes")
    with pytest.raises(MismatchError, match="tested on other samples"):
        compare(tmp_path / "a" / "0", classes)
