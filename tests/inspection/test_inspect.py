"""Descriptions of run folders that are complete, incomplete or damaged, and refusals of other folders."""

import json
import shutil

import pytest

from instar.errors import ConfigError, RunError
from instar.models import MLP
from instar.procedures.distill import distill
from instar.procedures.ensemble import ensemble
from instar.procedures.inspect import inspect
from instar.procedures.label import label
from instar.procedures.train import train

SETTINGS = {"epochs": 2, "learning_rate": 0.01}


@pytest.fixture(scope="module")
def student(tmp_path_factory):
    folder = tmp_path_factory.mktemp("inspect")
    teacher = train("digits", MLP([24]), out=folder / "teacher", **SETTINGS)
    return distill("digits", teacher, MLP([8]), out=folder / "student", objective="SoftTargets(4)", seed=3, **SETTINGS)


@pytest.fixture
def copied(student, tmp_path):
    return shutil.copytree(student.path, tmp_path / "copied")


def problems(folder):
    found = inspect(folder)
    return found.state, {file.name: file.problem for file in found.damaged}


def test_a_complete_run_has_a_model_an_origin_and_scores(student):
    found = inspect(student.path)
    assert (found.state, found.damaged, found.resumes_at, found.notes) == ("complete", (), None, ())
    assert found.model["parameters"] == 64 * 8 + 8 + 8 * 10 + 10
    assert found.model["bytes"] == student.weights.stat().st_size
    assert found.model["classes"] == [str(number) for number in range(10)]
    origin = found.origin
    assert (origin["temperatures"], origin["seed"], origin["targets"]) == ([4.0], 3, "online")
    assert origin["teachers"] == [str(student.path.parent / "teacher")]
    (error,) = [score for score in found.scores if (score.split, score.name) == ("test", "error")]
    assert [error.value, error.low, error.high] == [student.metrics["error"], *student.metrics["error_interval"]]
    assert any(command.startswith(f"instar export {student.path}") for command in found.commands)
    assert all("--trust" not in command for command in found.commands)
    assert json.loads(json.dumps(found.as_dict()))["state"] == "complete"


def test_every_damaged_file_is_named_with_its_reason(copied):
    content = (copied / "weights.safetensors").read_bytes()
    (copied / "weights.safetensors").write_bytes(content[: len(content) // 2])
    (copied / "environment.json").write_text("{")
    (copied / "model.json").unlink()
    state, found = problems(copied)
    assert state == "damaged"
    assert found.keys() == {"weights.safetensors", "environment.json", "model.json"}
    assert "unreadable or truncated" in found["weights.safetensors"]
    assert "damaged" in found["environment.json"]
    assert found["model.json"] == "it is missing"


@pytest.mark.parametrize("content", ["", "[]", '{"format": 1}', '{"format": 1, "config": 3, "fingerprints": {}}'])
def test_a_folder_without_a_configuration_is_still_described(copied, content):
    (copied / "config.json").write_text(content)
    found = inspect(copied)
    assert found.state == "damaged"
    assert found.notes
    assert any(score.name == "error" for score in found.scores)


def test_weights_of_another_model_are_damage(student, copied):
    shutil.copy(student.path.parent / "teacher" / "weights.safetensors", copied)
    state, found = problems(copied)
    assert state == "damaged"
    assert found["weights.safetensors"] == "it does not belong to this run: result.json names another checksum"


def test_an_incomplete_run_says_from_which_step_it_resumes(tmp_path, stop_before):
    error = stop_before(9)
    with pytest.raises(error):
        train("digits", MLP([8]), out=tmp_path / "run", checkpoint_seconds=0, batch_size=256, **SETTINGS)
    found = inspect(tmp_path / "run")
    assert (found.state, found.damaged) == ("incomplete", ())
    assert found.resumes_at is not None
    assert 0 < found.resumes_at <= 9
    assert "so far; run its command again" in found.notes[0]
    assert found.scores == ()


def test_an_ensemble_lacks_nothing(student, tmp_path):
    both = ensemble([student, student.path.parent / "teacher"], out=tmp_path / "both")
    assert problems(both.path) == ("complete", {})
    assert not any("export" in command for command in inspect(both).commands)


def test_other_folders_are_refused_and_a_store_gets_a_hint(student, tmp_path):
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(RunError, match="is not a run folder: it has none of its files"):
        inspect(tmp_path)
    store = label("digits", student, out=tmp_path / "store")
    with pytest.raises(ConfigError, match=r"is a target store; see: instar targets info .*store"):
        inspect(store.path)
