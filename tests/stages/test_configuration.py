"""One configuration from a file, arguments and settings, for Python and the command line alike."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch import nn

from instar.config import RunConfig
from instar.data import load_data
from instar.errors import ConfigError
from instar.importing import TypedName
from instar.models import MLP
from instar.objectives import HardLabels
from instar.procedures.train import train
from instar.runs.run import Run
from instar.stages.configuration import configure

FILE = {"data": {"source": "digits", "subset": 50}, "model": {"name": "mlp", "arguments": {"widths": [4]}}, "seed": 3}


def made(
    config: Any = None, named: dict[str, Any] | None = None, settings: dict[str, Any] | None = None, **given: Any
) -> RunConfig:
    inputs = {name: given.pop(name) for name in ("data", "model") if name in given}
    return configure("train", inputs, config, named or {}, settings, **given).config


def test_arguments_lie_over_the_file_and_settings_over_arguments(tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_text("training: {epochs: 7, batch_size: 50}\nseed: 3\nviews: Flip()\n")
    found = made(tmp_path / "run.yaml", {"epochs": 2}, {"seed": 5}, data="digits", model="mlp", seed=4, views=None)
    assert (found.training.epochs, found.training.batch_size, found.seed, found.views) == (2, 50, 5, "Flip()")
    assert made(FILE).data.subset == 50
    assert made(FILE, {}, {"data.subset": 60, "training": {"ema": 0.9}}).training.ema == 0.9
    assert made(FILE, {}, {"data.subset": 60}).data.subset == 60


def test_an_object_stands_for_itself_and_a_name_keeps_what_is_said_of_it() -> None:
    assert made(FILE, data="digits").data.subset == 50
    assert made(FILE, model={"arguments": {"dropout": 0.5}}).model.arguments == {"widths": [4], "dropout": 0.5}
    assert made(FILE, model=MLP([8])).model.arguments == MLP([8]).arguments
    arrays = (np.zeros((40, 2), dtype=np.float32), np.arange(40) % 2)
    assert made(FILE, data=arrays, settings={"data.subset": 9}).data.subset == 9
    data = load_data("digits", subset=20)
    assert made(FILE, data=data).data == data.config
    with pytest.raises(ConfigError, match=r"^the data are already loaded, so settings cannot change them; use data"):
        made(FILE, data=data, settings={"data.subset": 9})
    with pytest.raises(ConfigError, match=r"^the model is a module, which settings cannot change"):
        made(FILE, model=nn.Linear(64, 10), settings={"model.arguments.widths": [3]})


def test_settings_replace_an_objective_that_was_given_as_an_object() -> None:
    kept = configure("train", {}, FILE, {}, {}, objective=HardLabels())
    other = configure("train", {}, FILE, {}, {"objective": "HardLabels(0.2)"}, objective=HardLabels())
    assert str(kept.objects.objective) == kept.config.objective == "HardLabels(label_smoothing=0.0)"
    assert str(other.objects.objective) == "HardLabels(label_smoothing=0.2)"


@pytest.mark.parametrize(
    ("layers", "said"),
    [
        ({}, "'data' is required but missing"),
        ({"config": {"data": {"source": "digits"}}}, "'model' is required but missing"),
        ({"config": FILE | {"epochs": 3}}, "'epochs' is not a setting"),
        ({"config": FILE, "settings": ["seed=3"]}, "settings must be a mapping, such as .*, got list"),
        ({"config": FILE, "settings": {"training.lerning_rate": 1}}, "did you mean 'learning_rate'"),
        ({"config": 3}, "config must be a path, got int 3"),
    ],
)
def test_what_cannot_be_a_run_is_refused_in_a_sentence(layers: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        made(**layers)


def test_a_class_needs_trust_unless_somebody_types_its_name_as_a_flag(tmp_path: Path) -> None:
    named = {"name": "torch.nn:Linear", "arguments": {"in_features": 8, "out_features": 10}}
    for layers in ({"config": {"model": named}}, {"settings": {"model": named}}, {"model": named}):
        with pytest.raises(ConfigError, match=r"allow this with --trust \(trust=True\)"):
            train("digits", out=tmp_path / "no", **layers)
    for model in (TypedName("mine:Net"), {"name": TypedName("mine:Net")}):
        assert configure("train", {"data": "digits", "model": model}, None, {}, {}).trust_model
    assert not configure("train", {"data": "digits", "model": "mine:Net"}, None, {}, {}).trust_model
    inputs = {"data": "digits", "model": {"arguments": {}}}
    assert not configure("train", inputs, {"model": named}, {}, {}).trust_model
    assert not (tmp_path / "no").exists()


def test_python_and_the_command_line_make_the_same_run(instar: Any, tmp_path: Path) -> None:
    words = ["--set", "data.subset=60", "--set", "training.learning_rate=0.02", "--epochs", "1", "--seed", "2"]
    code, _, err = instar(
        "train", "digits", "--model", "mlp", "--arg", "widths=[4]", *words, "--out", tmp_path / "words"
    )
    assert code == 0, err
    settings = {"data.subset": 60, "model.arguments.widths": [4]}
    run = train(
        "digits", "mlp", out=tmp_path / "call", settings=settings, epochs=1, learning_rate=0.02, seed=2, show=False
    )
    assert run.config == Run(tmp_path / "words").config
    assert run.weights.read_bytes() == Run(tmp_path / "words").weights.read_bytes()
    again = train(config=run.config, out=tmp_path / "again", show=False)
    assert again.weights.read_bytes() == run.weights.read_bytes()


@pytest.mark.parametrize("model", ["cnn", {"name": "cnn"}])
def test_a_model_by_name_replaces_the_usual_one_with_its_arguments(model: Any) -> None:
    usual = {"model": {"name": "mlp", "arguments": {"widths": [4]}}}
    replaced = configure("born_again", {"data": "digits", "model": model}, None, {}, {}, defaults=usual)
    assert replaced.config.model.arguments == {}
    inputs = {"data": "digits", "model": {"arguments": {"dropout": 0.1}}}
    kept = configure("born_again", inputs, None, {}, {}, defaults=usual)
    assert kept.config.model.arguments == {"widths": [4], "dropout": 0.1}
