"""From names to networks, and from run folders back to models."""

import json
import sys

import pytest
import torch
from torch import nn

from instar.config import ModelConfig
from instar.data import load_data
from instar.errors import ConfigError, RunError
from instar.models import MLP, build_network, describe_model, load_model
from instar.procedures.train import train
from instar.runs.files import read_tensors, write_json, write_tensors
from instar.runs.run import Run

DIGITS = load_data("digits", subset=60)
MODULE = """
from torch import nn
NOT_A_CLASS = 3
class Wide(nn.Linear):
    def __init__(self, factor, *, input_shape):
        super().__init__(input_shape[0] * factor, 2)
class Any(nn.Module):
    def __init__(self, **everything):
        super().__init__()
        self.everything = everything
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return train(DIGITS, MLP([8]), out=tmp_path_factory.mktemp("build") / "run", epochs=1)


@pytest.fixture
def own_module(tmp_path, monkeypatch):
    (tmp_path / "own_parts.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    yield
    sys.modules.pop("own_parts", None)


def build(name, arguments=None, trust=True):
    return build_network(ModelConfig(name=name, arguments=arguments or {}), (5,), 2, trust=trust)


def test_a_class_by_import_path_gets_the_sizes_that_it_takes(own_module):
    assert build("own_parts:Wide", {"factor": 3}).in_features == 15
    assert build("own_parts:Any", {"a": 1}).everything == {"a": 1}


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("mpl", {}, "'mpl' is unknown; did you mean 'mlp'"),
        ("frame-net", {}, r"needs the argument 'widths', such as --arg widths=\[64,64\]"),
        ("mlp", {"widths": [3], "dropuot": 0.5}, "no argument 'dropuot'; did you mean 'dropout'"),
        ("resnet", {"depth": 21}, r"must be 6n \+ 2"),
        ("mlp", {"widths": [3], "dropout": 1.5}, "below 1, got 1.5"),
        ("own_parts:Wide", {"factr": 3}, "no argument 'factr'; did you mean 'factor'"),
        ("own_parts:Missing", {}, "cannot be imported"),
        ("own_parts:NOT_A_CLASS", {}, r"must be a class of torch\.nn\.Module"),
        ("no_such_module:Net", {}, "cannot be imported"),
    ],
)
def test_refuses_in_words(own_module, name, arguments, message):
    with pytest.raises(ConfigError, match=message):
        build(name, arguments)


def test_a_run_folder_gives_back_its_model_bit_for_bit(run):
    again, logits = load_model(Run(run.path)), read_tensors(run.path / "predictions.safetensors")[0]["test.logits"]
    assert not again.training
    assert all(torch.equal(value, run.model.state_dict()[name]) for name, value in again.state_dict().items())
    with torch.no_grad():
        torch.testing.assert_close(again(DIGITS.test.inputs()), logits)


def damaged(run, folder):
    """A copy of a run that a test may damage."""
    folder.mkdir()
    for name in ("config.json", "model.json", "weights.safetensors"):
        (folder / name).write_bytes((run.path / name).read_bytes())
    return Run(folder)


def test_weights_of_another_network_are_refused(run, tmp_path):
    copy = damaged(run, tmp_path / "copy")
    description = json.loads((copy.path / "model.json").read_text())
    write_json(copy.path / "model.json", description | {"arguments": {"widths": [9]}})
    with pytest.raises(RunError, match=r"do not fit its model 'mlp': .*size mismatch"):
        load_model(copy)


def test_missing_weights_are_refused(run, tmp_path):
    copy = damaged(run, tmp_path / "copy")
    tensors, _ = read_tensors(copy.weights)
    write_tensors(copy.weights, {name: value for name, value in tensors.items() if "bias" not in name})
    with pytest.raises(RunError, match="do not fit its model"):
        load_model(copy)


@pytest.mark.parametrize("share", [0, 0.01, 0.5, 0.99])
def test_a_truncated_weights_file_is_refused(run, tmp_path, share):
    copy = damaged(run, tmp_path / "copy")
    whole = copy.weights.read_bytes()
    copy.weights.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(RunError, match="unreadable or truncated"):
        load_model(copy)


def test_a_network_given_as_an_object_is_copied(tmp_path):
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    before = network[1].weight.clone()
    run = train(DIGITS, network, out=tmp_path / "run", epochs=1)
    assert torch.equal(network[1].weight, before)
    first = run.model.network
    second = load_model(run, network=network).network
    assert first is not network
    assert second is not network
    assert torch.equal(first[1].weight, second[1].weight)


def test_a_misspelt_key_of_a_model_is_refused_in_a_sentence():
    with pytest.raises(ConfigError, match="'argument' is not a setting; did you mean 'arguments'"):
        describe_model({"name": "mlp", "argument": {"widths": [8]}})
