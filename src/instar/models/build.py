"""Building a network from a name and arguments."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from instar.calling import parameters_of, refuse_arguments
from instar.compute.inputs import Inputs, Shapes, describe_shapes, move_inputs
from instar.compute.packed import are_packed
from instar.config import ModelConfig, validate
from instar.errors import ConfigError, InstarError, MismatchError, nearest, shortened
from instar.models.architecture import Architecture
from instar.models.bag import Bag
from instar.models.ban_resnet import BANResNet
from instar.models.boosting import Boosting
from instar.models.causal_lm import TRANSFORMERS_PREFIX, CausalLM
from instar.models.character_lstm import CharacterLSTM
from instar.models.cnn import CNN
from instar.models.densenet import DenseNet
from instar.models.estimator import Estimator
from instar.models.forest import Forest
from instar.models.frame_net import FrameNet
from instar.models.imported import import_model
from instar.models.imported_estimator import describe_estimator, is_estimator_object
from instar.models.linear import Linear
from instar.models.lstm import LSTM
from instar.models.mlp import MLP
from instar.models.nearest import Nearest
from instar.models.normalised import Normalised
from instar.models.preact_resnet import PreActivationResNet
from instar.models.probe import compute_logits
from instar.models.readers.encoded import WORD_STARTS
from instar.models.resnet import ResNet
from instar.models.sizes import ParameterLimit
from instar.models.text_lstm import TextLSTM
from instar.models.text_transformer import TextTransformer
from instar.models.timm_classifier import TIMM_PREFIX, TimmClassifier
from instar.models.transformers_classifier import TransformersClassifier
from instar.models.transformers_kinds import choose_transformers_kind, kind_of_inputs
from instar.models.tree import Tree
from instar.models.vgg import VGG
from instar.models.wide_resnet import WideResNet
from instar.models.word_network import WordNetwork

MODELS: dict[str, type[Architecture]] = {
    "mlp": MLP,
    "cnn": CNN,
    "resnet": ResNet,
    "wide-resnet": WideResNet,
    "preact-resnet": PreActivationResNet,
    "densenet": DenseNet,
    "ban-resnet": BANResNet,
    "vgg": VGG,
    "lstm": LSTM,
    "character-lstm": CharacterLSTM,
    "frame-net": FrameNet,
    "linear": Linear,
    "bag": Bag,
    "text-lstm": TextLSTM,
    "text-transformer": TextTransformer,
    "tree": Tree,
    "forest": Forest,
    "boosting": Boosting,
    "estimator": Estimator,
    "nearest": Nearest,
}
"""Model families by the name in a configuration; add one line for a new family."""


def describe_model(model: str | ModelConfig | Mapping[str, Any] | nn.Module) -> ModelConfig:
    """Return the configuration of a model given as a name, a mapping, a configuration, a module or an estimator.

    >>> describe_model(MLP([500, 300])).name
    'mlp'
    """
    if isinstance(model, ModelConfig):
        return model
    if isinstance(model, str | Mapping):
        return ModelConfig(name=model) if isinstance(model, str) else validate(ModelConfig, model)
    if is_estimator_object(model):
        return ModelConfig(name="estimator", arguments=describe_estimator(model))
    # loading wraps the network in `Normalised` again, so only the inner network is described
    network = model.network if isinstance(model, Normalised) else model
    if isinstance(network, CausalLM | TransformersClassifier | TimmClassifier):
        return _describe_foreign(network)
    kind = type(network)
    for name, family in MODELS.items():
        # not a subclass, whose layers may be others
        if isinstance(network, Architecture) and kind is family:
            return ModelConfig(name=name, arguments=network.arguments)
    return ModelConfig(name=f"{kind.__module__}:{kind.__qualname__}", arguments=_arguments(network))


def _describe_foreign(network: CausalLM | TransformersClassifier | TimmClassifier) -> ModelConfig:
    if isinstance(network, TimmClassifier):
        return ModelConfig(name=TIMM_PREFIX + network.name, arguments=network.arguments)
    arguments = {} if network.pretrained else {"pretrained": False}
    return ModelConfig(name=TRANSFORMERS_PREFIX + network.path, arguments=arguments)


def _arguments(network: object) -> dict[str, Any]:
    # a class of the user's may list its arguments; `why_not_rebuilt` tests whether they build the same network again
    found = getattr(network, "arguments", None)
    try:
        # what JSON changes, such as a tuple, would reach the constructor as something else
        return found if isinstance(found, dict) and json.loads(json.dumps(found)) == found else {}
    except (TypeError, ValueError):
        return {}


def build_network(
    config: ModelConfig,
    input_shape: Shapes,
    classes: int | tuple[str, ...],
    *,
    trust: bool,
    declared: bool = True,
    sizes: Mapping[str, Any] | None = None,
) -> nn.Module:
    """Build a network with new weights from torch's global generator.

    `input_shape`, `num_classes` and `classes` are passed to constructors that have these parameters. `classes` are the
    names, or their number where the parameter has the annotation int or a default of this type.

    Args:
        config: arguments, and a name: that of a family of `instar.models`, `transformers:` with a folder or Hub id,
            `timm:` with a name of timm, or `package.module:Name` of a class or of a function that returns a module.
        input_shape: shape of one input, or of several by name.
        classes: class names, or their number if the names are unknown.
        trust: allow a class outside `instar.models` to be imported.
        declared: require that a function is annotated to return a module, because a run folder may name any function.
        sizes: what the reader says about its tensors, by parameter, such as `vocabulary_size`.

    Raises:
        ConfigError: when the name is unknown, not trusted or not a module, or the arguments do not fit.
        MismatchError: when a family of Instar, which takes one tensor, would get several inputs.
    """
    _refuse_other_inputs(config.name, input_shape, sizes or {})
    own: dict[str, Any] = {}
    if config.name in MODELS:
        kind: Callable[..., Any] = MODELS[config.name]
    elif config.name.startswith(TRANSFORMERS_PREFIX):
        path = config.name.removeprefix(TRANSFORMERS_PREFIX)
        # a family that predicts the next word classifies texts too, and takes packed texts by name as well
        kind, own = kind_of_inputs(input_shape) or choose_transformers_kind(path), {"path": path}
    elif config.name.startswith(TIMM_PREFIX):
        kind, own = TimmClassifier, {"name": config.name.removeprefix(TIMM_PREFIX)}
    elif ":" not in config.name:
        raise ConfigError(f"model '{config.name}' is unknown; {nearest(config.name, MODELS)}")
    elif not trust:
        raise ConfigError(
            f"model '{config.name}' is not part of instar.models, so loading it runs code from outside Instar; "
            "allow this with --trust (trust=True)."
        )
    else:
        kind = import_model(config.name, declared=declared)
    parameters = parameters_of(kind)
    names = tuple(map(str, range(classes) if isinstance(classes, int) else classes))
    # a user's class may call their number so
    wants_number = "classes" in parameters and _is_number(parameters["classes"])
    own_classes = len(names) if wants_number else names
    known = {"input_shape": input_shape, "num_classes": len(names), "classes": own_classes, **(sizes or {})}
    if getattr(kind, "takes_trust", False) and config.name in MODELS:
        known["trust"] = trust
    # arguments come last, so that those of a user's class may replace the sizes of the data
    given = {name: value for name, value in known.items() if name in parameters} | own | config.arguments
    made = call_constructor(kind, config.name, given)
    if not isinstance(made, nn.Module):
        raise ConfigError(f"model '{config.name}' must return a torch.nn.Module, got {type(made).__name__}.")
    return made


def _is_number(parameter: inspect.Parameter) -> bool:
    return type(parameter.default) is int or parameter.annotation in (int, "int")


def call_constructor(
    kind: Callable[..., Any], name: str, given: Mapping[str, Any], *, flag: str = "--arg", what: str = "model"
) -> Any:
    """Return what a class or function of networks makes.

    Args:
        kind: class or function.
        name: its name, for error messages.
        given: arguments by name.
        flag: flag of the command line that gives an argument, for error messages.
        what: noun for error messages.

    Raises:
        ConfigError: when the arguments do not fit, or it raises.
    """
    refuse_arguments(kind, f"{what} '{name}'", given, flag=f"{flag} ")
    try:
        with ParameterLimit(name):
            return kind(**given)
    except InstarError:  # already a sentence, of a family or of the limit
        raise
    except Exception as error:
        if ":" not in name and not isinstance(error, TypeError):
            raise  # a bug of Instar, whose traceback is needed
        raise ConfigError(f"{what} '{name}' cannot be made: {shortened(error).rstrip('.')}.") from None


def _refuse_other_inputs(name: str, given: Shapes, sizes: Mapping[str, Any]) -> None:
    if name not in MODELS:
        return
    takes = MODELS[name].input_names
    if isinstance(given, Mapping) and WORD_STARTS in given:
        taggers = [one for one, family in MODELS.items() if getattr(family, "reads_each_word", False)]
        if name not in taggers:
            raise MismatchError(
                f"model '{name}' predicts no class for each word, and the data have one; models that do: "
                f"{', '.join(taggers)}, and transformers:PATH_OR_ID."
            )
        takes = (*takes, WORD_STARTS)
    if isinstance(given, Mapping) and are_packed(given):
        raise MismatchError(
            f"model '{name}' reads one text per sample, and the data have several; leave out data.packing."
        )
    if issubclass(MODELS[name], WordNetwork) and "vocabulary_size" not in sizes:
        raise MismatchError(
            f"model '{name}' reads words of texts, and the data have inputs {describe_shapes(given)}; choose another "
            "model, or load texts."
        )
    if not isinstance(given, Mapping) or set(takes) == set(given):
        return
    if takes and (more := ", ".join(sorted(set(given) - set(takes)))) and set(takes) < set(given):
        raise MismatchError(
            f"model '{name}' takes {' and '.join(takes)}, and its reader makes {more} too; leave it out, as "
            "Tokens(..., token_types=False) does."
        )
    if "num_words" in sizes:
        raise MismatchError(f"model '{name}' embeds no words of a table; choose 'mlp', or leave out words='embedded'.")
    if "vocabulary_size" in sizes:
        known = ", ".join(name for name, family in MODELS.items() if issubclass(family, WordNetwork))
        raise MismatchError(f"model '{name}' reads numbers, and the data have texts; models of texts: {known}.")
    raise MismatchError(
        f"model '{name}' takes one tensor, and the data have several inputs: {describe_shapes(given)}; let it read one "
        f"of them, with reader=AsIs('{next(iter(given))}'), or give a network of your own."
    )


def last_layer(model: nn.Module, num_classes: int, purpose: str, inputs: Inputs) -> tuple[str, nn.Linear]:
    """Return name and module of the linear layer that returns the logits.

    Args:
        model: takes raw inputs.
        num_classes: units of the layer.
        purpose: what the layer is needed for, for the error message.
        inputs: a few raw inputs, `[n, ...]` each, to test that the bias of the layer shifts the logits.

    Raises:
        MismatchError: when the model does not end in a linear layer with a bias and one unit per class.
    """
    # neither its name nor its place tells which layer it is: a network may register its layers in any order, and may
    # have another layer of this width
    for name, layer in reversed(list(model.named_modules())):
        if not isinstance(layer, nn.Linear) or layer.out_features != num_classes:
            continue
        bias = layer._parameters.get("bias")  # one that is computed from other weights would be overwritten
        if bias is not None and _shifts_logits(model, bias, inputs):
            return name, layer
    raise MismatchError(f"the model must end in a linear layer with a bias and {num_classes} units to {purpose}.")


@torch.no_grad()
def _shifts_logits(model: nn.Module, bias: Tensor, inputs: Inputs) -> bool:
    inputs, kept = move_inputs(inputs, bias.device), bias.clone()
    before = compute_logits(model, inputs)
    if before.shape[-1] != len(bias):
        return False
    finite = before.isfinite()
    # every other class, because a constant of each example is left out of the comparison below; as large as the logits,
    # so that their rounding stays within the tolerance
    step = (1 + before[finite].abs().max()) * (torch.arange(len(bias)) % 2)
    bias.add_(step.to(bias))
    moved = compute_logits(model, inputs) - before - step
    bias.copy_(kept)  # subtracting the step would leave its rounding in the weights
    allowed = torch.finfo(bias.dtype).eps ** 0.5 * step.max()
    # a log-softmax after the bias subtracts a constant of each example, which changes no probability
    return bool(((moved - moved[..., :1])[finite].abs() <= allowed).all())
