"""Which classes a teacher confuses: the covariance of its predictions, kept as they come, whole or as a sketch.

Source: section 5.3 of Hinton, Vinyals and Dean (1503.02531), whose specialists get the classes of one cluster of its
columns (`clustering.py`). No labels are needed.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator

import numpy as np
import torch
import torch.nn.functional as F
from scipy import sparse
from torch import Tensor

from instar.errors import ConfigError, DataError
from instar.seeds import generator

MIN_CHUNK_NUMBERS, MAX_CHUNK_NUMBERS = 1 << 16, 1 << 22
"""Numbers of a chunk of predictions, at least and at most."""

MAX_TILE_NUMBERS = 1 << 15
"""Numbers of a tile that stays in the cache, and that torch does not split over threads, which cost more than it."""

MAX_CHUNK_ROWS = 1024
"""Rows of a chunk, at most, whose products are summed in float32."""

Blocks = Iterator[tuple[slice, Tensor]]


class _Columns(ABC):
    """Columns of a covariance [C, C], or of it times a matrix [C, width], from predictions that come in batches.

    Predictions wait until there are enough of them to be worth a pass over what is held. A chunk b of n_b is then put
    to the n_a before it, and no number is larger than a covariance, so that float32 does for millions of rows:

        Cov = Cov_a + w (Cov_b + (1 - w) d d^T - Cov_a)      w = n_b / (n_a + n_b), d = mean_b - mean_a

    Source: Chan, Golub and LeVeque 1979, for the mean of the products in place of their sum.
    """

    def __init__(self, num_classes: int, width: int, diagonal: bool) -> None:
        if num_classes < 1:
            raise ConfigError(f"predictions are of at least 1 class, got {num_classes}.")
        self.num_classes, self.count, self.diagonal = num_classes, 0, diagonal
        self._mean = torch.zeros(num_classes, dtype=torch.float64)
        self._held = torch.zeros(num_classes, width)
        self._most = min(max(self._held.numel() // 8, MIN_CHUNK_NUMBERS), MAX_CHUNK_NUMBERS)
        self._waiting: list[tuple[Tensor | None, Tensor]] = []
        self._rows_waiting = 0

    def add(self, probs: Tensor) -> None:
        """Take predictions for all classes.

        Args:
            probs: float `[batch, C]`.

        Raises:
            DataError: when the shape is another, or a number is not finite.
        """
        if probs.ndim != 2 or probs.shape[1] != self.num_classes:
            raise DataError(f"predictions must be [batch, {self.num_classes}], got {list(probs.shape)}.")
        self._take(None, probs)

    def add_sparse(self, ids: Tensor, probs: Tensor) -> None:
        """Take predictions for k classes per row: a class that is not named counts as 0, one named twice as both.

        Args:
            ids: of the classes, int64 `[batch, k]`.
            probs: float `[batch, k]`.

        Raises:
            DataError: when the shapes differ, an id is not of a class, or a number is not finite.
        """
        if ids.ndim != 2 or ids.shape != probs.shape or not ids.shape[1]:
            shapes = f"{list(ids.shape)} and {list(probs.shape)}"
            raise DataError(f"ids and predictions must both be [batch, k], k at least 1, got {shapes}.")
        first, last = (int(ids.min()), int(ids.max())) if len(ids) else (0, 0)
        if first < 0 or last >= self.num_classes:
            raise DataError(f"ids must be those of {self.num_classes} classes, from 0, got {first} to {last}.")
        self._take(ids, probs)

    def columns(self) -> Tensor:
        """Return what is held, float32 `[C, width]`: not a copy, so the next predictions change it.

        Raises:
            DataError: when no predictions were added.
        """
        self._merge()
        if not self.count:
            raise DataError("a covariance needs predictions, and none were added.")
        return self._held

    @abstractmethod
    def _project(self, deviations: Tensor) -> Tensor:
        """Return what is kept of rows of deviations, `[rows, C]` to `[rows, width]`."""

    @abstractmethod
    def _sparse_blocks(self, ids: Tensor, probs: Tensor, mean: Tensor) -> Blocks:
        """Yield the columns of a sparse chunk with this mean, by slices of classes."""

    def _rows(self, k: int, is_sparse: bool) -> int:
        """Return how many rows of k numbers make a chunk."""
        return max(1, min(self._most // k, self._most if is_sparse else MAX_CHUNK_ROWS))

    def _take(self, ids: Tensor | None, probs: Tensor) -> None:
        """Copy predictions, and work through what waits when there is enough of one kind."""
        if not probs.isfinite().all():
            raise DataError("predictions must be finite, and some are NaN or infinite.")
        rows = self._rows(probs.shape[1], ids is not None)
        for start in range(0, len(probs), rows):
            part = slice(start, start + rows)
            self._hold(None if ids is None else ids[part], probs[part], rows)

    def _hold(self, ids: Tensor | None, probs: Tensor, rows: int) -> None:
        if self._waiting:
            first_ids, first = self._waiting[0]
            if (first_ids is None) != (ids is None) or first.shape[1] != probs.shape[1]:
                self._merge()
        kept = None if ids is None else ids.to("cpu", torch.int64, copy=True)
        self._waiting.append((kept, probs.detach().to("cpu", torch.float32, copy=True)))
        self._rows_waiting += len(probs)
        if self._rows_waiting >= rows:
            self._merge()

    def _merge(self) -> None:
        """Put the predictions that wait to those before."""
        if not self._waiting:
            return
        some_ids = [ids for ids, _ in self._waiting if ids is not None]
        probs = torch.cat([waiting for _, waiting in self._waiting])
        self._waiting, self._rows_waiting = [], 0
        if some_ids:
            ids, values = torch.cat(some_ids), probs.double()
            mean, square = (self._sums(ids, moment) / len(probs) for moment in (values, values.square()))
            blocks = self._sparse_blocks(ids, values, mean)
        else:
            mean, square = (probs.double().pow_(moment).mean(0) for moment in (1, 2))
            blocks = self._dense_blocks(probs, mean)
        self.count += len(probs)
        weight, shift = len(probs) / self.count, mean - self._mean
        kept_shift = (1 - weight) * self._project(shift[None].float())[0]
        variance = (square - mean.square()) + (1 - weight) * shift.square()
        for part, block in blocks:
            block.addr_(shift[part].to(block), kept_shift.to(block))
            if not self.diagonal:
                self._leave_out(part, block, variance[part])
            self._held[part].lerp_(block.float(), weight)
        self._mean += weight * shift

    def _sums(self, ids: Tensor, values: Tensor) -> Tensor:
        """Return sums by class, float64 `[C]`."""
        return torch.bincount(ids.flatten(), values.flatten(), self.num_classes)

    @abstractmethod
    def _leave_out(self, part: slice, block: Tensor, variance: Tensor) -> None:
        """Take the variances of the classes of a block out of it."""

    def _dense_blocks(self, probs: Tensor, mean: Tensor) -> Blocks:
        """Yield the columns of a dense chunk with this mean, by slices of classes."""
        deviations = probs.sub_(mean)  # of float32 in float64, so that what is left of nearly equal numbers is right
        kept = self._project(deviations) / len(probs)
        for part in self._parts(self._most):
            yield part, deviations[:, part].t() @ kept

    def _parts(self, numbers: int) -> Iterator[slice]:
        """Yield slices of classes whose blocks have so many numbers, or one class."""
        tile = max(1, numbers // self._held.shape[1])
        return (slice(start, min(start + tile, self.num_classes)) for start in range(0, self.num_classes, tile))


class Covariance(_Columns):
    """The covariance of predictions over samples, Cov = E[p p^T] - E[p] E[p]^T.

    Beside its C^2 numbers, 900 MB at 15,000 classes, a chunk and what is made of it take 0.3 GB at most.

    Args:
        num_classes: C.
        diagonal: whether the variances are kept; else zeros stand in their place.

    >>> covariance = Covariance(3)
    >>> covariance.add(torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.5, 0.5]]))
    >>> covariance.columns()
    tensor([[ 0.2500, -0.1250, -0.1250],
            [-0.1250,  0.0625,  0.0625],
            [-0.1250,  0.0625,  0.0625]])
    """

    def __init__(self, num_classes: int, diagonal: bool = True) -> None:
        super().__init__(num_classes, num_classes, diagonal)

    def _project(self, deviations: Tensor) -> Tensor:
        return deviations

    def _sparse_blocks(self, ids: Tensor, probs: Tensor, mean: Tensor) -> Blocks:
        """Yield E[p_i p] - mean_i mean, a class i at a time: the sums for one class stay in the cache."""
        named, said = ids.numpy(), probs.numpy()
        by_class = _by_class(ids, probs, self.num_classes)
        offsets = by_class.indptr.tolist()
        for part in self._parts(MAX_TILE_NUMBERS):
            block = torch.outer(-mean[part], mean)
            of_classes = block.numpy()
            for i in range(part.start, part.stop):
                rows, weights = (of[offsets[i] : offsets[i + 1]] for of in (by_class.indices, by_class.data))
                if len(rows):
                    products = said.take(rows, 0) * (weights / len(said))[:, None]
                    sums = np.bincount(named.take(rows, 0).ravel(), products.ravel(), self.num_classes)
                    of_classes[i - part.start] += sums
            yield part, block

    def _leave_out(self, part: slice, block: Tensor, variance: Tensor) -> None:
        block.diagonal(part.start).zero_()


class SketchedCovariance(_Columns):
    """The columns of the covariance times a random matrix of signs: as far from each other, in far fewer numbers.

        columns = Cov Omega = E[p (Omega^T (p - E[p]))^T]      Omega_ij = +-1 / sqrt(width)

    The square of a distance has a relative standard deviation of at most sqrt(2 / width). The covariance is never
    there: C x width numbers are, and Omega, which has as many.

    Source: Achlioptas 2003, for the lemma of Johnson and Lindenstrauss.

    Args:
        num_classes: C.
        width: columns of Omega.
        seed: of Omega.
        diagonal: whether the variances are kept in Cov.

    Raises:
        ConfigError: when width is below 1.

    >>> exact, sketch = Covariance(50), SketchedCovariance(50, width=4096)
    >>> for covariance in (exact, sketch):
    ...     covariance.add(torch.eye(50))
    >>> [round(float(kept.columns()[0].sub(kept.columns()[1]).norm() * 50), 1) for kept in (exact, sketch)]
    [1.4, 1.4]
    """

    def __init__(self, num_classes: int, width: int = 256, seed: int = 0, diagonal: bool = True) -> None:
        if width < 1:
            raise ConfigError(f"width must be at least 1, got {width}.")
        super().__init__(num_classes, width, diagonal)
        signs = torch.randint(2, (num_classes, width), generator=generator(seed, "sketch"), dtype=torch.float32)
        self._omega = signs.mul_(2).sub_(1).div_(width**0.5)

    def _rows(self, k: int, is_sparse: bool) -> int:
        return super()._rows(max(k, self._held.shape[1]), is_sparse=False)  # a row becomes `width` numbers of float32

    def _project(self, deviations: Tensor) -> Tensor:
        return deviations @ self._omega

    def _sparse_blocks(self, ids: Tensor, probs: Tensor, mean: Tensor) -> Blocks:
        """Yield sums of rows of the sketch, weighted by what they say of a class; of Omega, by what a row says."""
        kept = F.embedding_bag(ids, self._omega, per_sample_weights=probs.float(), mode="sum")
        kept = kept.sub_(self._project(mean[None].float())).div_(len(probs))
        by_class = _by_class(ids, probs, self.num_classes)
        rows, offsets = (torch.from_numpy(of).long() for of in (by_class.indices, by_class.indptr[:-1]))
        weights = torch.from_numpy(by_class.data).float()
        yield slice(0, self.num_classes), F.embedding_bag(rows, kept, offsets, per_sample_weights=weights, mode="sum")

    def _leave_out(self, part: slice, block: Tensor, variance: Tensor) -> None:
        block.addcmul_(self._omega[part], variance[:, None].float(), value=-1)


def _by_class(ids: Tensor, probs: Tensor, num_classes: int) -> sparse.csc_array:
    """Return a sparse chunk as a matrix `[batch, C]` that lists, for each class, its rows and what they say of it."""
    ends = np.arange(0, ids.numel() + 1, ids.shape[1])
    shape = (len(ids), num_classes)
    return sparse.csr_array((probs.numpy().ravel(), ids.numpy().ravel(), ends), shape=shape).tocsc()
