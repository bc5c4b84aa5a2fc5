"""Which classes a teacher confuses: the covariance of its predictions, updated batch by batch, exact or as a sketch.

Source: section 5.3 of Hinton, Vinyals and Dean (1503.02531). Each of their specialists gets the classes of one cluster
of its columns (`clustering.py`). This needs no labels.
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
"""Bounds for the size of a chunk of predictions."""

MAX_TILE_NUMBERS = 1 << 15
"""Size of a tile that stays in the cache; torch splits larger ones over threads, which cost more than they save."""

MAX_CHUNK_ROWS = 1024
"""Largest number of rows of a dense chunk, whose products are summed in float32."""

Blocks = Iterator[tuple[slice, Tensor]]


class _Columns(ABC):
    """Columns of a covariance [C, C], or of its product with a matrix [C, width], from predictions in batches.

    Predictions wait until there are enough of them to be worth a pass over the columns. The chunk b of these n_b rows
    is then merged with the n_a rows before it:

        Cov = Cov_a + w (Cov_b + (1 - w) d d^T - Cov_a)      w = n_b / (n_a + n_b), d = mean_b - mean_a

    No number is larger than a covariance, so float32 is precise enough for millions of rows.

    Source: Chan, Golub and LeVeque 1979, here with means of products instead of sums.
    """

    def __init__(self, num_classes: int, width: int, diagonal: bool) -> None:
        if num_classes < 1:
            raise ConfigError(f"a covariance needs at least 1 class, got {num_classes}.")
        self.num_classes, self.count, self.diagonal = num_classes, 0, diagonal
        # float64, because d is a small difference of two means
        self._mean = torch.zeros(num_classes, dtype=torch.float64)
        self._columns = torch.zeros(num_classes, width)
        # an eighth of the columns, so that a chunk adds little memory and is worth a pass over the columns
        self._chunk_numbers = min(max(self._columns.numel() // 8, MIN_CHUNK_NUMBERS), MAX_CHUNK_NUMBERS)
        self._waiting: list[tuple[Tensor | None, Tensor]] = []
        self._rows_waiting = 0

    def add(self, probs: Tensor) -> None:
        """Add predictions for all classes.

        Args:
            probs: probabilities, float `[batch, C]`.

        Raises:
            DataError: when the shape differs, or a number is not finite.
        """
        if probs.ndim != 2 or probs.shape[1] != self.num_classes:
            raise DataError(f"predictions must be [batch, {self.num_classes}], got {list(probs.shape)}.")
        self._add(None, probs)

    def add_sparse(self, ids: Tensor, probs: Tensor) -> None:
        """Add predictions for k classes per row; a missing class counts as 0, and one that is named twice as the sum.

        Args:
            ids: class numbers, int64 `[batch, k]`.
            probs: probabilities, float `[batch, k]`.

        Raises:
            DataError: when the shapes differ, an id is not that of a class, or a number is not finite.
        """
        if ids.ndim != 2 or ids.shape != probs.shape or not ids.shape[1]:
            shapes = f"{list(ids.shape)} and {list(probs.shape)}"
            raise DataError(f"ids and predictions must both be [batch, k], k at least 1, got {shapes}.")
        first, last = (int(ids.min()), int(ids.max())) if len(ids) else (0, 0)
        if first < 0 or last >= self.num_classes:
            raise DataError(f"ids must be those of {self.num_classes} classes, from 0, got {first} to {last}.")
        self._add(ids, probs)

    def columns(self) -> Tensor:
        """Return the columns, float32 `[C, width]`; they are not copied, so later predictions change them.

        Raises:
            DataError: when no predictions were added.
        """
        self._merge()
        if not self.count:
            raise DataError("a covariance needs predictions, and none were added.")
        return self._columns

    @abstractmethod
    def _project(self, deviations: Tensor) -> Tensor:
        """Return deviations times the matrix, `[rows, C]` to `[rows, width]`."""

    @abstractmethod
    def _sparse_blocks(self, ids: Tensor, probs: Tensor, mean: Tensor) -> Blocks:
        """Yield the columns of a sparse chunk with this mean, by slices of classes."""

    def _chunk_rows(self, k: int, is_sparse: bool) -> int:
        # sparse chunks are summed in float64 and need no bound on their rows
        return max(1, min(self._chunk_numbers // k, self._chunk_numbers if is_sparse else MAX_CHUNK_ROWS))

    def _add(self, ids: Tensor | None, probs: Tensor) -> None:
        if not probs.isfinite().all():
            raise DataError("predictions must be finite, and some are NaN or infinite.")
        # a batch may be larger than a chunk
        rows = self._chunk_rows(probs.shape[1], ids is not None)
        for start in range(0, len(probs), rows):
            part = slice(start, start + rows)
            self._append(None if ids is None else ids[part], probs[part], rows)

    def _append(self, ids: Tensor | None, probs: Tensor, rows: int) -> None:
        if self._waiting:  # only rows of one kind and width make a chunk
            first_ids, first = self._waiting[0]
            if (first_ids is None) != (ids is None) or first.shape[1] != probs.shape[1]:
                self._merge()
        # copies, because the caller may reuse its tensors before the chunk is full
        copied = None if ids is None else ids.to("cpu", torch.int64, copy=True)
        self._waiting.append((copied, probs.detach().to("cpu", torch.float32, copy=True)))
        self._rows_waiting += len(probs)
        if self._rows_waiting >= rows:
            self._merge()

    def _merge(self) -> None:
        if not self._waiting:
            return
        some_ids = [ids for ids, _ in self._waiting if ids is not None]
        probs = torch.cat([waiting for _, waiting in self._waiting])
        self._waiting, self._rows_waiting = [], 0
        if some_ids:
            ids, values = torch.cat(some_ids), probs.double()
            mean, square = (self._class_sums(ids, moment) / len(probs) for moment in (values, values.square()))
            blocks = self._sparse_blocks(ids, values, mean)
        else:
            mean, square = (probs.double().pow_(moment).mean(0) for moment in (1, 2))
            blocks = self._dense_blocks(probs, mean)
        self.count += len(probs)
        weight, shift = len(probs) / self.count, mean - self._mean
        projected_shift = (1 - weight) * self._project(shift[None].float())[0]
        variance = (square - mean.square()) + (1 - weight) * shift.square()
        # a block of classes at a time, so that Cov_b is never in memory beside Cov_a
        for part, block in blocks:
            block.addr_(shift[part].to(block), projected_shift.to(block))  # Cov_b + (1 - w) d d^T
            if not self.diagonal:
                self._subtract_variance(part, block, variance[part])
            self._columns[part].lerp_(block.float(), weight)  # Cov_a + w (block - Cov_a)
        self._mean += weight * shift

    def _class_sums(self, ids: Tensor, values: Tensor) -> Tensor:
        return torch.bincount(ids.flatten(), values.flatten(), self.num_classes)

    @abstractmethod
    def _subtract_variance(self, part: slice, block: Tensor, variance: Tensor) -> None:
        """Remove the variances of the classes of a block from the block."""

    def _dense_blocks(self, probs: Tensor, mean: Tensor) -> Blocks:
        # torch subtracts the float64 mean from float32 in float64, so nearly equal numbers keep their difference
        deviations = probs.sub_(mean)
        projected = self._project(deviations) / len(probs)
        for part in self._slices(self._chunk_numbers):
            yield part, deviations[:, part].t() @ projected

    def _slices(self, numbers: int) -> Iterator[slice]:
        """Yield slices of classes whose blocks have up to `numbers` numbers, or of one class."""
        tile = max(1, numbers // self._columns.shape[1])
        return (slice(start, min(start + tile, self.num_classes)) for start in range(0, self.num_classes, tile))


class Covariance(_Columns):
    """The covariance of predictions over samples, Cov = E[p p^T] - E[p] E[p]^T.

    It takes C^2 numbers, 900 MB for 15,000 classes, and at most 0.3 GB more for a chunk and what is computed from it.

    Args:
        num_classes: C.
        diagonal: whether to keep the variances; otherwise they are 0.

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
        # E[p_i p] - mean_i mean, because deviations of sparse rows are dense; float64 survives the subtraction
        classes, values = ids.numpy(), probs.numpy()
        matrix = _by_class(ids, probs, self.num_classes)
        offsets = matrix.indptr.tolist()
        for part in self._slices(MAX_TILE_NUMBERS):
            block = torch.outer(-mean[part], mean)
            shared = block.numpy()  # the same memory
            # one class i at a time, from the rows that name it, so that the sums [C] stay in the cache
            for i in range(part.start, part.stop):
                rows, weights = (of[offsets[i] : offsets[i + 1]] for of in (matrix.indices, matrix.data))
                if len(rows):
                    products = values.take(rows, 0) * (weights / len(values))[:, None]
                    sums = np.bincount(classes.take(rows, 0).ravel(), products.ravel(), self.num_classes)
                    shared[i - part.start] += sums
            yield part, block

    def _subtract_variance(self, part: slice, block: Tensor, variance: Tensor) -> None:
        block.diagonal(part.start).zero_()  # exactly 0, where a subtraction would leave rounding


