"""The base of our networks: it keeps its arguments, and makes its layers when the data are known, and runs them."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

from torch import Tensor, nn

from instar.errors import ConfigError, MismatchError


class Architecture(nn.Module):
    """A network that can be made twice: as a description, and with layers.

    `MLP([500, 300])` is a description: it holds arguments and no weights. Training makes the network from it with the
    shapes of the data, under the run's own seed. With `input_shape` and `num_classes` given, it is a network at once.

    A network is a row of named stages. What a stage leaves is a feature; the last one leaves the logits.

    Args:
        arguments: the constructor's keyword arguments, as JSON values.
        input_shape: shape of one input, without the batch.
        num_classes: width of the output.
    """

    arguments: dict[str, Any]

    def __init__(self, arguments: dict[str, Any], input_shape: tuple[int, ...] | None, num_classes: int | None) -> None:
        super().__init__()
        self.arguments = arguments
        self.is_built = input_shape is not None and num_classes is not None
        if input_shape is not None and num_classes is not None:
            self.build(tuple(input_shape), num_classes)

    def build(self, input_shape: tuple[int, ...], num_classes: int) -> None:
        """Make the layers. Every architecture implements this one."""
        raise NotImplementedError

    def stages(self) -> list[tuple[str, nn.Module]]:
        """Return name and module of every stage in the order in which they run: the children as `build` made them.

        An architecture whose children are not its stages has a list of its own. Neighbours may share a name: the
        feature is then what the last of them leaves.
        """
        return list(self.named_children())

    def forward(self, inputs: Tensor) -> Tensor:
        """Return logits `[batch, classes]` of inputs `[batch, ...]`."""
        self._require_layers()
        for _, module in self.stages():
            inputs = module(inputs)
        return inputs

    def features(self, inputs: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the logits `[batch, classes]`, and by name what every stage before the last leaves, `[batch, ...]`."""
        self._require_layers()
        found: dict[str, Tensor] = {}
        name = ""
        for name, module in self.stages():
            found[name] = inputs = module(inputs)
        return found.pop(name), found

    def _require_layers(self) -> None:
        if not self.is_built:
            name = type(self).__name__
            raise ConfigError(f"{name} has no layers yet; train it, or give input_shape and num_classes.")


@runtime_checkable
class Adopting(Protocol):
    """A network that takes layers of its teacher before it is trained."""

    def adopt(self, teacher: nn.Module) -> None:
        """Copy layers of `teacher`, the network itself without the statistics of its inputs.

        Raises:
            MismatchError: when the teacher has no such layers, or they are of another width.
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


def require_counts(name: str, **counts: int) -> None:
    """Refuse what is no number of things.

    Raises:
        ConfigError: when one is not a whole number of at least 1.
    """
    for argument, count in counts.items():
        if not isinstance(count, int) or count < 1:
            raise ConfigError(f"{name}({argument}) must be a whole number of at least 1, got {count!r}.")


def units_of_depth(name: str, depth: int, step: int, rest: int) -> int:
    """Return n of depth = step n + rest.

    Raises:
        ConfigError: when n would not be a whole number of at least 1; names the nearest depths that are allowed.

    >>> units_of_depth("ResNet", 20, 6, 2)
    3
    """
    if isinstance(depth, int) and depth >= step + rest and (depth - rest) % step == 0:
        return (depth - rest) // step
    below = int((depth - rest) // step)
    near = [step * n + rest for n in ((below, below + 1) if below >= 1 else (1,))]
    allowed = " and ".join(str(value) for value in near)
    raise ConfigError(f"{name}(depth) must be {step}n + {rest}, got {depth}; nearest: {allowed}.")
