"""Generations, their ensembles and controls; killed, diverged and stopped early."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from tests.older import as_older, write_views

import instar
from instar.data.views import Shift
from instar.errors import ConfigError, MismatchError, NonFiniteError, RunError
from instar.models import CNN, MLP
from instar.procedures.born_again import Lineage, born_again
from instar.runs.run import Run
from instar.teachers import as_teacher
from instar.training import predict

DIGITS = instar.load_data("digits", subset=120)
SETTINGS = {"epochs": 2, "batch_size": 32, "learning_rate": 0.02, "log_every": 1, "checkpoint_seconds": 0}
STEPS = 8  # of a generation


def grow(out: Path, **changes: object) -> Lineage:
    settings = {"generations": 2, "controls": False, "show": False} | SETTINGS | changes
    return born_again(DIGITS, MLP([8], dropout=0.1), out=out, **settings)


@pytest.fixture(scope="module")
def lineage(tmp_path_factory: pytest.TempPathFactory) -> Lineage:
    return grow(tmp_path_factory.mktemp("lineage") / "out", controls=True, views="Shift(1)", distil_ensemble=True)


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory) -> Lineage:
    """A lineage without views, controls or interruption."""
    return grow(tmp_path_factory.mktemp("straight") / "out")


def test_each_generation_learns_from_the_one_before_it_alone(lineage: Lineage) -> None:
    first, *later = lineage.generations
    assert first.config["teachers"] == []
    assert first.config["objective"].startswith("HardLabels")
    for before, run in zip(lineage.generations, later, strict=False):
        assert run.config["teachers"] == [str(before.path)]
        assert run.config["objective"] == "SoftTargets(temperature=1)"
        assert run.config["training"] == first.config["training"]
        assert run.config["views"] == "Shift(1)"
    assert len({run.config["seed"] for run in lineage.generations}) == 3


def test_no_generation_shares_initial_weights_or_the_order_of_the_data(lineage: Lineage) -> None:
    losses = [next(line["loss"] for line in run.history() if line["kind"] == "train") for run in lineage.generations]
    assert len(set(losses)) == 3


def test_the_mean_of_probabilities_is_what_an_ensemble_says(lineage: Lineage) -> None:
    without, whole, _ = lineage.ensembles
    assert [run.path.name for run in lineage.ensembles] == ["ensemble-1-2", "ensemble-0-2", "ensemble-1-2-distilled"]
    for folder, members in ((without, lineage.generations[1:]), (whole, lineage.generations)):
        parts = [torch.softmax(predict(as_teacher(run), DIGITS.test), 1) for run in members]
        found = torch.softmax(predict(as_teacher(folder.path), DIGITS.test), 1)
        torch.testing.assert_close(found, torch.stack(parts).mean(0))
        wrong = (found.argmax(1) != DIGITS.test.labels).sum()
        assert folder.metrics["errors"] == wrong


def test_an_ensemble_is_distilled_back_into_one_model(lineage: Lineage) -> None:
    student = lineage.ensembles[-1]
    assert student.config["teachers"] == [str(lineage.ensembles[0].path)]
    assert student.result["parameters"] == lineage.generations[0].result["parameters"]
    assert student.metrics["agreement"] > 0


def test_an_ensemble_follows_its_members_to_another_place(lineage: Lineage, tmp_path: Path) -> None:
    moved = tmp_path / "moved"
    shutil.copytree(lineage.generations[0].path.parent, moved)
    as_older(moved / "ensemble-1-2")  # which may name any path
    config = json.loads((moved / "ensemble-1-2" / "config.json").read_text())
    config["config"]["teachers"] = [f"/nowhere/{Path(member).name}" for member in config["config"]["teachers"]]
    (moved / "ensemble-1-2" / "config.json").write_text(json.dumps(config))
    here = predict(as_teacher(lineage.ensembles[0].path), DIGITS.test)
    assert torch.equal(predict(as_teacher(moved / "ensemble-1-2"), DIGITS.test), here)


def test_controls_have_the_budget_of_a_generation_and_no_teacher(lineage: Lineage) -> None:
    assert [run.path.name for run in lineage.controls] == ["labels-1", "labels-2", "label-smoothing", "labels-1-2"]
    for run in lineage.controls[:3]:
        assert run.config["teachers"] == []
        assert run.result["steps"] == lineage.generations[1].result["steps"]
    assert run.config["objective"] == "HardLabels(0.1)"
    assert lineage.controls[0].config["seed"] == lineage.generations[1].config["seed"]


def test_its_table_pairs_every_run_with_generation_0(lineage: Lineage) -> None:
    rows = {row["run"]: row for row in lineage.rows()}
    first, second = rows["generation-0"], rows["generation-1"]
    mean, low, high = second["gain"]
    assert mean == pytest.approx(100 * (first["errors"] - second["errors"]) / len(DIGITS.test))
    assert low <= mean <= high
    assert first["gain"] == (0, 0, 0)
    text = str(lineage)
    assert all(name in text for name in rows)
    assert lineage.report.is_file()
    assert "ensemble-1-2" in lineage.report.read_text()


def test_the_table_of_a_lineage_of_text_counts_positions(tmp_path: Path) -> None:
    words = torch.randint(5, (30, 7), generator=torch.Generator().manual_seed(0))
    data = instar.load_data({name: (words, words.roll(-1, 1)) for name in ("train", "test")}, validation=0)
    model = {"name": "lstm", "arguments": {"units": 4}}
    choices = {"generations": 1, "controls": False, "epochs": 1, "show": False}
    lineage = born_again(data, model, out=tmp_path / "out", **choices)
    first, second, both = lineage.rows()
    assert [row["samples"] for row in (first, second, both)] == [30 * 7] * 3
    assert second["gain"][0] == pytest.approx(100 * (first["errors"] - second["errors"]) / (30 * 7))


@pytest.mark.parametrize("step", [3, STEPS + 3, 2 * STEPS + 5])
def test_a_lineage_killed_in_any_generation_equals_one_that_was_not(
    straight: Lineage, tmp_path: Path, stop_before, step: int
) -> None:
    stopped = stop_before(step)
    with pytest.raises(stopped):
        grow(tmp_path / "killed")
    complete = [Run(path.parent).complete for path in sorted((tmp_path / "killed").glob("*/config.json"))]
    assert complete == [True] * (step // STEPS) + [False]
    killed = grow(tmp_path / "killed")
    for first, second in zip(straight.generations, killed.generations, strict=True):
        left, right = first.model.state_dict(), second.model.state_dict()
        assert all(torch.equal(left[name], right[name]) for name in left)


def test_the_loop_takes_no_step_of_a_generation_that_is_complete(straight: Lineage, stop_before) -> None:
    stop_before(0)
    grow(straight.generations[0].path.parent)


def test_a_lineage_resumes_with_its_views_in_any_notation(tmp_path: Path, stop_before) -> None:
    choices = {"generations": 1, "epochs": 1, "views": "Shift(1)"}
    begun = grow(tmp_path / "out", **choices)
    stop_before(0)
    for written in ("Shift(1)", "Shift(pixels=1)"):  # as given, and in full as older versions wrote it
        for run in begun.generations:
            write_views(run.path, written)
        for given in ("Shift(1)", "Shift(pixels=1)", Shift(1)):
            grow(tmp_path / "out", **choices | {"views": given})
    with pytest.raises(RunError, match=r"views was 'Shift\(pixels=1\)', now 'Shift\(2\)'"):
        grow(tmp_path / "out", **choices | {"views": "Shift(2)"})


def test_a_generation_that_diverges_is_named_and_the_others_are_kept(tmp_path: Path) -> None:
    with pytest.raises(NonFiniteError, match=r"generation 1 diverged, and generations 0 to 0 are kept: term"):
        grow(tmp_path / "out", objective="1e38 * SoftTargets(1000)")
    assert Run(tmp_path / "out" / "generation-0").complete
    assert not Run(tmp_path / "out" / "generation-1").complete


def test_it_stops_early_at_the_first_generation_that_is_no_better(tmp_path: Path) -> None:
    lineage = grow(tmp_path / "out", generations=8, stop_early=True, epochs=3)
    errors = [run.result["validation"]["error"] for run in lineage.generations]
    assert all(errors[k] < min(errors[:k]) for k in range(1, len(errors) - 1))
    assert len(errors) <= 8
    assert errors[-1] >= min(errors[:-1])
    assert lineage.stopped.startswith(f"Stopped after generation {len(errors) - 1}: its validation error")
    assert lineage.best.result["validation"]["error"] == min(errors)


def test_the_student_may_be_of_another_family(tmp_path: Path) -> None:
    lineage = grow(tmp_path / "out", student=CNN([4], 8), objective="SoftTargets(1) + HardLabels()")
    assert [run.config["model"]["name"] for run in lineage.generations] == ["mlp", "cnn", "cnn"]
    assert lineage.generations[2].config["objective"].count("+") == 1
    assert lineage.ensembles[0].result["parameters"] == 2 * lineage.generations[1].result["parameters"]


def test_generations_beside_controls_in_two_processes_are_the_same(lineage: Lineage, tmp_path: Path) -> None:
    together = grow(tmp_path / "together", generations=1, controls=True, views="Shift(1)", jobs=2)
    alone = lineage.generations[:2]
    assert [run.metrics["nll"] for run in together.generations] == [run.metrics["nll"] for run in alone]


def test_bad_input_is_refused_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="generations must be at least 1, got 0"):
        grow(tmp_path / "none", generations=0)
    with pytest.raises(ConfigError, match=r"'HardLabels\(label_smoothing=0.0\)' has no term with a teacher"):
        grow(tmp_path / "labels", objective="HardLabels()")
    with pytest.raises(ConfigError, match=r"view 'Shif' is unknown; did you mean 'Shift'"):
        grow(tmp_path / "views", views="Shif(1)")
    assert not (tmp_path / "views").exists()
    with pytest.raises(ConfigError, match=r"every generation starts from fresh weights.*got a Linear with weights"):
        born_again(DIGITS, torch.nn.Linear(64, 10), out=tmp_path / "weights", **SETTINGS)
    unsplit = instar.load_data("digits", subset=120, validation=0.0)
    with pytest.raises(ConfigError, match="stop_early needs a labelled validation split, and there is none"):
        born_again(unsplit, MLP([8]), out=tmp_path / "early", stop_early=True, show=False, **SETTINGS)


def test_a_teacher_of_another_input_shape_is_refused(tmp_path: Path) -> None:
    inputs, labels = torch.rand(60, 1, 6, 6), torch.arange(60) % 10
    other = instar.train((inputs, labels), MLP([8]), out=tmp_path / "other", epochs=1)
    with pytest.raises(MismatchError, match=r"takes inputs of shape \[1, 6, 6\], and .* has \[1, 8, 8\]"):
        instar.distill(DIGITS, other, MLP([8]), out=tmp_path / "student", epochs=1)
