"""The base of our networks: it keeps its arguments, and makes its layers when the data are known."""

from __future__ import annotations

from typing import Any

from torch import nn

from instar.errors import MismatchError


class Architecture(nn.Module):
    """A network that can be made twice: as a description, and with layers.

    `MLP([500, 300])` is a description: it holds arguments and no weights. Training makes the network from it with the
    shapes of the data, under the run's own seed. With `input_shape` and `num_classes` given, it is a network at once.

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


def require_image(input_shape: tuple[int, ...], name: str) -> None:
    """Refuse inputs that are not images.

    Raises:
        MismatchError: when `input_shape` is not (channels, height, width).
    """
    if len(input_shape) != 3:
        raise MismatchError(
            f"model '{name}' needs images (channels, height, width), got inputs of shape {list(input_shape)}."
        )
