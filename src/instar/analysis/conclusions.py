"""What a comparison of two methods shows and what it cannot, as a table and in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from instar.analysis.comparison import MAX_SEEDS, Difference
from instar.analysis.significance import SIGNIFICANCE_LEVEL


@dataclass(frozen=True)
class Quantity:
    """The test error, or the NLL, of a method beside that of the reference.

    Args:
        reference: mean over the runs of the reference that take part.
        method: mean over those of the method.
        over_samples: the difference of these, for the weights as they are.
        over_seeds: the difference, for the test samples as they are; none with fewer than two paired seeds.
        seeds_needed: to see this difference over seeds with a power of 80% at 5%; none where that cannot be said.
    """

    reference: float
    method: float
    over_samples: Difference
    over_seeds: Difference | None = None
    seeds_needed: int | None = None


@dataclass(frozen=True)
class Comparison:
    """A method beside the reference.

    Args:
        name: of the method, as it was given.
        runs: how many of the reference and of the method take part.
        seeds: those of paired runs; none where the runs have no seed in common.
        left_out: seeds that only the reference, and that only the method has, where others are paired.
        error: in percent, differences in points.
        nll: in nats; none where it is infinite.
        pairs: differences of the error in points for each pair of runs, by seed, where there are several.
    """

    name: str
    runs: tuple[int, int]
    seeds: tuple[int, ...]
    left_out: tuple[tuple[int, ...], tuple[int, ...]]
    error: Quantity
    nll: Quantity | None
    pairs: Mapping[int, Difference] = field(default_factory=dict)

    def conclusions(self, who: str, reference: str, samples: int) -> list[str]:
        """Return sentences on what is known for these weights, and for another training.

        Args:
            who: the method, in a word.
            reference: the reference, in a word.
            samples: how many test samples there are.
        """
        here = self._for_these_weights(who, reference, f"these {samples:,} samples")
        found = [here, self._for_another(who, reference)]
        for seeds, owner in zip(self.left_out, (reference, who), strict=True):
            if seeds:
                found.append(f"Left out, because {owner} alone has runs of them: {seeds_in_words(seeds)}.")
        if self.nll is None:
            found.append("The NLL is infinite for a sample, and is left out.")
        return found

    def _for_these_weights(self, who: str, reference: str, samples: str) -> str:
        found = self.error.over_samples
        several = f"the weights of these runs ({self.runs[0]} of {reference}, {self.runs[1]} of {who})"
        weights = "these weights" if self.runs == (1, 1) else several
        if not found.better and not found.worse:
            return f"{who} and {reference} err alike on each of {samples} for {weights}: there is no difference."
        amount, p = in_words(found), p_value(found.corrected["mcnemar"])
        if found.corrected["mcnemar"] < SIGNIFICANCE_LEVEL:
            more = f"{who} makes {direction(found)} errors than {reference}"
            return f"{more} on {samples} for {weights}: {amount}; p {p}."
        return (
            f"On {samples} for {weights}, it cannot be concluded that {who} is better than {reference}, or worse, or "
            f"as good: {amount}; p {p}."
        )

    def _for_another(self, who: str, reference: str) -> str:
        found = self.error.over_seeds
        question = f"Whether another training of {who} would make fewer errors than one of {reference}"
        if not self.seeds and self.runs != (1, 1):
            return f"{question} cannot be said: they have no seed in common; train both with the same seeds."
        if found is None:
            return (
                f"{question}, one seed cannot tell, nor how many seeds would: that takes two or more, the same of both."
            )
        paired = f"{len(self.seeds)} paired seeds"
        if "t" not in found.corrected:
            return f"{question}, {paired} cannot tell: all have the same difference, which gives no interval."
        few = self.error.seeds_needed
        needed = f"more than {MAX_SEEDS:,}" if few is None else f"{few:,}"
        known = (
            f"{in_words(found)}; paired t test p {p_value(found.corrected['t'])}, sign test p "
            f"{p_value(found.corrected['sign'])}. To see such a difference with 80% power at 5% takes {needed} seeds."
        )
        if found.corrected["t"] < SIGNIFICANCE_LEVEL:
            return (
                f"On average another training of {who} makes {direction(found)} errors than one of {reference} on the "
                f"same samples: over {paired}, {known}"
            )
        return f"{question}, {paired} do not settle: {known}"

    def rows(self, who: str) -> list[str]:
        """Return lines of the table, under `TABLE_HEADING`."""
        lines = []
        for name, quantity, places in (("error (%)", self.error, 2), ("NLL (nats)", self.nll, 4)):
            if quantity is None:
                continue
            values = f"{quantity.reference:>10.{places}f}{quantity.method:>10.{places}f}"
            lines.append(_row(who, name, "samples", values, quantity.over_samples, places))
            if quantity.over_seeds:
                lines.append(_row("", "", f"{len(self.seeds)} seeds", f"{'':20}", quantity.over_seeds, places))
            who = ""
        return lines


TABLE_HEADING = f"{'':4}{'':12}{'over':12}{'reference':>10}{'method':>10}   {'difference (95%)':34}{'p':>9}"


def _row(who: str, name: str, over: str, values: str, found: Difference, places: int) -> str:
    difference = f"{found.mean:+.{places}f} ({found.low:+.{places}f} to {found.high:+.{places}f})"
    p = next((p_value(found.corrected[test]) for test in ("mcnemar", "t") if test in found.corrected), "")
    return f"{who:4}{name:12}{over:12}{values}   {difference:34}{p:>9}".rstrip()


def in_words(found: Difference) -> str:
    """Return a difference in points of errors.

    >>> in_words(Difference(-1.2, -2.0, -0.4, 3, 0)), in_words(Difference(0.0, -0.5, 0.7, 1, 1))
    ('1.20 points fewer (95%: 0.40 to 2.00 fewer)', 'as many (95%: 0.50 fewer to 0.70 more)')
    """
    amount = f"{abs(found.mean):.2f} points {direction(found)}" if found.mean else "as many"
    if found.low < 0 < found.high:
        return f"{amount} (95%: {-found.low:.2f} fewer to {found.high:.2f} more)"
    low, high = sorted(abs(end) for end in (found.low, found.high))
    return f"{amount} (95%: {low:.2f} to {high:.2f} {direction(found)})"


def direction(found: Difference) -> str:
    """Return whether the method makes fewer errors, or more."""
    return "fewer" if found.mean < 0 else "more"


def p_value(p: float) -> str:
    """Return a p-value to four places.

    >>> p_value(0.03125), p_value(0.00001)
    ('0.0312', '<0.0001')
    """
    return f"{p:.4f}" if p >= 0.0001 else "<0.0001"


def seeds_in_words(seeds: Sequence[int]) -> str:
    """Return seeds by number.

    >>> seeds_in_words([3]), seeds_in_words([0, 1])
    ('seed 3', 'seeds 0, 1')
    """
    return f"seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))}"
