"""What can be a teacher, and what is refused, such as code without trust."""

import sys

import pytest
import torch
from sklearn.ensemble import RandomForestClassifier
from torch import nn

from instar.data import Loader, load_data
from instar.errors import ConfigError, RunError
from instar.models import MLP
from instar.procedures.distill import distill
from instar.procedures.ensemble import ensemble
from instar.procedures.evaluate import evaluate
from instar.procedures.train import train
from instar.runs.files import read_json, write_json
from instar.runs.run import Run
from instar.teachers import Classifier, Ensemble, Module, as_teacher

DIGITS = load_data("digits", subset=60)
BATCH = Loader(DIGITS.train, 16, seed=0).batch(0)
MODULE = """
from torch import nn
class Flat(nn.Module):
    def __init__(self, hidden, input_shape, num_classes):
        super().__init__()
        self.arguments = {"hidden": hidden}
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(64, hidden), nn.ReLU(), nn.Linear(hidden, num_classes))
    def forward(self, inputs):
        return self.layers(inputs)
"""


@pytest.fixture
def own_module(tmp_path, monkeypatch):
    """A user's module that can be imported, and was not imported yet."""
    (tmp_path / "own_networks.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    yield "own_networks"
    sys.modules.pop("own_networks", None)


def untrusted_run(own_module, path):
    train(DIGITS, {"name": f"{own_module}:Flat", "arguments": {"hidden": 4}}, out=path, epochs=1, trust=True)
    sys.modules.pop(own_module)
    return path


def test_run_folders_and_runs_predict_as_their_models(tmp_path):
    run = train(DIGITS, MLP([8]), out=tmp_path / "run", epochs=1)
    expected = run.model(BATCH.inputs).detach()
    for thing in (run, run.path, str(run.path), Run(run.path), run.model):
        torch.testing.assert_close(as_teacher(thing).targets(BATCH).logits(), expected)
    assert isinstance(as_teacher(RandomForestClassifier(2).fit([[0.0], [1.0]], [0, 1])), Classifier)


@pytest.mark.parametrize("thing", [None, 3, nn.Linear, [nn.Linear(2, 2)], {"name": "mlp"}])
def test_anything_else_is_refused(thing):
    with pytest.raises(ConfigError, match=f"a teacher must be .*, got {type(thing).__name__}"):
        as_teacher(thing)


def test_a_class_of_classifiers_is_not_a_fitted_one():
    with pytest.raises(ConfigError, match="is not fitted"):
        as_teacher(RandomForestClassifier)


def test_a_description_has_no_weights_to_teach_with():
    with pytest.raises(ConfigError, match="MLP has no weights yet"):
        as_teacher(MLP([4]))


def test_folders_without_a_complete_run_are_refused(tmp_path):
    with pytest.raises(RunError, match=r"not a run folder: it has no config\.json"):
        as_teacher(tmp_path)
    run = train(DIGITS, MLP([4]), out=tmp_path / "run", epochs=1)
    (run.path / "result.json").unlink()
    with pytest.raises(RunError, match="is not complete"):
        as_teacher(run.path)


def test_a_class_of_the_users_is_not_even_imported_without_trust(own_module, tmp_path):
    path = untrusted_run(own_module, tmp_path / "run")
    attempts = [
        lambda: as_teacher(path),
        lambda: Ensemble([path]),
        lambda: distill(DIGITS, path, MLP([4]), out=tmp_path / "student", epochs=1),
        lambda: train(DIGITS, f"{own_module}:Flat", out=tmp_path / "again", epochs=1),
    ]
    for attempt in attempts:
        with pytest.raises(ConfigError, match=r"allow this with --trust \(trust=True\)"):
            attempt()
        assert own_module not in sys.modules
    assert not (tmp_path / "student").exists()


def test_a_trusted_class_teaches(own_module, tmp_path):
    path = untrusted_run(own_module, tmp_path / "run")
    assert isinstance(as_teacher(path, trust=True), Module)
    student = distill(DIGITS, [path, path], MLP([4]), out=tmp_path / "student", epochs=1, trust=True)
    assert student.config["teachers"] == [str(path), str(path)]


def test_a_run_of_a_network_given_as_an_object_teaches_while_the_object_lives(tmp_path):
    run = train(DIGITS, nn.Sequential(nn.Flatten(), nn.Linear(64, 10)), out=tmp_path / "run", epochs=1)
    torch.testing.assert_close(as_teacher(run).targets(BATCH).logits(), run.model(BATCH.inputs).detach())
    student = distill(DIGITS, run, MLP([4]), out=tmp_path / "student", epochs=1)
    assert student.config["teachers"] == [str(run.path)]
    with pytest.raises(ConfigError, match="give network="):
        as_teacher(run.path)


@pytest.fixture(scope="module")
def single(tmp_path_factory):
    return train(DIGITS, MLP([4]), epochs=1, out=tmp_path_factory.mktemp("members") / "single")


def with_members(run, *members):
    """Change the members in the folder of an ensemble, as a stranger may."""
    content = read_json(run.path / "config.json")
    content["config"]["teachers"] = [str(member) for member in members]
    write_json(run.path / "config.json", content)
    result = read_json(run.path / "result.json")
    result["files"].pop("config.json")
    write_json(run.path / "result.json", result)


@pytest.mark.parametrize("length", [1, 2, 5])
@pytest.mark.parametrize("use", [as_teacher, evaluate])
def test_a_circle_of_ensembles_is_refused(tmp_path, single, length, use):
    circle = [ensemble([single], DIGITS, out=tmp_path / str(number)) for number in range(length)]
    for number, run in enumerate(circle):
        with_members(run, single.path, circle[(number + 1) % length].path)
    with pytest.raises(RunError, match=r"'.*/0' is a member of itself"):
        use(circle[0].path)


def test_nested_ensembles_are_counted_and_a_member_may_appear_twice(tmp_path, single):
    run = single
    for level in range(10):
        run = ensemble([run, run] if level == 0 else [run], DIGITS, out=tmp_path / str(level))
    assert as_teacher(run).modules()
    with pytest.raises(RunError, match="inside more than 10 other ensembles"):
        ensemble([run], DIGITS, out=tmp_path / "last")
