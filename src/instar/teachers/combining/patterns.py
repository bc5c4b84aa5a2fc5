"""Which classes are known to the same specialists, and how much probability they have together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from instar.compute.tiling import cached_tile_rows, tiles_of
from instar.errors import ConfigError
from instar.teachers.combining.columns import PatternMatrix
from instar.teachers.combining.opinion import MIN_LOG_PROBABILITY, Opinion, entries, put, take

MAX_DENSE_DUSTBINS = 6
"""Number of dustbins of a sample up to which all 2^k patterns have a place, whether or not they have a class."""

MAX_DUSTBINS = 52
"""Largest number of dustbins of a sample: patterns are numbered by bits in float64, which has 53."""

MAX_SOLVED_NUMBERS = 1 << 18
"""Largest number of entries (samples times patterns times dustbins) that are solved for at once; 2 MiB in float64."""


@dataclass(frozen=True, eq=False)
class DustbinGroup:
    """Samples with the same number k of dustbins.

    Args:
        rows: rows of the samples.
        first: first place of their patterns among those of all samples.
        inside: 1.0 if a specialist knows a pattern, otherwise 0.0, `[patterns, k]` or `[rows, patterns, k]`.
    """

    rows: Tensor
    first: int
    inside: Tensor

    @property
    def dustbins(self) -> int:
        """The number k."""
        return self.inside.shape[-1]

    def of(self, flat: Tensor) -> Tensor:
        """Return the part of a flat tensor of patterns that is about these samples, `[rows, patterns]`."""
        patterns = self.inside.shape[-2]
        return flat[self.first : self.first + len(self.rows) * patterns].view(-1, patterns)


class Patterns:
    """Places of the patterns of all samples in one flat tensor; the first of a sample is the classes that none knows.

    Samples with the same active specialists have the same patterns, which are computed once for all of them.
    """

    def __init__(self, opinions: Sequence[Opinion], samples: int, classes: int, device: torch.device) -> None:
        is_active = torch.zeros(len(opinions), samples, dtype=torch.bool, device=device)
        knows = torch.zeros(len(opinions), classes, dtype=torch.bool, device=device)
        for i, one in enumerate(opinions):
            is_active[i, one.rows] = True
            knows[i, one.classes] = True
        # the set of active specialists of each sample, [samples], and the members of each set, [sets, specialists]
        self._sets, chosen = _distinct(is_active)
        number = chosen.sum(1)
        self._slots = chosen.cumsum(1) - 1  # the number of a specialist within its set
        # a specialist is one bit of the number of a pattern, and the classes that none knows are pattern 0
        bits = chosen * 2.0 ** self._slots.double()
        self._most = int(number.max()) if samples else 0
        if self._most > MAX_DUSTBINS:
            raise ConfigError(
                f"combine_opinions(opinions) must hold at most {MAX_DUSTBINS} dustbins for a sample, got {self._most}."
            )
        self.size, self._first = 0, torch.empty_like(self._sets)
        self._blocks: list[tuple[DustbinGroup, Tensor | None]] = []
        within = torch.empty_like(number)  # the place of a set among those with as many specialists
        large: list[tuple[int, Tensor]] = []
        # classes that the same specialists know are in one pattern for any set, so one of each kind is enough
        signatures = _distinct(knows)[1].T.double() if self._most > MAX_DENSE_DUSTBINS else None
        for k in number.unique().tolist():
            rows = (number[self._sets] == k).nonzero().view(-1)
            of_sets = None
            if signatures is None or k <= MAX_DENSE_DUSTBINS:
                inside = _bits(torch.arange(2**k, dtype=torch.float64, device=device), k)
            else:  # 2^k would be too many, and a set has at most as many patterns as there are classes
                own = (number == k).nonzero().view(-1)
                within[own] = torch.arange(len(own), device=device)
                large.append((k, _numbers(bits[own] @ signatures)))
                inside, of_sets = _bits(large[-1][1], k), within[self._sets[rows]]
            self._blocks.append((DustbinGroup(rows, self.size, inside), of_sets))
            patterns = inside.shape[-2]
            self._first[rows] = self.size + patterns * torch.arange(len(rows), device=device)
            self.size += patterns * len(rows)
        self._places: list[tuple[Tensor, Tensor]] = []
        for i, one in enumerate(opinions):
            own = chosen[:, i].nonzero().view(-1)  # the sets with this specialist
            place = bits[own] @ knows[:, one.classes].double()  # [sets, |S|], the pattern of each of its classes
            for k, numbers in large:  # from the number of a pattern to its place among those of the set
                of_k = number[own] == k
                place[of_k] = torch.searchsorted(numbers[within[own[of_k]]], place[of_k]).double()
            among = torch.empty_like(number)
            among[own] = torch.arange(len(own), device=device)
            self._places.append((among[self._sets[one.rows]], place.long()))

    def parts(self) -> Iterator[DustbinGroup]:
        """Yield groups of samples that are solved for at once."""
        for block, of_sets in self._blocks:
            patterns = block.inside.shape[-2]
            step = max(1, MAX_SOLVED_NUMBERS // (patterns * max(1, block.dustbins)))
            for start in range(0, len(block.rows), step):
                some = slice(start, start + step)
                inside = block.inside if of_sets is None else block.inside[of_sets[some]]
                yield DustbinGroup(block.rows[some], block.first + start * patterns, inside)

    def places(self, i: int, opinion: Opinion) -> Tensor:
        """Return the places of the patterns of specialist i's classes, `[n, |S|]`."""
        among, place = self._places[i]
        return place.index_select(0, among).add_(self._first[opinion.rows, None])

    def dustbins(self, opinions: Sequence[Opinion]) -> tuple[Tensor, Tensor]:
        """Return the log-probabilities of dustbins and the weights of their specialists, `[samples, most]` each."""
        log_p = torch.zeros(len(self._sets), self._most, dtype=torch.float64, device=self._sets.device)
        weights = torch.zeros_like(log_p)
        for i, one in enumerate(opinions):
            at = one.rows, self._slots[self._sets[one.rows], i]
            log_p[at] = one.log_probs[:, -1].double().clamp(min=MIN_LOG_PROBABILITY)
            weights[at] = one.weight
        return log_p, weights

    def known_weight(self, total: Tensor, weights: Tensor) -> Tensor:
        """Return W_i, the weight of all that know a pattern, for the patterns of all samples."""
        found = torch.empty(self.size, dtype=torch.float64, device=total.device)
        for part in self.parts():
            known = PatternMatrix(part.inside).spread(weights[part.rows, : part.dustbins])
            part.of(found).copy_(known.add_(total[part.rows, None]))
        return found

    def divide(self, pooled: Tensor, opinions: Sequence[Opinion], total: Tensor, known_weight: Tensor) -> None:
        """Divide the pooled prediction of each class by W_i, which makes it log g_i."""
        # read before the division below, which is that of the classes that no specialist knows
        means = [
            (take(pooled, entries(one, pooled)) / take(known_weight, self.places(i, one))).to(pooled)
            for i, one in enumerate(opinions)
        ]
        for tile in tiles_of(pooled, cached_tile_rows(pooled)):
            pooled[tile] /= total[tile, None].to(pooled)
        for one, mean in zip(opinions, means, strict=True):
            put(pooled, entries(one, pooled), mean)

    def masses(self, pooled: Tensor, opinions: Sequence[Opinion]) -> tuple[Tensor, list[Tensor]]:
        """Return the sum of q over each pattern, and the values of the classes that specialists know.

        These values are overwritten in `pooled`, and `subtract` writes their results.
        """
        mass = torch.zeros(self.size, dtype=torch.float64, device=pooled.device)
        kept = []
        for i, one in enumerate(opinions):
            at = entries(one, pooled)
            known = take(pooled, at)
            # nothing is left for later specialists that know the class too, so it is counted once
            pooled.view(-1).scatter_(0, at.view(-1), -torch.inf)
            mass.scatter_add_(0, self.places(i, one).view(-1), known.double().exp().view(-1))
            kept.append(known)
        # in tiles, so that the exponentials of all classes never exist at once
        smallest = torch.finfo(pooled.dtype).tiny / torch.finfo(pooled.dtype).eps
        for tile in tiles_of(pooled, cached_tile_rows(pooled)):
            rest = pooled[tile].exp().sum(1).double()
            # so small a sum has lost digits to exponentials below the smallest number: e^-200 is 0 in float32
            lost = (rest < smallest).nonzero().view(-1)
            if len(lost):
                rest[lost] = pooled[tile][lost].double().exp_().sum(1)
            mass[self._first[tile]] = rest
        return mass, kept

    def subtract(self, pooled: Tensor, opinions: Sequence[Opinion], shift: Tensor, kept: list[Tensor]) -> None:
        """Subtract the shift of its pattern from each class."""
        for tile in tiles_of(pooled, cached_tile_rows(pooled)):
            rest = shift[self._first[tile], None]
            large = rest.to(pooled)
            pooled[tile].sub_(large).sub_((rest - large).to(pooled))  # as if in float64
        # in reverse order, so that the first writes last: the others have kept -inf for a class that it knows too
        for i in reversed(range(len(opinions))):
            known = (kept[i] - take(shift, self.places(i, opinions[i]))).to(pooled)
            put(pooled, entries(opinions[i], pooled), known)


