"""Similarities between the examples of a batch, as a layer of the teacher sees them."""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor

from instar.objectives.features.feature_term import FeatureTerm


@dataclass(frozen=True)
class SimilarityPreserving(FeatureTerm):
    """l_n = sum over pairs (1/B) sum over m of (S_nm - T_nm)^2, with S_n = G_n / ||G_n|| and G = A A^T over B examples.

    Per example n of a batch, so the mean over the batch is the published || S - T ||^2 / B^2. A is the flattened output
    of a layer, `[batch, features]`: student and teacher may have layers of any shapes. Their code has a weight of 3000.

    Source: Tung and Mori 2019, "Similarity-preserving knowledge distillation", equations 2 to 4.

    Args:
        pairs: see `FeatureTerm`.

    >>> import torch
    >>> SimilarityPreserving().compare(torch.eye(2), torch.ones(2, 3)).round(decimals=4)
    tensor([0.2929, 0.2929])
    """

    name = "similarity_preserving"
    relates_examples = True

    def compare(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Return the mean squared difference of each row of similarities."""
        return (similarities(student) - similarities(teacher)).square().mean(1)


def similarities(layer: Tensor) -> Tensor:
    """Return the rows of A A^T with length 1, `[batch, batch]`."""
    flat = layer.flatten(1)
    return F.normalize(flat @ flat.t(), dim=1)
