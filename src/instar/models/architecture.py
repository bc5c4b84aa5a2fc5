"""Base class of the built-in networks: keeps its arguments, and builds its layers once the data are known."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Protocol, runtime_checkable

from torch import Tensor, nn

from instar.compute.inputs import Shapes
from instar.errors import ConfigError, MismatchError

HiddenState = tuple[Tensor, ...]
"""Tensors `[batch, ...]`; empty at the start of a text."""


class TextNetwork:
    """Base class of networks that take a hidden state, or return `Projected` in place of logits."""

    # only on this type: a user's network may have attributes of the same names that mean something else
    carries_state: bool = False
    """Whether the network has a hidden state: called with one, it returns its logits and the next state."""
    projects: bool = False
    """Whether a call with `project=True` returns `Projected` in place of logits."""

    def generate(self, prompts: Any, **options: Any) -> Any:
        """Return what the network writes behind prompts, without special tokens.

        Args:
            prompts: a text; a conversation as a list of messages; a list of either, for which a list is returned; or
                tokens `[batch, position]`, for which tokens are returned, with those that were given.
            options: those of `generate` in Transformers, such as `max_new_tokens` and `do_sample`.

        Raises:
            MismatchError: when the network writes no text, or has no tokenizer.
        """
        raise MismatchError(f"{type(self).__name__} writes no text; only language models of Transformers do.")


class Architecture(nn.Module):
    """A network that is either a description without weights, or built with layers.

    `MLP([500, 300])` is a description: it stores arguments and has no weights. Training builds the network from it with
    the shapes of the data and the seed of the run. With `input_shape` and `num_classes`, the constructor builds the
    layers at once.

    A network is a sequence of named groups of layers. The output of a group is a feature, and the last group returns
    the logits.

    Args:
        arguments: keyword arguments of the constructor, as JSON values.
        input_shape: shape of one input, without the batch; the shapes of several by name, if it has `input_names`.
        num_classes: number of logits.
    """

    arguments: dict[str, Any]
    input_names: ClassVar[tuple[str, ...]] = ()
    """Names of the inputs that it takes where data have several; (): it takes one tensor."""

    def __init__(self, arguments: dict[str, Any], input_shape: Shapes | None, num_classes: int | None) -> None:
        super().__init__()
        self.arguments = arguments
        self.is_built = input_shape is not None and num_classes is not None
        if input_shape is not None and num_classes is not None:
            self.build(input_shape if isinstance(input_shape, Mapping) else tuple(input_shape), num_classes)

    def build(self, input_shape: Any, num_classes: int) -> None:
        """Make the layers. Each architecture implements this method."""
        raise NotImplementedError

    def groups(self) -> list[tuple[str, nn.Module]]:
        """Return name and module of each group of layers, in order of execution: the children that `build` made.

        An architecture overrides this if its children are not its groups. Consecutive modules may share a name; the
        feature is then the output of the last of them.
        """
        return list(self.named_children())

    def forward(self, inputs: Tensor) -> Tensor:
        """Return logits `[batch, classes]` of inputs `[batch, ...]`."""
        self._require_layers()
        # not by way of `features`, which keeps the output of every group until the end
        for _, module in self.groups():
            inputs = module(inputs)
        return inputs

    def features(self, inputs: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the logits `[batch, classes]`, and the output `[batch, ...]` of each earlier group by name."""
        self._require_layers()
        found: dict[str, Tensor] = {}
        for name, module in self.groups():
            found[name] = inputs = module(inputs)  # modules may share a name: the last one counts
        found.popitem()  # the last group returns the logits, which are no feature
        return inputs, found

    def _require_layers(self) -> None:
        if not self.is_built:
            name = type(self).__name__
            raise ConfigError(f"{name} has no layers yet; train it, or give input_shape and num_classes.")


@runtime_checkable
class Adopting(Protocol):
    """A network that copies layers of its teacher before training."""

    def adopt(self, teacher: nn.Module) -> None:
        """Copy layers of `teacher`, which is the network without its `Normalised` wrapper.

        Raises:
            MismatchError: when the teacher has no such layers, or they have another width.
        """


def require_image(input_shape: tuple[int, ...], name: str) -> None:
    """Refuse inputs that are not images.

    Raises:
        MismatchError: when `input_shape` is not (channels, height, width).
    """
    if len(input_shape) != 3:
        raise MismatchError(
            f"model '{name}' needs images (channels, height, width), got inputs of shape {list(input_shape)}."
        )


def units_of_depth(name: str, depth: int, step: int, rest: int) -> int:
    """Return n in depth = step n + rest.

    Raises:
        ConfigError: when n is not a whole number of at least 1; names the nearest allowed depths.

    >>> units_of_depth("ResNet", 20, 6, 2)
    3
    """
    units, left = divmod(depth - rest, step)
    if units >= 1 and not left:
        return units
    near = [step * n + rest for n in ((units, units + 1) if units >= 1 else (1,))]
    allowed = " and ".join(str(value) for value in near)
    raise ConfigError(f"{name}(depth) must be {step}n + {rest}, got {depth}; nearest: {allowed}.")
