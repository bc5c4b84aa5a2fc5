"""Clusters of classes for specialists: online k-means on the columns of the covariance of a teacher's predictions."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from instar.errors import ConfigError, DataError
from instar.seeds import generator

BATCH_COLUMNS = 256
"""Number of columns that are assigned to centres before the centres move."""

CANDIDATES_PER_CENTRE = 20
"""Number of candidates for each initial centre; later passes cannot repair two centres in one cluster."""


def cluster_columns(
    columns: Tensor,
    clusters: int,
    size: int | None = None,
    seed: int = 0,
    passes: int = 10,
    by_angle: bool = False,
) -> list[Tensor]:
    """Return the classes of each cluster of columns, found by online k-means.

    k-means++ draws the initial centres. In each pass over the columns, in random order, a column x moves the nearest
    centre c, which forgets the columns of earlier passes:

        c = c + (x - c) / n        n: columns that c got in this pass, plus 1 for its old place

    A centre without columns in a pass moves to the column that is farthest from its own centre.

    Rarely predicted classes have short columns, which are near to all centres. `by_angle` therefore scales columns and
    centres to length 1. Variances dominate a column but do not show confusions; `diagonal=False` in the covariance
    leaves them out.

    Source: section 5.3 of 1503.02531; MacQueen 1967; batches: Sculley 2010; first centres, the best of several draws:
    Arthur and Vassilvitskii 2007; angles: Dhillon and Modha 2001.

    Args:
        columns: columns of the covariance, float `[C, d]`, one row per class.
        clusters: number of clusters.
        size: number of classes per cluster: first those whose nearest centre with room it is, then the nearest of all
            others. Clusters then overlap, and each class is in one if there is room. None: each class is only in the
            cluster of its nearest centre, and no cluster is empty.
        seed: seed of the initial centres and of the order.
        passes: number of passes over all columns.
        by_angle: whether to ignore the length of columns.

    Returns:
        Class numbers of each cluster in ascending order, int64 `[classes of the cluster]`.

    Raises:
        ConfigError: when clusters or size is not between 1 and C, or passes is below 0.
        DataError: when a number is not finite.

    >>> columns = torch.tensor([[0.0, 1.0], [5.0, 0.0], [0.0, 1.1], [5.1, 0.0], [3.0, 0.0]])
    >>> sorted(found.tolist() for found in cluster_columns(columns, 2))
    [[0, 2], [1, 3, 4]]
    >>> sorted(found.tolist() for found in cluster_columns(columns, 2, size=3))
    [[0, 2, 4], [1, 3, 4]]
    """
    for name, value in (("clusters", clusters), ("size", size)):
        if value is not None and not 1 <= value <= len(columns):
            raise ConfigError(f"{name} must be from 1 to the {len(columns)} classes, got {value}.")
    if passes < 0:
        raise ConfigError(f"passes must be at least 0, got {passes}.")
    points = _Points(columns, by_angle)
    random = generator(seed, "clusters")
    centres = _first_centres(points, clusters, random)
    for _ in range(passes):
        _one_pass(points, centres, random)
    gaps = points.gaps(centres)
    if size is None:
        nearest = _without_empty(gaps)
        return [torch.nonzero(nearest == i).flatten() for i in range(clusters)]
    order = torch.where(_with_room(gaps, size), gaps - gaps.max() - 1, gaps)  # its own first; both parts by nearness
    return [some.sort().values for some in order.t().argsort(dim=1, stable=True)[:, :size]]


def _with_room(gaps: Tensor, size: int) -> Tensor:
    """Assign each class to one centre, closest pairs first, with `size` classes per centre; bool `[C, n]`."""
    classes, centres = gaps.shape
    is_free, room = [True] * classes, [size] * centres
    given = torch.zeros(classes, centres, dtype=torch.bool)
    for pair in gaps.flatten().argsort(stable=True).tolist():
        one, centre = divmod(pair, centres)
        if is_free[one] and room[centre]:
            is_free[one], room[centre], given[one, centre] = False, room[centre] - 1, True
    return given


class _Points:
    """Columns of length 1, or as they are, without a copy of all. `columns`: `[C, d]`."""

    def __init__(self, columns: Tensor, by_angle: bool) -> None:
        self._columns, self._by_angle = columns, by_angle
        lengths = torch.linalg.vector_norm(columns, dim=1)
        if not lengths.isfinite().all():
            raise DataError("columns must be finite, and some hold NaN or infinity.")
        # a column of zeros has no angle, and stays
        self._scales = torch.where(lengths > 0, 1 / lengths, 0) if by_angle else torch.ones_like(lengths)
        self._squares = (lengths * self._scales).square()

    def __len__(self) -> int:
        return len(self._columns)

    def __getitem__(self, some: Tensor) -> Tensor:
        return self._columns[some].mul_(self._scales[some, None])

    def gaps(self, centres: Tensor) -> Tensor:
        """Return squares of the distances of all points to centres `[n, d]`: `[C, n]`."""
        centres = self._on_sphere(centres)
        return _gaps((self._columns @ centres.t()).mul_(self._scales[:, None]), self._squares, centres)

    def gaps_of(self, some: Tensor, points: Tensor, centres: Tensor) -> Tensor:
        """Return the same of the points `[batch, d]` at `some`, `[batch, n]`."""
        centres = self._on_sphere(centres)
        return _gaps(points @ centres.t(), self._squares[some], centres)

    def _on_sphere(self, centres: Tensor) -> Tensor:
        return F.normalize(centres, dim=1, eps=torch.finfo(centres.dtype).tiny) if self._by_angle else centres


def _gaps(products: Tensor, squares: Tensor, centres: Tensor) -> Tensor:
    """Return |x|^2 - 2 x c + |c|^2 from products x c `[points, n]`, squares of lengths `[points]` and centres."""
    return products.mul_(-2).add_(squares[:, None]).add_(centres.square().sum(1)).clamp_(min=0)


def _first_centres(points: _Points, clusters: int, random: torch.Generator) -> Tensor:
    """Return columns that are far from each other, `[clusters, d]`.

    Each is drawn with a chance in proportion to the square of its distance to the nearest before it; of several draws,
    that which leaves the smallest sum of squares is kept.
    """
    chosen: list[Tensor] = []
    drawn = torch.randint(len(points), (1,), generator=random)
    gaps = torch.full((len(points),), torch.inf)
    while True:
        left = torch.minimum(points.gaps(points[drawn]), gaps[:, None])
        best = left.double().sum(0).argmin()
        chosen.append(drawn[best])
        if len(chosen) == clusters:
            return points[torch.stack(chosen)]
        gaps = left[:, best].index_fill(0, torch.stack(chosen), 0)
        # where all others are like one that was chosen, each of them is as good
        chances = gaps if gaps.any() else torch.ones_like(gaps).index_fill_(0, torch.stack(chosen), 0)
        drawn = torch.multinomial(chances / chances.max(), CANDIDATES_PER_CENTRE, replacement=True, generator=random)


def _one_pass(points: _Points, centres: Tensor, random: torch.Generator) -> None:
    """Move the centres `[clusters, d]` by all columns once."""
    counts, own_gaps = torch.ones(len(centres)), torch.zeros(len(points))
    for some in torch.randperm(len(points), generator=random).split(BATCH_COLUMNS):
        batch = points[some]
        own_gaps[some], nearest = points.gaps_of(some, batch, centres).min(1)
        came = torch.bincount(nearest, minlength=len(centres)).float()
        counts += came
        # one by one with rate 1 / n is the mean of all that came, and of what was there
        sums = torch.zeros_like(centres).index_add_(0, nearest, batch)
        centres += (sums - came[:, None] * centres) / counts[:, None]
    empty = torch.nonzero(counts == 1).flatten()
    centres[empty] = points[own_gaps.argsort(descending=True, stable=True)[: len(empty)]]


def _without_empty(gaps: Tensor) -> Tensor:
    """Return the nearest centre of every class `[C]`; one without a class gets that which is farthest from its own.

    Gaps `[C, clusters]`.
    """
    own, nearest = gaps.min(1)
    counts = torch.bincount(nearest, minlength=gaps.shape[1])
    for i in torch.nonzero(counts == 0).flatten().tolist():
        moved = torch.where(counts[nearest] > 1, own, -1).argmax()
        counts[nearest[moved]] -= 1
        nearest[moved], counts[i] = i, 1
    return nearest
