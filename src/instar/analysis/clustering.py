"""Clusters of classes for specialists: online k-means on the columns of the covariance of a teacher's predictions."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from instar.errors import ConfigError, DataError
from instar.seeds import generator

BATCH_COLUMNS = 256
"""Number of columns that are assigned to centres before the centres move: one matrix product, not one per column."""

CANDIDATES_PER_CENTRE = 20
"""Number of candidates for each initial centre: passes cannot move a centre out of a cluster that has two of them."""


def cluster_columns(
    columns: Tensor,
    clusters: int,
    size: int | None = None,
    seed: int = 0,
    passes: int = 10,
    by_angle: bool = False,
) -> list[Tensor]:
    """Cluster the columns by online k-means, and return the classes of each cluster.

    k-means++ draws the initial centres. Each pass visits the columns in random order; a column x moves its nearest
    centre c, which forgets the columns of earlier passes:

        c = c + (x - c) / n        n: columns assigned to c in this pass, plus 1 for its position before

    A centre without columns in a pass moves to the column that is farthest from its own centre.

    Rarely predicted classes have short columns, which are near to all centres. `by_angle` therefore scales columns and
    centres to length 1. Variances dominate a column but show no confusions; `diagonal=False` in the covariance leaves
    them out.

    Source: section 5.3 of 1503.02531; online updates: MacQueen 1967; batches: Sculley 2010; initial centres, the best
    of several draws: Arthur and Vassilvitskii 2007; angles: Dhillon and Modha 2001.

    Args:
        columns: columns of the covariance, float `[C, d]`, one row per class.
        clusters: number of clusters.
        size: number of classes per cluster. A cluster gets the classes assigned to it, closest pairs first, and then
            the nearest others. Clusters may overlap; together they contain every class if there is room. None: each
            class is only in the cluster of its nearest centre, and no cluster is empty.
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
    distances = points.distances(centres)
    if size is None:
        nearest = _nearest_without_empty(distances)
        return [torch.nonzero(nearest == i).flatten() for i in range(clusters)]
    # a cluster's own classes come first, below every distance to the others; both parts stay in order of distance
    order = torch.where(_assign(distances, size), distances - distances.max() - 1, distances)
    return [classes.sort().values for classes in order.t().argsort(dim=1, stable=True)[:, :size]]


def _assign(distances: Tensor, size: int) -> Tensor:
    """Assign each class to a cluster, closest pairs first, at most `size` to each; bool `[C, clusters]`."""
    # a class whose nearest cluster is full goes to the nearest one with room, so that none is left out
    classes, clusters = distances.shape
    is_free, room = [True] * classes, [size] * clusters
    assigned = torch.zeros(classes, clusters, dtype=torch.bool)
    for pair in distances.flatten().argsort(stable=True).tolist():
        index, cluster = divmod(pair, clusters)
        if is_free[index] and room[cluster]:
            is_free[index], room[cluster], assigned[index, cluster] = False, room[cluster] - 1, True
    return assigned


class _Points:
    """Columns `[C, d]` as they are, or scaled to length 1; they are scaled where they are used, without a copy."""

    def __init__(self, columns: Tensor, by_angle: bool) -> None:
        self._columns, self._by_angle = columns, by_angle
        lengths = torch.linalg.vector_norm(columns, dim=1)
        if not lengths.isfinite().all():
            raise DataError("columns must be finite, and some hold NaN or infinity.")
        # a column of zeros, of a class that was never predicted, has no angle and stays zero
        self._scales = torch.where(lengths > 0, 1 / lengths, 0) if by_angle else torch.ones_like(lengths)
        self._squares = (lengths * self._scales).square()

    def __len__(self) -> int:
        return len(self._columns)

    def __getitem__(self, indices: Tensor) -> Tensor:
        return self._columns[indices].mul_(self._scales[indices, None])  # indexing has already made a copy

    def distances(self, centres: Tensor) -> Tensor:
        """Return the squared distances of all points to centres `[clusters, d]`, `[C, clusters]`."""
        centres = self._normalised(centres)
        # the products are scaled, and not the columns, which may take 900 MB
        return _distances((self._columns @ centres.t()).mul_(self._scales[:, None]), self._squares, centres)

    def batch_distances(self, indices: Tensor, batch: Tensor, centres: Tensor) -> Tensor:
        """Return the squared distances of `batch`, the points at `indices`, to centres, `[batch, clusters]`."""
        centres = self._normalised(centres)
        return _distances(batch @ centres.t(), self._squares[indices], centres)

    def _normalised(self, centres: Tensor) -> Tensor:
        # a mean of points on the sphere lies inside it; eps keeps a centre of zeros at zero instead of NaN
        return F.normalize(centres, dim=1, eps=torch.finfo(centres.dtype).tiny) if self._by_angle else centres