class SketchedCovariance(_Columns):
    """The covariance times a random matrix of signs, which keeps the distances of its columns in far fewer numbers.

        columns = Cov Omega = E[p (Omega^T (p - E[p]))^T]      Omega_ij = +-1 / sqrt(width)

    The square of a distance has a relative standard deviation of at most sqrt(2 / width). The covariance itself is
    never in memory, only C x width numbers, and as many of Omega.

    Source: Achlioptas 2003, a construction for the lemma of Johnson and Lindenstrauss.

    Args:
        num_classes: C.
        width: number of columns of Omega.
        seed: seed of Omega.
        diagonal: whether to keep the variances in Cov.

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

    def _chunk_rows(self, k: int, is_sparse: bool) -> int:
        # a sparse row becomes `width` numbers of float32 too
        return super()._chunk_rows(max(k, self._columns.shape[1]), is_sparse=False)

    def _project(self, deviations: Tensor) -> Tensor:
        return deviations @ self._omega

    def _sparse_blocks(self, ids: Tensor, probs: Tensor, mean: Tensor) -> Blocks:
        # (p - mean) Omega of each row: the rows of Omega that it names, weighted by its probabilities
        sketch = F.embedding_bag(ids, self._omega, per_sample_weights=probs.float(), mode="sum")
        sketch = sketch.sub_(self._project(mean[None].float())).div_(len(probs))
        # then E[p_i sketch] for each class i: the rows that name i, weighted by their probabilities of i
        matrix = _by_class(ids, probs, self.num_classes)
        rows, offsets = (torch.from_numpy(of).long() for of in (matrix.indices, matrix.indptr[:-1]))
        weights = torch.from_numpy(matrix.data).float()
        yield slice(0, self.num_classes), F.embedding_bag(rows, sketch, offsets, per_sample_weights=weights, mode="sum")

    def _subtract_variance(self, part: slice, block: Tensor, variance: Tensor) -> None:
        # diag(variance) Omega, because the columns hold Cov Omega
        block.addcmul_(self._omega[part], variance[:, None].float(), value=-1)


def _by_class(ids: Tensor, probs: Tensor, num_classes: int) -> sparse.csc_array:
    """Return a sparse chunk as a matrix `[batch, C]` that lists, for each class, its rows and their probabilities."""
    ends = np.arange(0, ids.numel() + 1, ids.shape[1])
    shape = (len(ids), num_classes)
    return sparse.csr_array((probs.numpy().ravel(), ids.numpy().ravel(), ends), shape=shape).tocsc()
