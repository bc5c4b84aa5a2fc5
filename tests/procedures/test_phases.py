"""Phases of a training: each starts from the one before it; killed, changed, mistaken and compared."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.same_runs import assert_same, same_weights
from torch import nn

import instar
from instar.data.views import Shift
from instar.errors import ConfigError, InstarError, MismatchError, NonFiniteError, RunError
from instar.models import MLP
from instar.objectives import Hints, SoftTargets
from instar.runs.run import Run

DIGITS = instar.load_data("digits", subset=96)
SHARED = {"batch_size": 32, "learning_rate": 0.01, "log_every": 1, "checkpoint_seconds": 0, "show": False}
PHASES: list[dict[str, Any]] = [
    {"objective": Hints({"hidden1": "hidden1"}), "epochs": 1},
    {"objective": "HardLabels()", "training": {"epochs": 1}, "learning_rate": 0.02},
    {"views": Shift(1), "epochs": 2},
]
MODEL = MLP([8], dropout=0.1)
STEPS = (3, 3, 6)  # of each phase


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return instar.train(DIGITS, MLP([12]), out=tmp_path_factory.mktemp("teachers") / "a", epochs=1, **SHARED)


def distil(teacher: Any, out: Path, phases: Any = PHASES, model: Any = MODEL, **changes: Any) -> Run:
    return instar.distill(DIGITS, teacher, model, out=out, phases=phases, **SHARED | changes)


@pytest.fixture(scope="module")
def straight(teacher: Run, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return distil(teacher, tmp_path_factory.mktemp("straight") / "student")


def test_phases_are_stages_by_hand_each_from_the_one_before(teacher: Run, straight: Run, tmp_path: Path) -> None:
    given = SHARED | {"objective": PHASES[0]["objective"], "epochs": 1}
    first = instar.distill(DIGITS, teacher, MODEL, out=tmp_path / "1", **given)
    given = SHARED | {"learning_rate": 0.02, "start": first, "epochs": 1}
    second = instar.train(DIGITS, MODEL, out=tmp_path / "2", **given)
    given = SHARED | {"start": second, "epochs": 2, "views": "Shift(1)"}
    third = instar.distill(DIGITS, teacher, MODEL, out=tmp_path / "3", **given)
    for number, run in enumerate((first, second), 1):
        assert_same(run, instar.models.trained.TrainedRun(straight.path / "phases" / str(number)))
    assert_same(third, straight)
    assert third.config["training"] == straight.config["training"]
    assert straight.config["objective"] == "SoftTargets(4) + 0.1 * HardLabels()"
    assert straight.config["start"] == str(straight.path / "phases" / "2")


@pytest.mark.parametrize("step", [1, STEPS[0] + 2, sum(STEPS[:2]) + 4])
def test_a_killed_command_ends_with_the_same_bits(
    teacher: Run, straight: Run, tmp_path: Path, stop_before: Any, step: int
) -> None:
    stopped = stop_before(step)
    with pytest.raises(stopped):
        distil(teacher, tmp_path / "student")
    assert not (tmp_path / "student" / "result.json").exists()
    assert_same(straight, distil(teacher, tmp_path / "student"))
    stop_before(0)
    distil(teacher, tmp_path / "student")  # takes no step


def test_a_folder_with_other_phases_is_refused_by_name(teacher: Run, straight: Run, tmp_path: Path) -> None:
    out = straight.path
    stages = {path: path.stat().st_mtime_ns for path in out.rglob("result.json")}
    for changed, problem in (
        ([PHASES[0] | {"epochs": 2}, *PHASES[1:]], r"phases/1' contains .* \(training.epochs was 1, now 2\)"),
        ([*PHASES[:2], PHASES[2] | {"objective": SoftTargets(2)}], r"student' contains .*objective was"),
        ([*PHASES, {"epochs": 1}], r"student' contains a run of 3 phases, and 4 phases are given"),
        (PHASES[:2], r"phases/2' is another phase than 2 phases"),
    ):
        with pytest.raises(RunError, match=problem):
            distil(teacher, out, changed)
    with pytest.raises(RunError, match="contains a run of another configuration"):
        distil(teacher, out, None)
    assert {path: path.stat().st_mtime_ns for path in out.rglob("result.json")} == stages
    (tmp_path / "begun" / "phases" / "1").mkdir(parents=True)
    with pytest.raises(RunError, match="exists and is not a run folder"):  # of a phase that was killed
        distil(teacher, tmp_path / "begun", None)


@pytest.mark.parametrize(
    ("phases", "problem"),
    [
        (
            [{"epochs": 1}, {"objectiv": "HardLabels()"}],
            "phase 2: 'objectiv' is not a setting of a phase; did you mean",
        ),
        ([{"epochs": 1}, {"training": {"epocs": 1}}], "phase 2: 'training.epocs' is not a setting; did you mean 'epo"),
        ([{"epochs": 0}], "phase 1: 'training.epochs': .*, got 0"),
        (
            [{"training": {"epochs": 1}, "epochs": 2}],
            "phase 1: 'epochs' stands beside 'training' and in it; give it once",
        ),
        ([{"store": 3}], "phase 1: 'store': input should be a valid dictionary or instance of StoreConfig, got 3"),
        ([{"store": {"keep": "top:3"}}], "phase 1: the settings of store need targets 'store', got 'online'"),
        ([{}] * 1001, "phases must be a list of settings for each phase"),
        ([{"seed": 1}], "phase 1: all phases share the setting 'seed'; give it for all of them"),
        ([{"start": "runs/a"}], "phase 1: a phase starts from the one before it; give that of the first as"),
        ([{"objective": "SoftTarget(4)"}], "phase 1: term 'SoftTarget' is unknown; did you mean 'SoftTargets'"),
        ([{"objective": "HardLabels()"}], "no phase has a term with a teacher; add one"),
        ([], "phases must be a list of settings for each phase"),
        ([3], "phases must be a list of settings for each phase"),
    ],
)
def test_a_mistake_in_a_phase_is_one_sentence(teacher: Run, tmp_path: Path, phases: Any, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        distil(teacher, tmp_path / "student", phases)
    assert not (tmp_path / "student").exists()


def test_what_does_not_fit_in_the_last_phase_is_said_before_the_first(
    teacher: Run, tmp_path: Path, stop_before: Any
) -> None:
    stop_before(0)
    with pytest.raises(MismatchError, match="phase 2: the student has no layer 'hiden'; the nearest are"):
        distil(teacher, tmp_path / "a", [{"epochs": 1}, {"objective": Hints({"hiden": "hidden1"})}])
    with pytest.raises(InstarError, match="phase 2: Hints compares hidden layers, and targets 'memory' keep none"):
        distil(teacher, tmp_path / "b", [{}, {"objective": Hints({"hidden1": "hidden1"})}], targets="memory")
    store = instar.label(DIGITS, teacher, out=tmp_path / "store", show=False)
    with pytest.raises(InstarError, match="phase 1: Hints compares hidden layers, and the teacher Stored keeps"):
        distil(store, tmp_path / "c", PHASES)
    assert not any((tmp_path / name).exists() for name in "abc")


def test_a_phase_that_diverges_is_named(teacher: Run, tmp_path: Path) -> None:
    with pytest.raises(NonFiniteError, match="phase 2 diverged, and phases 1 to 1 are kept"):
        distil(teacher, tmp_path / "student", [{"epochs": 1}, {"epochs": 1, "objective": "1e38 * SoftTargets(1000)"}])


def test_a_phase_reads_stored_targets_after_one_of_hidden_layers(teacher: Run, tmp_path: Path) -> None:
    first = PHASES[0]
    stored = distil(teacher, tmp_path / "stored", [first, {"targets": tmp_path / "targets", "epochs": 1}])
    assert stored.config["targets"] == "store"
    asked = distil(teacher, tmp_path / "asked", [first | {"targets": "online"}, {"epochs": 1}], targets="memory")
    assert asked.config["targets"] == "memory"
    # what a phase says of the store of the command
    few = distil(teacher, tmp_path / "few", [{"store": {"keep": "top:3"}}], targets="store", epochs=1)
    assert (few.config["store"]["keep"], few.config["targets"]) == ("top:3", "store")
    # stored targets are of half precision
    assert stored.metrics["nll"] == pytest.approx(asked.metrics["nll"], rel=1e-3)


def test_a_module_trains_in_phases(teacher: Run, tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.ReLU(), nn.Linear(8, 10))
    phases = [{"objective": Hints({"2": "hidden1"}), "epochs": 1}, {"epochs": 1}]
    run = distil(teacher, tmp_path / "student", phases, module)
    assert not same_weights(run, distil(teacher, tmp_path / "other", [phases[0], {"epochs": 2}], module))
    assert distil(teacher, tmp_path / "student", phases, module).path == run.path


def test_the_command_line_reads_phases_from_a_file(
    teacher: Run, tmp_path: Path, instar: Callable[..., tuple[int, str, str]]
) -> None:
    file, out = tmp_path / "phases.yaml", tmp_path / "students"
    file.write_text("phases:\n- objective: \"Hints({'hidden1': 'hidden1'})\"\n  epochs: 1\n- training: {epochs: 2}\n")
    words = ["distill", "digits", "--teacher", teacher.path, "--model", "mlp", "--arg", "widths=[8]", "--phases", file]
    words += ["--set", "data.subset=96", "--set", "training.batch_size=32"]
    for seed in (0, 1):
        assert instar(*words, "--seed", seed, "--out", out / "phases" / f"seed-{seed}")[0] == 0
        alone = [*words[:-6], *words[-4:], "--seed", seed, "--epochs", 2, "--out", out / "one" / f"seed-{seed}"]
        assert instar(*alone)[0] == 0
    code, page, _ = instar("inspect", out / "phases" / "seed-0")
    assert code == 0
    assert "phase before" in page
    described = json.loads(instar("inspect", out / "phases" / "seed-0", "--json")[1])["phases"]
    assert [(Path(one["folder"]).name, one["epochs"]) for one in described] == [("1", 1)]
    code, _, err = instar("compare", out / "one", out / "phases", "--json")
    assert code == 0, err
    assert instar("report", out)[0] == 0
    html = (out / "report.html").read_text()
    assert "All phases (s)" in html
    assert "starts" in html
    assert "phases/seed-*/phases/1 makes" not in html
    file.write_text("phase:\n- {epochs: 1}\n")
    code, _, err = instar(*words, "--out", tmp_path / "no")
    assert (code, err) == (2, f"instar: '{file}' has the key 'phase'; did you mean 'phases'?\n")
