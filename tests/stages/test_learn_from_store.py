"""A store stands wherever a teacher can: its views, its held-out samples, in lineages and ensembles."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import instar
from instar.config import RunConfig, validate
from instar.errors import MismatchError
from instar.models import MLP, TrainedRun
from instar.procedures.born_again import Lineage, born_again
from instar.procedures.distill import distill
from instar.procedures.evaluate import evaluate
from instar.procedures.label import label
from instar.procedures.report import report
from instar.procedures.target_stores import verify_targets
from instar.runs.run import Run
from instar.stages.components import GivenObjects, resolve_components
from instar.stages.preparation import prepare
from instar.targets import TargetStore
from instar.teachers import Ensemble, Module

DIGITS = instar.load_data("digits", subset=400)
SETTINGS = {"epochs": 5, "batch_size": 100, "learning_rate": 0.02, "log_every": 1, "checkpoint_seconds": 0}
VIEWS = {"views": "Shift(1)", "num_views": 4}


def network(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 10))


def student(teacher: Any, out: Path, **changes: Any) -> TrainedRun:
    return distill(DIGITS, teacher, MLP([8]), out=out, **SETTINGS | {"objective": "SoftTargets(2)"} | changes)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> TargetStore:
    out = tmp_path_factory.mktemp("store") / "store"
    return label(DIGITS, network(), out=out, dtype="float32", seed=5, batch_size=100, show=False, **VIEWS)


def views_of(run: Run) -> dict[str, Any]:
    config = json.loads((run.path / "config.json").read_text())["config"]
    return {name: config[name] for name in ("views", "num_views", "view_seed")}


def test_a_run_that_names_no_views_has_those_of_the_store_in_its_configuration(tmp_path, store) -> None:
    run = student(str(store.path), tmp_path / "run")
    assert views_of(run) == {"views": "Shift(pixels=1)", "num_views": 4, "view_seed": 5}
    again = student(store.path, tmp_path / "run")  # complete, and the same
    assert again.metrics == run.metrics


def test_a_store_given_as_an_object_is_named_by_its_folder_as_a_run_is(tmp_path, store) -> None:
    student(str(store.path), tmp_path / "run")
    assert student(store, tmp_path / "run").config["teachers"] == [str(store.path)]


def test_a_run_may_take_fewer_views_than_there_are(tmp_path, store) -> None:
    run = student(store, tmp_path / "named", views="Shift(1)", num_views=2)
    assert views_of(run) == {"views": "Shift(1)", "num_views": 2, "view_seed": 5}
    fewer: dict[str, Any] = {"views": "Shift(1)", "num_views": 2, "seed": 5}
    live, stored = (student(teacher, tmp_path / type(teacher).__name__, **fewer) for teacher in (network(), store))
    assert live.metrics["nll"] == pytest.approx(stored.metrics["nll"], rel=1e-4)
    with pytest.raises(MismatchError, match=r"holds 4 views .*and the run shows 5 views"):
        student(store, tmp_path / "more", views="Shift(1)", num_views=5)
    with pytest.raises(MismatchError, match=r"holds 4 views .*and the run shows endless views"):
        student(store, tmp_path / "endless", views="Shift(1)")
    assert not (tmp_path / "more").exists()


def test_fewer_views_are_taken_where_the_run_names_their_number_alone(tmp_path, store) -> None:
    assert views_of(student(store, tmp_path / "run", num_views=2))["num_views"] == 2


def test_students_of_different_seeds_see_the_same_views_in_other_orders(tmp_path, store) -> None:
    seen: dict[int, list[Any]] = {}
    for seed in (1, 2):
        config = validate(RunConfig, student(store, tmp_path / str(seed), seed=seed).config)
        components = resolve_components(config, GivenObjects(DIGITS), trust=False)
        loader = prepare(components, trust=False, show=False).loader
        seen[seed] = [loader.batch(step) for step in range(8)]
    pixels = [
        {
            (int(number), batch.view): x
            for batch in seen[seed]
            for number, x in zip(batch.ids, batch.inputs, strict=True)
        }
        for seed in (1, 2)
    ]
    assert pixels[0].keys() == pixels[1].keys()
    assert len(pixels[0]) == 2 * len(DIGITS.train)
    assert all(torch.equal(x, pixels[1][key]) for key, x in pixels[0].items())
    assert not torch.equal(seen[1][0].ids, seen[2][0].ids)


def test_a_result_is_compared_with_the_stored_teacher_as_with_the_live_one(tmp_path, store) -> None:
    run = student(store, tmp_path / "run")
    live, stored = (evaluate(run, teacher=teacher) for teacher in (network(), store))
    assert run.metrics["agreement"] == stored["agreement"] == live["agreement"]
    assert run.metrics["kl_to_teacher"] == pytest.approx(live["kl_to_teacher"], rel=1e-4)
    assert run.metrics["teacher_error"] == evaluate(network(), DIGITS)["error"]
    by_live = student(network(), tmp_path / "live", views="Shift(1)", num_views=4, seed=5)
    by_store = student(store, tmp_path / "stored", seed=5)
    for split in ("metrics", "validation"):
        first, second = by_live.result[split], by_store.result[split]
        assert first.keys() == second.keys() >= {"agreement", "gain", "teacher_error", "kl_to_teacher"}
        for name in ("agreement", "teacher_error", "error"):
            assert first[name] == second[name]
    half = label(DIGITS, network(), out=tmp_path / "half", keep="top:3", temperature=2, show=False)
    assert student(half, tmp_path / "few").metrics.keys() == by_live.metrics.keys()


def test_without_held_out_parts_a_run_ends_without_the_comparison(tmp_path) -> None:
    bare = label(DIGITS, network(), out=tmp_path / "bare", held_out=False, show=False, **VIEWS)
    assert list(bare.manifest.parts) == ["train"]
    run = student(bare, tmp_path / "run")
    assert run.complete
    assert "error" in run.metrics
    assert "run" in report(tmp_path).read_text()
    assert not {"agreement", "gain", "teacher_error"} & run.metrics.keys()
    with pytest.raises(MismatchError, match=r"fingerprint .*and the data are 'digits \(test\)'"):
        evaluate(run, teacher=bare)


def test_a_store_is_evaluated_combined_and_labelled_like_its_teacher(tmp_path, store) -> None:
    assert evaluate(store) == evaluate(store, DIGITS) == evaluate(network(), DIGITS)
    assert evaluate(str(store.path), DIGITS, split="validation") == evaluate(network(), DIGITS, split="validation")
    together = Ensemble([store, network(1)])
    live = Ensemble([network(), network(1)])
    assert evaluate(together, DIGITS)["nll"] == pytest.approx(evaluate(live, DIGITS)["nll"], rel=1e-5)
    assert student(together, tmp_path / "student", views="Shift(1)", num_views=2).complete
    again = label(DIGITS, store, out=tmp_path / "again", dtype="float32", seed=5, show=False, **VIEWS)
    for name in again.manifest.parts:
        assert torch.equal(again.part(name).records, store.part(name).records)
    few = label(DIGITS, store.path, out=tmp_path / "few", keep="top:3", temperature=4, seed=5, show=False, **VIEWS)
    direct = label(DIGITS, network(), out=tmp_path / "direct", keep="top:3", temperature=4, seed=5, show=False, **VIEWS)
    assert verify_targets(few, teacher=store).difference < 2e-3
    kept = few.part("train").targets(DIGITS.train.ids, 3), direct.part("train").targets(DIGITS.train.ids, 3)
    torch.testing.assert_close(kept[0].kept, kept[1].kept, atol=1e-3, rtol=1e-3)
    with pytest.raises(MismatchError, match="these targets have 3 of 10 classes, but the objective needs all"):
        label(DIGITS, few, out=tmp_path / "none", seed=5, show=False, **VIEWS)


LINEAGE = {"generations": 2, "controls": False, "show": False} | SETTINGS | {"epochs": 2, "views": "Shift(1)"}


def grow(out: Path, **changes: Any) -> Lineage:
    return born_again(DIGITS, MLP([8]), out=out, **LINEAGE | {"num_views": 2} | changes)


def assert_same(first: Lineage, second: Lineage) -> None:
    for one, other in zip(first.generations, second.generations, strict=True):
        left, right = one.model.state_dict(), other.model.state_dict()
        assert all(torch.equal(left[name], right[name]) for name in left)


def test_a_lineage_with_stores_is_that_with_answers_in_memory_even_when_killed(tmp_path, monkeypatch) -> None:
    in_memory = grow(tmp_path / "memory", targets="memory")
    exact = {"targets": str(tmp_path / "kept"), "store": {"dtype": "float32"}}
    assert_same(in_memory, grow(tmp_path / "stored", **exact))
    assert sorted(path.name.rpartition("-")[0] for path in (tmp_path / "kept").iterdir()) == [
        "generation-0",
        "generation-1",
    ]
    targets = Module.targets
    left = iter(range(3))  # of eight batches, beside the two samples that are tried first

    def killed(self: Module, batch: Any) -> Any:
        if len(batch) > 2 and next(left, None) is None:
            raise KeyboardInterrupt
        return targets(self, batch)

    exact["targets"] = str(tmp_path / "others")
    grow(tmp_path / "killed", generations=1, **exact)
    monkeypatch.setattr(Module, "targets", killed)
    with pytest.raises(KeyboardInterrupt):
        grow(tmp_path / "killed", **exact)
    monkeypatch.setattr(Module, "targets", targets)
    assert not Run(tmp_path / "killed" / "generation-2").complete
    assert sum(not TargetStore(path).complete for path in (tmp_path / "others").iterdir()) == 1
    assert_same(in_memory, grow(tmp_path / "killed", **exact))
