"""Building a network from a name and arguments."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from instar.checks import example_of
from instar.config import ModelConfig, validate
from instar.errors import ConfigError, InstarError, MismatchError, nearest, shortened
from instar.models.architecture import Architecture
from instar.models.ban_resnet import BANResNet
from instar.models.causal_lm import TRANSFORMERS_PREFIX, CausalLM
from instar.models.character_lstm import CharacterLSTM
from instar.models.cnn import CNN
from instar.models.densenet import DenseNet
from instar.models.frame_net import FrameNet
from instar.models.imported import import_model
from instar.models.lstm import LSTM
from instar.models.mlp import MLP
from instar.models.normalised import Normalised
from instar.models.preact_resnet import PreActivationResNet
from instar.models.probe import compute_logits
from instar.models.resnet import ResNet
from instar.models.sizes import refuse_too_large
from instar.models.wide_resnet import WideResNet

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
"""Model families by the name in a configuration; add one line for a new family."""


def describe(model: str | ModelConfig | Mapping[str, Any] | nn.Module) -> ModelConfig:
    """Return the configuration of a model given as a name, a mapping, a configuration or a module.

    >>> describe(MLP([500, 300])).name
    'mlp'
    """
    if isinstance(model, ModelConfig):
        return model
    if isinstance(model, str):
        return ModelConfig(name=model)
    if isinstance(model, Mapping):
        return validate(ModelConfig, model)
    return _of_network(model.network if isinstance(model, Normalised) else model)


def _of_network(model: object) -> ModelConfig:
    if isinstance(model, CausalLM):
        return ModelConfig(
            name=TRANSFORMERS_PREFIX + model.path, arguments={} if model.pretrained else {"pretrained": False}
        )
    kind = type(model)
    names = [name for name, family in MODELS.items() if family is kind]
    if names and isinstance(model, Architecture):
        return ModelConfig(name=names[0], arguments=model.arguments)
    return ModelConfig(name=f"{kind.__module__}:{kind.__qualname__}", arguments=_arguments(model))


def _arguments(model: object) -> dict[str, Any]:
    # a class of the user's may list its arguments; `why_not_rebuilt` tests whether they build the same network again
    found = getattr(model, "arguments", None)
    try:
        return found if isinstance(found, dict) and json.loads(json.dumps(found)) == found else {}
    except (TypeError, ValueError):
        return {}


def build_network(
    config: ModelConfig,
    input_shape: tuple[int, ...],
    classes: int | tuple[str, ...],
    *,
    trust: bool,
    declared: bool = True,
) -> nn.Module:
    """Build a network with new weights from torch's global generator.

    `input_shape`, `num_classes` and `classes` (class names) are passed to constructors that have these parameters.

    Args:
        config: arguments, and the name of a family of `instar.models`, `transformers:` with a folder or Hub id, or the
            `package.module:Name` of a class or of a function that returns a module.
        input_shape: shape of one input.
        classes: class names, or their number if the names are unknown.
        trust: allow a class outside `instar.models` to be imported.
        declared: require that a function is annotated to return a module, because a run folder may name any function.

    Raises:
        ConfigError: when the name is unknown, not trusted or not a module, or the arguments do not fit.
    """
    own: dict[str, Any] = {}
    if config.name in MODELS:
        kind: Callable[..., Any] = MODELS[config.name]
    elif config.name.startswith(TRANSFORMERS_PREFIX):
        kind, own = CausalLM, {"path": config.name.removeprefix(TRANSFORMERS_PREFIX)}
    elif ":" not in config.name:
        raise ConfigError(f"model '{config.name}' is unknown; {nearest(config.name, MODELS)}")
    elif not trust:
        raise ConfigError(
            f"model '{config.name}' is not part of instar.models, so loading it runs code from outside Instar; "
            "allow this with --trust (trust=True)."
        )
    else:
        kind = import_model(config.name, declared=declared)
    parameters = _parameters(kind)
    names = range(classes) if isinstance(classes, int) else classes
    sizes = {"input_shape": input_shape, "num_classes": len(names), "classes": tuple(map(str, names))}
    given = {name: value for name, value in sizes.items() if name in parameters} | own | config.arguments
    unknown = [name for name in given if name not in parameters]
    if unknown and not any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        raise ConfigError(f"model '{config.name}' has no argument '{unknown[0]}'; {nearest(unknown[0], parameters)}")
    if missing := next((p for p in parameters.values() if p.default is p.empty and _is_needed(p, given)), None):
        example = f"{missing.name}={_example(kind, missing.name)}"
        raise ConfigError(f"model '{config.name}' needs the argument '{missing.name}', such as --arg {example}.")
    try:
        with refuse_too_large(config.name):
            made = kind(**given)
    except InstarError:
        raise
    except Exception as error:
        if ":" not in config.name and not isinstance(error, TypeError):
            raise  # a bug of Instar, whose traceback is needed
        raise ConfigError(f"model '{config.name}' cannot be made: {shortened(error).rstrip('.')}.") from None
    if not isinstance(made, nn.Module):
        raise ConfigError(f"model '{config.name}' must return a torch.nn.Module, got {type(made).__name__}.")
    return made


def _is_needed(parameter: inspect.Parameter, given: Mapping[str, Any]) -> bool:
    several = (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL)
    return parameter.name not in given and parameter.kind not in several


def last_layer(model: nn.Module, num_classes: int, purpose: str, inputs: Tensor) -> tuple[str, nn.Linear]:
    """Return name and module of the linear layer that returns the logits.

    Args:
        model: takes raw inputs.
        num_classes: units of the layer.
        purpose: what it is needed for, for people.
        inputs: a few raw ones, `[n, ...]`, on which a layer proves that its bias shifts the logits.

    Raises:
        MismatchError: when the model does not end in a linear layer with a bias and one unit per class.
    """
    for name, layer in reversed(list(model.named_modules())):
        if not isinstance(layer, nn.Linear) or layer.out_features != num_classes:
            continue
        bias = layer._parameters.get("bias")  # one that is computed from other weights would be overwritten
        if bias is not None and _shifts_logits(model, bias, inputs):
            return name, layer
    raise MismatchError(f"the model must end in a linear layer with a bias and {num_classes} units to {purpose}.")


@torch.no_grad()
def _shifts_logits(model: nn.Module, bias: Tensor, inputs: Tensor) -> bool:
    """Whether what is added to a bias is added to the logits, but for a constant of each example."""
    inputs, kept = inputs.to(bias.device), bias.clone()
    before = compute_logits(model, inputs)
    if before.shape[-1] != len(bias):
        return False
    finite = before.isfinite()
    step = (1 + before[finite].abs().max()) * (torch.arange(len(bias)) % 2)
    bias.add_(step.to(bias))
    moved = compute_logits(model, inputs) - before - step
    bias.copy_(kept)
    allowed = torch.finfo(bias.dtype).eps ** 0.5 * step.max()
    return bool(((moved - moved[..., :1])[finite].abs() <= allowed).all())


def _example(kind: Callable[..., Any], argument: str) -> str:
    try:
        return example_of(inspect.signature(kind, eval_str=True).parameters[argument].annotation)
    except Exception:  # annotations are code, which may name unknown things
        return example_of(None)


def _parameters(kind: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    try:
        return inspect.signature(kind).parameters
    except (TypeError, ValueError):  # compiled code has no signature
        return {}
