"""From a name and arguments to a network, and from a run folder to the network that it trained."""

from __future__ import annotations

import copy
import importlib
import inspect
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from instar.config import ModelConfig, validate
from instar.errors import ConfigError, MismatchError, RunError, nearest
from instar.files import read_json, read_tensors, write_json, write_tensors
from instar.models.architecture import Architecture
from instar.models.ban_resnet import BANResNet
from instar.models.causal_lm import PREFIX, CausalLM
from instar.models.character_lstm import CharacterLSTM
from instar.models.cnn import CNN
from instar.models.densenet import DenseNet
from instar.models.frame_net import FrameNet
from instar.models.lstm import LSTM
from instar.models.mlp import MLP
from instar.models.normalised import Normalised
from instar.models.preact_resnet import PreActivationResNet
from instar.models.resnet import ResNet
from instar.models.wide_resnet import WideResNet
from instar.run import Run

MODELS: dict[str, type[Architecture]] = {
    "mlp": MLP,
    "cnn": CNN,
    "resnet": ResNet,
    "wide-resnet": WideResNet,
    "preact-resnet": PreActivationResNet,
    "densenet": DenseNet,
    "ban-resnet": BANResNet,
    "lstm": LSTM,
    "character-lstm": CharacterLSTM,
    "frame-net": FrameNet,
}
"""The families that can be named in a configuration; one line for each new one."""


def describe(model: str | ModelConfig | Mapping[str, Any] | nn.Module) -> ModelConfig:
    """Return the configuration of a model that a user gave in any form.

    >>> describe(MLP([500, 300])).name
    'mlp'
    """
    if isinstance(model, ModelConfig):
        return model
    if isinstance(model, str):
        return ModelConfig(name=model)
    if isinstance(model, Mapping):
        return validate(ModelConfig, model)
    kind = type(model)
    names = [name for name, family in MODELS.items() if family is kind]
    if names and isinstance(model, Architecture):
        return ModelConfig(name=names[0], arguments=model.arguments)
    return ModelConfig(name=f"{kind.__module__}:{kind.__qualname__}", arguments=getattr(model, "arguments", {}))


def build_network(
    config: ModelConfig, input_shape: tuple[int, ...], classes: int | tuple[str, ...], *, trust: bool
) -> nn.Module:
    """Make a network with fresh weights from torch's global generator.

    A class gets `input_shape`, `num_classes` and `classes` (their names) too, where its constructor takes them.

    Args:
        config: a family of `instar.models`, `transformers:` and a folder or Hub id, or `package.module:Class`, with
            arguments.
        input_shape: shape of one input.
        classes: their names, or where these are not known their number.
        trust: whether a class outside `instar.models` may be imported.

    Raises:
        ConfigError: when the name is unknown, not trusted or no module, or the arguments do not fit.
    """
    own: dict[str, Any] = {}
    if config.name in MODELS:
        kind: type[nn.Module] = MODELS[config.name]
    elif config.name.startswith(PREFIX):
        kind, own = CausalLM, {"path": config.name.removeprefix(PREFIX)}
    elif ":" not in config.name:
        raise ConfigError(f"model '{config.name}' is unknown; {nearest(config.name, MODELS)}")
    elif not trust:
        raise ConfigError(
            f"model '{config.name}' is not of instar.models, so loading it runs code of yours; "
            "say so with --trust (trust=True)."
        )
    else:
        kind = _import(config.name)
    parameters = inspect.signature(kind).parameters
    names = range(classes) if isinstance(classes, int) else classes
    sizes = {"input_shape": input_shape, "num_classes": len(names), "classes": tuple(map(str, names))}
    given = {name: value for name, value in sizes.items() if name in parameters} | own | config.arguments
    unknown = [name for name in given if name not in parameters]
    if unknown and not any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        raise ConfigError(f"model '{config.name}' has no argument '{unknown[0]}'; {nearest(unknown[0], parameters)}")
    try:
        return kind(**given)
    except TypeError as error:
        raise ConfigError(f"model '{config.name}' cannot be made: {error}.") from None


def _import(path: str) -> type[nn.Module]:
    module_name, _, class_name = path.partition(":")
    try:
        found = getattr(importlib.import_module(module_name), class_name)
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"model '{path}' cannot be imported: {error}.") from None
    if not (isinstance(found, type) and issubclass(found, nn.Module)):
        raise ConfigError(f"model '{path}' must be a class of torch.nn.Module, got {found!r}.")
    return found


def save_model(
    run: Run, model: Normalised, config: ModelConfig, input_shape: tuple[int, ...], classes: tuple[str, ...]
) -> None:
    """Write the weights and how to build the network that they belong to."""
    write_tensors(run.weights, model.state_dict())
    description = config.model_dump() | {"input_shape": list(input_shape), "classes": list(classes)}
    write_json(run.path / "model.json", description)


def load_model(run: Run, *, trust: bool = False, network: nn.Module | None = None) -> Normalised:
    """Return the trained model of a run folder, in eval mode.

    Args:
        run: a run with weights.
        trust: allow a class outside `instar.models` to be imported.
        network: a network of the right shape, for runs whose model was given as a Python object; it is copied.

    Raises:
        ConfigError: when the class is not trusted.
        RunError: when weights are missing, truncated, or of another network.
    """
    tensors, _ = read_tensors(run.weights)
    return restore_model(tensors, read_json(run.path / "model.json"), str(run.path), trust=trust, network=network)


def restore_model(
    tensors: Mapping[str, Tensor],
    description: Mapping[str, Any],
    where: str,
    *,
    trust: bool = False,
    network: nn.Module | None = None,
) -> Normalised:
    """Return the model of some weights, in eval mode.

    Args:
        tensors: by name, with the statistics of the inputs.
        description: what `model.json` holds: how to build the network.
        where: they come from, for people.
        trust: allow a class outside `instar.models` to be imported.
        network: a network of the right shape, which is copied; none: build it.

    Raises:
        ConfigError: when the class is not trusted.
        RunError: when the weights are of another network.
    """
    config = ModelConfig(name=description["name"], arguments=description["arguments"])
    if config.name.startswith(PREFIX):  # its weights are the run's
        config = config.model_copy(update={"arguments": {**config.arguments, "pretrained": False}})
    if network is None:
        network = build_network(config, tuple(description["input_shape"]), tuple(description["classes"]), trust=trust)
    else:
        network = copy.deepcopy(network)
    model = Normalised(network, tensors.get("mean", torch.zeros(1)), tensors.get("std", torch.ones(1)))
    try:
        model.load_state_dict(dict(tensors))
    except RuntimeError as error:
        reason = " ".join(str(error).split())
        raise RunError(f"the weights of '{where}' do not fit its model '{config.name}': {reason}.") from None
    return model.eval()


def last_layer(model: nn.Module, num_classes: int, purpose: str) -> tuple[str, nn.Linear]:
    """Return name and module of the linear layer that gives the logits.

    Raises:
        MismatchError: when the model does not end in a linear layer with a bias and one unit per class.
    """
    layers = [(name, module) for name, module in model.named_modules() if isinstance(module, nn.Linear)]
    if not layers or layers[-1][1].out_features != num_classes or layers[-1][1].bias is None:
        raise MismatchError(f"the model must end in a linear layer with a bias and {num_classes} units to {purpose}.")
    return layers[-1]
