"""Products with a matrix per sample or one for all samples, and the solution of many small linear systems."""

from __future__ import annotations

import torch
from torch import Tensor


class PatternMatrix:
    """Products with a matrix T that all samples share, `[patterns, k]`, or have each, `[samples, patterns, k]`."""

    def __init__(self, matrix: Tensor) -> None:
        self.matrix = matrix
        # products of the columns of a shared T, [patterns, k * k]: T' diag(x) T of all samples is one product with them
        self._pairs = (matrix[:, :, None] * matrix[:, None]).flatten(1) if matrix.ndim == 2 else None

    def spread(self, x: Tensor) -> Tensor:
        """Return T x, `[samples, patterns]`."""
        return x @ self.matrix.mT if self.matrix.ndim == 2 else (self.matrix @ x[:, :, None]).squeeze(2)

    def collect(self, x: Tensor) -> Tensor:
        """Return T' x, `[samples, k]`."""
        return x @ self.matrix if self.matrix.ndim == 2 else (x[:, None] @ self.matrix).squeeze(1)

    def gram(self, x: Tensor) -> Tensor:
        """Return T' diag(x) T, `[samples, k, k]`."""
        if self._pairs is not None:
            k = self.matrix.shape[1]
            return (x @ self._pairs).view(-1, k, k)
        return (self.matrix.mT * x[:, None]) @ self.matrix

    def of(self, index: Tensor) -> PatternMatrix:
        """Return those of some of the samples."""
        return self if self.matrix.ndim == 2 else PatternMatrix(self.matrix[index])


def solution(matrix: Tensor, right: Tensor) -> Tensor:
    """Return the solution of positive definite systems, `[samples, k]`, whose unknowns may be of any scale."""
    # scaled to a diagonal of 1, because one unknown may be e^200 times another; clamped, because 1 / 0 is infinite
    scale = matrix.diagonal(dim1=1, dim2=2).clamp(min=1e-290).rsqrt()
    # solve_ex, because `solve` raises if one sample of the batch is singular, and makes an accelerator wait to know it
    found: Tensor = torch.linalg.solve_ex(matrix * scale[:, :, None] * scale[:, None], right * scale)[0]
    return found.mul_(scale)
