"""Cross-entropy with the true labels."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from instar.analysis.scores import UNLABELLED
from instar.checks import checked
from instar.compute.tiling import exceeds_cached_tile
from instar.data.batch import Batch
from instar.errors import ConfigError
from instar.objectives.aims import Aim
from instar.objectives.objective import Term
from instar.objectives.values import Need, Value
from instar.targets.cross_entropy import sparse_cross_entropy
from instar.targets.targets import Targets


@checked
@dataclass(frozen=True)
class HardLabels(Term):
    """l = -sum_c y_c log q_c with q = softmax(z), and y_c = (1 - s) [c = label] + s / C.

    In nats per example, at temperature 1. The loss of an unlabelled example is 0. A mixed sample has the loss
    lambda l(label) + (1 - lambda) l(label of the partner), as in Zhang et al. 2018.

    Source: Hinton et al. 2015, section 2; smoothing s from Szegedy et al. 2016, section 7.

    Args:
        label_smoothing: s in [0, 1).

    Raises:
        ConfigError: when s is outside [0, 1).

    >>> import torch
    >>> HardLabels()(torch.zeros(2, 4), Batch.of_labels(torch.tensor([1, -1])), None).loss
    tensor([1.3863, 0.0000])
    """

    label_smoothing: float = 0.0

    needs = frozenset({Need.LABELS})
    name = "hard_labels"
    is_linear_in_labels = True

    def __post_init__(self) -> None:
        if not 0 <= self.label_smoothing < 1:
            raise ConfigError(
                f"HardLabels(label_smoothing) must be at least 0 and below 1, got {self.label_smoothing}."
            )

    def __call__(self, logits: Tensor, batch: Batch, targets: Targets | None) -> Value:
        """Return the cross-entropy per example."""
        z, labels = logits.flatten(0, -2), batch.labels.flatten()
        if exceeds_cached_tile(z) and not self.label_smoothing:
            # a label is a class drawn with probability 1; this takes half the memory of F.cross_entropy
            ids = labels.clamp(min=0)[:, None]  # [examples, 1]
            drawn = sparse_cross_entropy(z, ids, torch.ones_like(ids, dtype=z.dtype), 1.0)
            # the clamp has given unlabelled examples class 0, and `where` cuts their gradient as well
            flat = torch.where(labels == UNLABELLED, 0.0, drawn)
        else:
            smoothing = self.label_smoothing
            flat = F.cross_entropy(z, labels, ignore_index=UNLABELLED, reduction="none", label_smoothing=smoothing)
        return Value(flat.view(batch.labels.shape))

    def aim(self, batch: Batch, targets: Targets | None, classes: int) -> Aim:
        """Return the smoothed labels as probabilities; an unlabelled example has the weight 0."""
        is_labelled = batch.labels != UNLABELLED
        drawn = F.one_hot(batch.labels.clamp(min=0), classes).double()
        return Aim((1 - self.label_smoothing) * drawn + self.label_smoothing / classes, 1.0, is_labelled.double())
