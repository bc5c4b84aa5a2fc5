"""Reviews: layers of the teacher that the student predicts from the same layer and all deeper ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from instar.checks import Count, checked
from instar.compute.inputs import Shape
from instar.data.batch import Batch
from instar.data.samples import Samples
from instar.errors import MismatchError
from instar.objectives.features.adapters import Adapters, Compared
from instar.objectives.features.feature_term import FeatureTerm
from instar.objectives.features.shared_norm import SharedBatchNorm

POOLED_SIZES = (4, 2, 1)
"""Sizes that layers are also compared in, each with half the weight of the one before."""


@checked
@dataclass(frozen=True)
class ReviewDistillation(FeatureTerm):
    """l = sum over pairs sum over s of 2^-s d(P_s R_k, P_s T_k) / sum over s of 2^-s, with fused layers R_k (ReviewKD).

    Per example. T_k is the output of the k-th layer of the teacher, `[channels, height, width]`, or a vector, which
    counts as an image of 1 x 1. d is the mean squared difference of all values. P_0 changes nothing; P_1, P_2 and P_3
    pool by the mean to 4 x 4, 2 x 2 and 1 x 1, those that are smaller than the layer (hierarchical context loss).

    R_k is made of the student's k-th layer S_k and of all deeper ones. F_k = a S'_k + b F'_(k+1) is resized to T_k, and
    R_k is a convolution of 3 x 3 of it. S'_k is a convolution of 1 x 1 of S_k, F'_(k+1) is F of the next layer in the
    size of S_k, and the maps a and b of one channel are sigmoids of a convolution of 1 x 1 of both. The deepest layer
    has F = S'. Sizes change by the nearest place, and batch normalisation follows each convolution except that of the
    maps. The term owns all of it, and the run trains it with the student.

    Batch normalisation relates the samples of a batch. So batches are not split over micro-batches, and several
    processes normalise by the whole batch.

    Source: Chen et al. 2021, "Distilling knowledge via knowledge review", section 3 and figures 3 and 4, with the sizes
    and weights of their code, in which the term rises over the first 20 epochs, to a weight of 0.6 to 8 (CIFAR-100):
    `warmup(5, 0.08) * ReviewDistillation()` for 240 epochs.

    Args:
        pairs: layers from shallow to deep, in this order; see `FeatureTerm`. The authors pair the stages and, last, the
            layer before the logits.
        channels: most channels of the fused layers; they have as many as the student's deepest layer.

    >>> import torch
    >>> ReviewDistillation().compare(torch.zeros(1, 1, 2, 2), torch.eye(2)[None, None]).round(decimals=4)
    tensor([0.4167])
    """

    channels: Count = 512

    name = "review_distillation"
    relates_examples = True
    spans_processes = True

    def make_adapters(self, student: Sequence[Shape], teacher: Sequence[Shape], samples: Samples) -> Adapters:
        """Return the layers that fuse those of the student."""
        for own, theirs, names in zip(student, teacher, self.layers.items(), strict=True):
            with self.naming(*names):
                if not {len(own), len(theirs)} <= {1, 3}:
                    raise MismatchError(
                        f"it needs images [channels, height, width] or vectors, got {list(own)} and {list(theirs)}"
                    )
        return Reviews(student, teacher, min(self.channels, student[-1][0]))

    def compare(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Return the weighted mean of squared differences in all sizes per example."""
        difference = student - teacher  # pooling is linear
        loss, weight, total = difference.square().flatten(1).mean(1), 1.0, 1.0
        for size in POOLED_SIZES:
            if size < min(teacher.shape[2:]):
                weight /= 2
                pooled = F.adaptive_avg_pool2d(difference, size)
                loss, total = loss + weight * pooled.square().flatten(1).mean(1), total + weight
        return loss / total


class Reviews(Adapters):
    """All fusions of a student's layers, from the deepest to the first.

    Args:
        student: shapes of the student's layers for one sample.
        teacher: those of the teacher's.
        channels: channels of the fused layers.
    """

    def __init__(self, student: Sequence[Shape], teacher: Sequence[Shape], channels: int) -> None:
        super().__init__()
        last = len(student) - 1
        self.fusions = nn.ModuleList(
            Fusion(own[0], channels, theirs[0], is_deepest=place == last)
            for place, (own, theirs) in enumerate(zip(student, teacher, strict=True))
        )

    def forward(self, student: list[Tensor], teacher: list[Tensor], batch: Batch) -> Compared:
        """Return the fused layers, and the layers of the teacher as images."""
        wanted = [as_image(layer) for layer in teacher]
        found: list[Tensor] = []
        deeper: Tensor | None = None
        for fusion, own, theirs in zip(reversed(self.fusions), reversed(student), reversed(wanted), strict=True):
            predicted, deeper = fusion(as_image(own), deeper, theirs.shape[2:])
            found.insert(0, predicted)
        return found, wanted


class Fusion(nn.Module):
    """Attention-based fusion of one layer with the deeper ones.

    Args:
        inputs: channels of the student's layer.
        channels: channels of the fused layers.
        outputs: channels of the teacher's layer.
        is_deepest: whether there is no deeper layer.
    """

    def __init__(self, inputs: int, channels: int, outputs: int, *, is_deepest: bool) -> None:
        super().__init__()
        self.project = _normalised(nn.Conv2d(inputs, channels, 1, bias=False))
        self.attend = None if is_deepest else nn.Conv2d(2 * channels, 2, 1)
        self.predict = _normalised(nn.Conv2d(channels, outputs, 3, padding=1, bias=False))

    def forward(self, own: Tensor, deeper: Tensor | None, size: torch.Size) -> tuple[Tensor, Tensor]:
        """Return the predicted layer of the teacher, of a given size, and the fused layer."""
        fused = self.project(own)
        if self.attend is not None and deeper is not None:
            deeper = resize(deeper, fused.shape[2:])
            weights = self.attend(torch.cat([fused, deeper], dim=1)).sigmoid()  # [batch, 2, height, width]
            fused = fused * weights[:, :1] + deeper * weights[:, 1:]
        fused = resize(fused, size)
        return self.predict(fused), fused


def _normalised(convolution: nn.Conv2d) -> nn.Sequential:
    nn.init.kaiming_uniform_(convolution.weight, a=1)
    return nn.Sequential(convolution, SharedBatchNorm(convolution.out_channels))


def as_image(layer: Tensor) -> Tensor:
    """Return a layer `[batch, channels, height, width]`; a vector becomes an image of 1 x 1."""
    return layer if layer.dim() == 4 else layer[:, :, None, None]


def resize(layer: Tensor, size: torch.Size) -> Tensor:
    """Return a layer in another size, by the nearest place."""
    return layer if layer.shape[2:] == size else F.interpolate(layer, size=tuple(size), mode="nearest")
