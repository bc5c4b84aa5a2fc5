"""Classifiers of frames, as in the speech section of Hinton, Vinyals and Dean (2015), and of whole recordings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from instar.checks import Count, DropProbability, checked
from instar.compute.inputs import Shapes
from instar.errors import ConfigError, MismatchError
from instar.models.architecture import Architecture
from instar.models.mlp import dense_layers, name_hidden_layers


@checked
class FrameNet(Architecture):
    """logits_t = MLP(x_(t - left), ..., x_t, ..., x_(t + right)) for each frame t of a recording.

    The first frame is repeated before the start, and the last frame after the end. `instar.data` pads recordings with
    their last frame, so the logits do not depend on the length of the batch.

    Called with the mask of the n valid frames too, it classifies the recording:

        logits = (1 / n) sum_t logits_t,

    whose softmax is the geometric mean of the probabilities of the frames, normalised.

    Args:
        widths: units of each hidden layer.
        context: number of frames before and after the classified one; the paper uses 26 frames, and classifies the
            21st.
        dropout: probability that a hidden unit is dropped.
        input_dropout: probability that an input value is dropped.
        input_shape: (frames, bands), or the shapes of `frames` and `mask` by name; calls accept any number of frames.
        num_classes: number of logits.

    >>> model = FrameNet([64, 64], context=(2, 1), input_shape=(100, 40), num_classes=30)
    >>> sum(p.numel() for p in model.parameters()), model(torch.rand(8, 73, 40)).shape
    (16414, torch.Size([8, 73, 30]))
    >>> model(torch.rand(8, 73, 40), torch.arange(73) < torch.tensor([[73], [9]] * 4)).shape
    torch.Size([8, 30])
    """

    input_names = ("frames", "mask")

    def __init__(
        self,
        widths: Sequence[Count],
        context: Sequence[Any] = (20, 5),  # checked below: two numbers
        dropout: DropProbability = 0.0,
        input_dropout: DropProbability = 0.0,
        *,
        input_shape: Shapes | None = None,
        num_classes: int | None = None,
    ) -> None:
        self.widths, self.context = list(widths), list(context)
        self.dropout, self.input_dropout = dropout, input_dropout
        if len(self.context) != 2 or not all(isinstance(count, int) and count >= 0 for count in self.context):
            raise ConfigError(f"FrameNet(context) must be two whole numbers of at least 0, got {self.context}.")
        arguments = {"widths": self.widths, "context": self.context, "dropout": dropout, "input_dropout": input_dropout}
        super().__init__(arguments, input_shape, num_classes)

    def build(self, input_shape: Shapes, num_classes: int) -> None:
        """Make the layers.

        Raises:
            MismatchError: when `input_shape` is not (frames, bands).
        """
        input_shape = input_shape["frames"] if isinstance(input_shape, Mapping) else input_shape
        if len(input_shape) != 2:
            raise MismatchError(f"model 'FrameNet' needs (frames, bands), got inputs of shape {list(input_shape)}.")
        units = (sum(self.context) + 1) * input_shape[1]
        dense = dense_layers(units, self.widths, num_classes, self.dropout, self.input_dropout)
        # in the place of the MLP's Flatten, so that the weights have the names of an MLP over windows
        self.layers = nn.Sequential(Window(*self.context), *dense)

    def forward(self, frames: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return logits `[batch, frames, classes]` of frames `[batch, frames, bands]`; with a mask `[batch, classes]`.

        Args:
            frames: frames of recordings.
            mask: which frames are no padding, bool `[batch, frames]`, True for at least one.
        """
        logits = super().forward(frames)
        if mask is None:
            return logits
        valid = mask[:, :, None]
        # not by a product: what is computed of padding may be infinite
        return torch.where(valid, logits, 0.0).sum(1) / valid.sum(1)

    def groups(self) -> list[tuple[str, nn.Module]]:
        """Return the layers up to each ReLU as hidden1, hidden2, ...; each returns `[batch, frames, units]`."""
        return name_hidden_layers(self.layers)


class Window(nn.Module):
    """Concatenation of each frame with the frames around it, in order of time.

    Args:
        left: number of frames before.
        right: number of frames after.

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
        # unfold puts the frames of a window last, [batch, frame, band, frame of the window]
        return around.transpose(2, 3).flatten(2)

    def extra_repr(self) -> str:
        """Return the arguments, for `print`."""
        return f"{self.left}, {self.right}"