def _distinct(flags: Tensor) -> tuple[Tensor, Tensor]:
    """Return the number of each column among the distinct ones, `[columns]`, and these, `[distinct, rows]`."""
    which = torch.zeros(flags.shape[1], dtype=torch.int64, device=flags.device)
    for some in flags.split(31):  # which < 2^31, so with 31 more bits the number of a column fits into int64
        bits = 2 ** torch.arange(len(some), device=flags.device)
        which = ((which << 31) + (some * bits[:, None]).sum(0)).unique(return_inverse=True)[1]
    first = torch.zeros(int(which.max()) + 1 if len(which) else 0, dtype=torch.int64, device=flags.device)
    first[which] = torch.arange(len(which), device=flags.device)  # any column of each kind
    return which, flags[:, first].T


def _numbers(found: Tensor) -> Tensor:
    """Return the distinct numbers of each row in ascending order, 0 first, padded with infinity."""
    ordered = torch.cat([torch.zeros_like(found[:, :1]), found], 1).sort(1)[0]
    # rows have different counts of distinct numbers; equal ones get the same place
    place = (ordered.diff(dim=1) > 0).cumsum(1)
    numbers = ordered.new_full((len(ordered), int(place[:, -1].max()) + 1), torch.inf)
    numbers[:, 0] = 0.0
    return numbers.scatter_(1, place, ordered[:, 1:])


def _bits(numbers: Tensor, k: int) -> Tensor:
    """Return the k bits of each number, the lowest first, as float64, `[..., k]`."""
    powers = 2.0 ** torch.arange(k, device=numbers.device)
    # infinity fills places without a pattern, which have no mass, so their bits do not matter
    return (numbers.nan_to_num(posinf=0.0)[..., None] / powers).floor() % 2