def _distances(products: Tensor, squares: Tensor, centres: Tensor) -> Tensor:
    """Return |x|^2 - 2 x c + |c|^2 from products x c `[points, clusters]` and squares |x|^2 `[points]`."""
    # rounding may leave the distance of a point to itself just below 0
    return products.mul_(-2).add_(squares[:, None]).add_(centres.square().sum(1)).clamp_(min=0)


def _first_centres(points: _Points, clusters: int, random: torch.Generator) -> Tensor:
    """Return columns that are far from each other, `[clusters, d]`, by k-means++ with several draws per centre."""
    chosen: list[Tensor] = []
    drawn = torch.randint(len(points), (1,), generator=random)
    distances = torch.full((len(points),), torch.inf)  # of each point to its nearest chosen centre
    while True:
        # [C, candidates]: what the distances would be with each candidate; the smallest sum of squares wins
        remaining = torch.minimum(points.distances(points[drawn]), distances[:, None])
        best = remaining.double().sum(0).argmin()
        chosen.append(drawn[best])
        if len(chosen) == clusters:
            return points[torch.stack(chosen)]
        # exactly 0, so that rounding never lets a centre be drawn twice
        distances = remaining[:, best].index_fill(0, torch.stack(chosen), 0)
        # if every other point equals a chosen one, each of them is as good
        chances = distances if distances.any() else torch.ones_like(distances).index_fill_(0, torch.stack(chosen), 0)
        # divided by the largest, because multinomial refuses a sum that overflows or vanishes in float32
        drawn = torch.multinomial(chances / chances.max(), CANDIDATES_PER_CENTRE, replacement=True, generator=random)


def _one_pass(points: _Points, centres: Tensor, random: torch.Generator) -> None:
    # 1 for the position before this pass; own_distances: of each point to its nearest centre
    counts, own_distances = torch.ones(len(centres)), torch.zeros(len(points))
    for indices in torch.randperm(len(points), generator=random).split(BATCH_COLUMNS):
        batch = points[indices]
        own_distances[indices], nearest = points.batch_distances(indices, batch, centres).min(1)
        added = torch.bincount(nearest, minlength=len(centres)).float()
        counts += added
        # moving by (x - c) / n for one x after the other gives the mean of these x and the old c, weighted by counts
        sums = torch.zeros_like(centres).index_add_(0, nearest, batch)
        centres += (sums - added[:, None] * centres) / counts[:, None]
    # an empty centre may be far from all columns, and would then stay empty
    empty = torch.nonzero(counts == 1).flatten()
    centres[empty] = points[own_distances.argsort(descending=True, stable=True)[: len(empty)]]


def _nearest_without_empty(distances: Tensor) -> Tensor:
    """Return the nearest centre of each class, int64 `[C]`; an empty cluster gets the class farthest from its own."""
    own, nearest = distances.min(1)
    counts = torch.bincount(nearest, minlength=distances.shape[1])
    for i in torch.nonzero(counts == 0).flatten().tolist():
        # the only class of a cluster stays, or the cluster would be empty in turn
        moved = torch.where(counts[nearest] > 1, own, -1).argmax()
        counts[nearest[moved]] -= 1
        nearest[moved], counts[i] = i, 1
    return nearest
