"""Deep networks over frames, as in the speech section of Hinton, Vinyals and Dean (2015)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from instar.checks import Count, Share, checked
from instar.errors import ConfigError, MismatchError
from instar.models.architecture import Architecture
from instar.models.mlp import dense_layers, named_by_hidden_layer


@checked
class FrameNet(Architecture):
    """logits_t = MLP(x_(t - left), ..., x_t, ..., x_(t + right)) for each frame t of a recording, by the same MLP.

    Frames before the first are the first again, and those after the last are the last again. A recording that is padded
    with its last frame, as `instar.data` does, has so the same logits however far its batch reaches.

    Args:
        widths: units of the hidden layers.
        context: frames that are seen before and after the one that is asked about; the paper has 26 frames, of which
            that is the 21st.
        dropout: probability that a hidden unit is dropped.
        input_dropout: probability that a number of a window is dropped.
        input_shape: (frames, bands); there may be more or fewer frames at any call.
        num_classes: width of the output.

    >>> model = FrameNet([64, 64], context=(2, 1), input_shape=(100, 40), num_classes=30)
    >>> sum(p.numel() for p in model.parameters()), model(torch.rand(8, 73, 40)).shape
    (16414, torch.Size([8, 73, 30]))
    """

    def __init__(
        self,
        widths: Sequence[Count],
        context: Sequence[Any] = (20, 5),  # checked below: there are two
        dropout: Share = 0.0,
        input_dropout: Share = 0.0,
        *,
        input_shape: tuple[int, ...] | None = None,
        num_classes: int | None = None,
    ) -> None:
        self.widths, self.context = list(widths), list(context)
        self.dropout, self.input_dropout = dropout, input_dropout
        if len(self.context) != 2 or not all(isinstance(count, int) and count >= 0 for count in self.context):
            raise ConfigError(f"FrameNet(context) must be two whole numbers of at least 0, got {self.context}.")
        arguments = {
            "widths": self.widths,
            "context": self.context,
            "dropout": dropout,
            "input_dropout": input_dropout,
        }
        super().__init__(arguments, input_shape, num_classes)

    def build(self, input_shape: tuple[int, ...], num_classes: int) -> None:
        """Make the layers.

        Raises:
            MismatchError: when `input_shape` is not (frames, bands).
        """
        if len(input_shape) != 2:
            raise MismatchError(f"model 'FrameNet' needs (frames, bands), got inputs of shape {list(input_shape)}.")
        units = (sum(self.context) + 1) * input_shape[1]
        dense = dense_layers(units, self.widths, num_classes, self.dropout, self.input_dropout)
        self.layers = nn.Sequential(Window(*self.context), *dense)

    def stages(self) -> list[tuple[str, nn.Module]]:
        """Return the layers up to each ReLU as hidden1, hidden2, ...; each leaves `[batch, frames, units]`."""
        return named_by_hidden_layer(self.layers)


class Window(nn.Module):
    """Each frame with those around it, the earliest first.

    Args:
        left: frames before it.
        right: frames after it.

    >>> Window(1, 2)(torch.arange(3.0).view(1, 3, 1)).tolist()
    [[[0.0, 0.0, 1.0, 2.0], [0.0, 1.0, 2.0, 2.0], [1.0, 2.0, 2.0, 2.0]]]
    """

    def __init__(self, left: int, right: int) -> None:
        super().__init__()
        self.left, self.right = left, right

    def forward(self, frames: Tensor) -> Tensor:
        """Return `[batch, frames, (left + 1 + right) bands]` of `[batch, frames, bands]`."""
        before, after = frames[:, :1].expand(-1, self.left, -1), frames[:, -1:].expand(-1, self.right, -1)
        around = torch.cat([before, frames, after], 1).unfold(1, self.left + 1 + self.right, 1)
        return around.transpose(2, 3).flatten(2)

    def extra_repr(self) -> str:
        """Return the arguments, for `print`."""
        return f"{self.left}, {self.right}"
