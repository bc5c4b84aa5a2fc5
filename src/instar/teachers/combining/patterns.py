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
"""Dustbins of one sample up to which each of the 2^k patterns of classes has a place, with classes in it or without."""

MAX_DUSTBINS = 52
"""Dustbins that one sample may have: patterns are numbered in float64."""

MAX_SOLVED_NUMBERS = 1 << 18
"""Numbers that say which specialists know which patterns, of the samples that are solved for at once."""


@dataclass(frozen=True, eq=False)
class DustbinGroup:
    """Samples with equally many dustbins k, and so with patterns in equal places.

    Args:
        rows: of the samples.
        first: the first of their places among those of all samples.
        inside: which of their specialists know which patterns, `[patterns, k]` or `[rows, patterns, k]`, 1.0 or 0.0.
    """

    rows: Tensor
    first: int
    inside: Tensor

    @property
    def dustbins(self) -> int:
        """The number k."""
        return self.inside.shape[-1]

    def of(self, flat: Tensor) -> Tensor:
        """Return the patterns of these samples, `[rows, patterns]`."""
        patterns = self.inside.shape[-2]
        return flat[self.first : self.first + len(self.rows) * patterns].view(-1, patterns)


class Patterns:
    """Where the masses of patterns are: of each sample in a row of their own, first what no specialist knows.

    Samples that the same specialists are asked about have the same patterns, which are found once for them.
    """

    def __init__(self, opinions: Sequence[Opinion], samples: int, classes: int, device: torch.device) -> None:
        asked = torch.zeros(len(opinions), samples, dtype=torch.bool, device=device)
        knows = torch.zeros(len(opinions), classes, dtype=torch.bool, device=device)
        for i, one in enumerate(opinions):
            asked[i, one.rows] = True
            knows[i, one.classes] = True
        self._sets, chosen = _distinct(asked)  # which of the sets of specialists is asked, and who is in each
        number = chosen.sum(1)
        self._slots = chosen.cumsum(1) - 1
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
        signatures = _distinct(knows)[1].T.double() if self._most > MAX_DENSE_DUSTBINS else None
        for k in number.unique().tolist():
            rows = (number[self._sets] == k).nonzero().view(-1)
            of_sets = None
            if signatures is None or k <= MAX_DENSE_DUSTBINS:
                inside = _bits(torch.arange(2**k, dtype=torch.float64, device=device), k)
            else:
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
            own = chosen[:, i].nonzero().view(-1)
            place = bits[own] @ knows[:, one.classes].double()
            for k, numbers in large:
                of_k = number[own] == k
                place[of_k] = torch.searchsorted(numbers[within[own[of_k]]], place[of_k]).double()
            among = torch.empty_like(number)
            among[own] = torch.arange(len(own), device=device)
            self._places.append((among[self._sets[one.rows]], place.long()))

    def parts(self) -> Iterator[DustbinGroup]:
        """Yield the samples, as many as are solved for at once, with their patterns."""
        for block, of_sets in self._blocks:
            patterns = block.inside.shape[-2]
            step = max(1, MAX_SOLVED_NUMBERS // (patterns * max(1, block.dustbins)))
            for start in range(0, len(block.rows), step):
                some = slice(start, start + step)
                inside = block.inside if of_sets is None else block.inside[of_sets[some]]
                yield DustbinGroup(block.rows[some], block.first + start * patterns, inside)

    def places(self, i: int, opinion: Opinion) -> Tensor:
        """Return where the patterns of the classes of specialist i are, `[n, |S|]`."""
        among, place = self._places[i]
        return place.index_select(0, among).add_(self._first[opinion.rows, None])

    def dustbins(self, opinions: Sequence[Opinion]) -> tuple[Tensor, Tensor]:
        """Return the log-probabilities of dustbins and the weights of their specialists, `[samples, most]` each."""
        said = torch.zeros(len(self._sets), self._most, dtype=torch.float64, device=self._sets.device)
        weights = torch.zeros_like(said)
        for i, one in enumerate(opinions):
            at = one.rows, self._slots[self._sets[one.rows], i]
            said[at] = one.log_probs[:, -1].double().clamp(min=MIN_LOG_PROBABILITY)
            weights[at] = one.weight
        return said, weights

    def heard(self, total: Tensor, weights: Tensor) -> Tensor:
        """Return the weights of all that know a pattern."""
        heard = torch.empty(self.size, dtype=torch.float64, device=total.device)
        for part in self.parts():
            known = PatternMatrix(part.inside).spread(weights[part.rows, : part.dustbins])
            part.of(heard).copy_(known.add_(total[part.rows, None]))
        return heard

    def divide(self, pooled: Tensor, opinions: Sequence[Opinion], total: Tensor, heard: Tensor) -> None:
        """Divide what is said of each class by the weights of all that know it."""
        means = [
            (take(pooled, entries(one, pooled)) / take(heard, self.places(i, one))).to(pooled)
            for i, one in enumerate(opinions)
        ]
        for tile in tiles_of(pooled, cached_tile_rows(pooled)):
            pooled[tile] /= total[tile, None].to(pooled)
        for one, mean in zip(opinions, means, strict=True):
            put(pooled, entries(one, pooled), mean)

    def masses(self, pooled: Tensor, opinions: Sequence[Opinion]) -> tuple[Tensor, list[Tensor]]:
        """Return the sum over each pattern, and what stood where specialists know a class, which is overwritten."""
        mass = torch.zeros(self.size, dtype=torch.float64, device=pooled.device)
        kept = []
        for i, one in enumerate(opinions):
            at = entries(one, pooled)
            known = take(pooled, at)
            # nothing is left for specialists after this one that know the class too: it is counted once
            pooled.view(-1).scatter_(0, at.view(-1), -torch.inf)
            mass.scatter_add_(0, self.places(i, one).view(-1), known.double().exp().view(-1))
            kept.append(known)
        few = torch.finfo(pooled.dtype).tiny / torch.finfo(pooled.dtype).eps
        for tile in tiles_of(pooled, cached_tile_rows(pooled)):
            rest = pooled[tile].exp().sum(1).double()
            lost = (rest < few).nonzero().view(-1)
            if len(lost):
                rest[lost] = pooled[tile][lost].double().exp_().sum(1)
            mass[self._first[tile]] = rest
        return mass, kept

    def subtract(self, pooled: Tensor, opinions: Sequence[Opinion], shift: Tensor, kept: list[Tensor]) -> None:
        """Subtract the shift of its pattern from every class."""
        for tile in tiles_of(pooled, cached_tile_rows(pooled)):
            rest = shift[self._first[tile], None]
            large = rest.to(pooled)
            pooled[tile].sub_(large).sub_((rest - large).to(pooled))  # as if in float64
        for i in reversed(range(len(opinions))):  # so that the first, who found the class untouched, writes last
            known = (kept[i] - take(shift, self.places(i, opinions[i]))).to(pooled)
            put(pooled, entries(opinions[i], pooled), known)


def _distinct(flags: Tensor) -> tuple[Tensor, Tensor]:
    """Return which of the distinct columns each is, `[columns]`, and those, `[distinct, rows]`."""
    which = torch.zeros(flags.shape[1], dtype=torch.int64, device=flags.device)
    for some in flags.split(31):  # which < 2^31, so that the number of a column fits
        bits = 2 ** torch.arange(len(some), device=flags.device)
        which = ((which << 31) + (some * bits[:, None]).sum(0)).unique(return_inverse=True)[1]
    first = torch.zeros(int(which.max()) + 1 if len(which) else 0, dtype=torch.int64, device=flags.device)
    first[which] = torch.arange(len(which), device=flags.device)
    return which, flags[:, first].T


def _numbers(found: Tensor) -> Tensor:
    """Return the distinct numbers of each row in their order, with 0 first and infinity behind them."""
    ordered = torch.cat([torch.zeros_like(found[:, :1]), found], 1).sort(1)[0]
    place = (ordered.diff(dim=1) > 0).cumsum(1)
    numbers = ordered.new_full((len(ordered), int(place[:, -1].max()) + 1), torch.inf)
    numbers[:, 0] = 0.0
    return numbers.scatter_(1, place, ordered[:, 1:])


def _bits(numbers: Tensor, k: int) -> Tensor:
    """Return the k bits of each number, the lowest first, as float64."""
    powers = 2.0 ** torch.arange(k, device=numbers.device)
    return (numbers.nan_to_num(posinf=0.0)[..., None] / powers).floor() % 2
