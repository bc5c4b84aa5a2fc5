"""Conclusions from a comparison of two methods, as a table and as sentences."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from instar.analysis.comparison import MAX_SEEDS, Difference, statistic_over_samples
from instar.analysis.linearised import Linearised, mean_of
from instar.analysis.numbers import KEPT
from instar.analysis.significance import SIGNIFICANCE_LEVEL
from instar.tasks.catalogue import known_metrics
from instar.tasks.metric import Metric, format_value
from instar.tasks.metrics import ERROR, NLL
from instar.tasks.regression import DISTANCE, R2, RMSE


@dataclass(frozen=True, repr=False)
class Quantity:
    """One metric of the reference and of a method on the test samples.

    Args:
        reference: mean over the compared runs of the reference.
        method: mean over the compared runs of the method.
        over_samples: difference, tested over samples with fixed weights.
        over_seeds: difference, tested over seeds with fixed samples; None with fewer than two paired seeds.
        seeds_needed: number of seeds that detect this difference with 80% power at 5%; None if unknown.

    >>> {"rmse": Quantity(610.123456, 598.5, Difference(-11.623456, -20.1, -3.2, None, None))}
    {'rmse': Quantity(610.1 -> 598.5, -11.62 (-20.1 to -3.2))}
    """

    reference: float
    method: float
    over_samples: Difference
    over_seeds: Difference | None = None
    seeds_needed: int | None = None

    def __repr__(self) -> str:
        # short, because `compare_with_teacher` of a regressor returns a mapping of several
        found = self.over_samples
        ends = f"{found.low:+.4g} to {found.high:+.4g}"
        return f"Quantity({self.reference:.4g} -> {self.method:.4g}, {found.mean:+.4g} ({ends}))"


def compare_runs(reference: Sequence[Linearised], method: Sequence[Linearised], *, is_tested: bool) -> Quantity:
    """Return a statistic of two methods, each the mean over its runs, with the interval over their common samples."""
    both = mean_of(reference).value, mean_of(method).value
    return Quantity(*both, statistic_over_samples(reference, method, is_tested=is_tested))


def say_kept(name: str, found: Mapping[str, Quantity]) -> str:
    """Return what a student has of its teacher, where both predict numbers.

    Args:
        name: short name of the student.
        found: `compare_runs` of the statistics of `compare_with_teacher`, with an R².
    """
    r2, distance = found[R2.name], found[DISTANCE.name]
    low, high = r2.over_samples.low, r2.over_samples.high
    told = (
        f"The R² of {name} is {r2.method:.4f}, and that of its teacher {r2.reference:.4f}: {r2.over_samples.mean:+.4f} "
        f"(95%: {low:+.4f} to {high:+.4f})."
    )
    ends = " to ".join(
        format_value(max(0.0, end), "number") for end in (distance.over_samples.low, distance.over_samples.high)
    )
    far = f"{format_value(distance.method, 'number')} from those of its teacher (RMSE, 95%: {ends})."
    if (kept := found.get(KEPT)) is None:
        return f"{told} The predictions of {name} are {far}"
    low, high = (100 + 100 * end for end in (kept.over_samples.low, kept.over_samples.high))
    share = f"{100 * kept.method:.2f}% of it (95%: {low:.2f} to {high:.2f})"
    return f"{told} {name} keeps {share}, and its predictions are {far}"


@dataclass(frozen=True)
class Comparison:
    """A comparison of a method with the reference.

    Args:
        name: name of the method.
        runs: number of compared runs of the reference and of the method.
        seeds: seeds of paired runs; empty if the runs have no seed in common.
        left_out: seeds that only the reference has, and seeds that only the method has, if others are paired.
        error: test error in percent, with differences in percentage points; None where labels are numbers.
        nll: NLL in nats; None if it is infinite, and where labels are numbers.
        pairs: by seed, difference of the error of the pair of runs in percentage points, or of their RMSE; empty for a
            single pair.
        others: further metrics that both methods have by name, shares in percent; over samples, the RMSE alone has a
            test.
    """

    name: str
    runs: tuple[int, int]
    seeds: tuple[int, ...]
    left_out: tuple[tuple[int, ...], tuple[int, ...]]
    error: Quantity | None
    nll: Quantity | None
    pairs: Mapping[int, Difference] = field(default_factory=dict)
    others: Mapping[str, Quantity] = field(default_factory=dict)

    @property
    def main(self) -> Quantity:
        """What the conclusions are about: the error, or the RMSE of numbers."""
        return self.others[RMSE.name] if self.error is None else self.error

    @property
    def _words(self) -> Words:
        return (
            OF_ERRORS
            if self.error is not None
            else Words("has a {} RMSE", "have a lower RMSE", "lower", "higher", "equal", "", _places(RMSE, self.main))
        )

    def conclusions(self, method: str, reference: str, samples: int) -> list[str]:
        """Return one sentence about these weights and one about new training runs, then what was left out.

        Args:
            method: short name of the method.
            reference: short name of the reference.
            samples: number of test samples.
        """
        # two questions: a test over samples says nothing about training again, a test over seeds does
        found = [
            self._about_these_weights(method, reference, f"these {samples:,} samples"),
            self._about_new_runs(method, reference),
        ]
        for seeds, owner in zip(self.left_out, (reference, method), strict=True):
            if seeds:
                found.append(f"Only {owner} has runs of {seeds_in_words(seeds)}; these runs are left out.")
        if self.nll is None and self.error is not None:
            found.append(f"The {NLL.title} is left out, because it is infinite for at least one sample.")
        return found

    def _about_these_weights(self, method: str, reference: str, samples: str) -> str:
        found, words = self.main.over_samples, self._words
        several = f"the weights of these runs ({self.runs[0]} of {reference}, {self.runs[1]} of {method})"
        weights = "these weights" if self.runs == (1, 1) else several
        # equal on each sample; a mean of 0 alone may be a balance
        if not (found.better or found.worse or found.low or found.high):
            return f"{method} and {reference} make the same errors on {samples} with {weights}: there is no difference."
        amount = in_words(found, words)
        (corrected,) = found.corrected.values()
        p = p_value(corrected)
        if corrected < SIGNIFICANCE_LEVEL:
            more = f"{method} {words.has.format(words.direction(found))} than {reference}"
            return f"{more} on {samples} with {weights}: {amount}; p {p}."
        return (
            f"On {samples} with {weights}, the difference of {method} and {reference} is not significant, which does "
            f"not show that they are equally good: {amount}; p {p}."
        )

    def _about_new_runs(self, method: str, reference: str) -> str:
        found, words = self.main.over_seeds, self._words
        question = f"It is unknown whether new runs of {method} would {words.would} than new runs of {reference}"
        if not self.seeds and self.runs != (1, 1):
            return f"{question}: they have no seed in common. Train both with the same seeds."
        if found is None:
            return f"{question}, or how many seeds would show it: there is only one seed. Train both with more seeds."
        paired = f"{len(self.seeds)} paired seeds"
        # equal differences have no spread to estimate, whatever their size
        if "t" not in found.corrected:
            return f"{question}: all {paired} have the same difference, which gives no interval."
        seeds = self.main.seeds_needed
        needed = f"more than {MAX_SEEDS:,}" if seeds is None else f"{seeds:,}"
        evidence = (
            f"{in_words(found, words)}; paired t test p {p_value(found.corrected['t'])}, sign test p "
            f"{p_value(found.corrected['sign'])}. Detecting this difference with 80% power at 5% takes {needed} seeds."
        )
        if found.corrected["t"] < SIGNIFICANCE_LEVEL:
            more = words.would.replace(words.lower, words.direction(found))
            return (
                f"On average, new runs of {method} {more} than new runs of {reference} on the same samples: over "
                f"{paired}, {evidence}"
            )
        return f"{question}: over {paired}, {evidence}"

    def rows(self, method: str) -> list[str]:
        """Return the lines of the table below `TABLE_HEADING`; `method` is the short name of the method."""
        lines = []
        error = ERROR.name + ERROR.unit_suffix  # without "test", because a comparison has no other split
        known = known_metrics()
        others = [
            (known[name].label + known[name].unit_suffix, quantity, _places(known[name], quantity))
            for name, quantity in self.others.items()
        ]
        for name, quantity, places in ((error, self.error, 2), (NLL.heading, self.nll, 4), *others):
            if quantity is None:
                continue
            values = f"{quantity.reference:>10.{places}f}{quantity.method:>10.{places}f}"
            lines.append(_row(method, name, "samples", values, quantity.over_samples, places))
            if quantity.over_seeds:
                lines.append(_row("", "", f"{len(self.seeds)} seeds", f"{'':20}", quantity.over_seeds, places))
            method = ""  # only the first line of a method has its name
        return lines


TABLE_HEADING = f"{'':4}{'':22}{'over':10}{'reference':>10}{'method':>10}   {'difference (95%)':33}{'p':>8}"


def _row(method: str, name: str, over: str, values: str, found: Difference, places: int) -> str:
    difference = f"{found.mean:+.{places}f} ({found.low:+.{places}f} to {found.high:+.{places}f})"
    # the NLL has no test over samples: its cell stays empty
    p = next((p_value(found.corrected[test]) for test in ("mcnemar", "delta", "t") if test in found.corrected), "")
    return f"{method:4}{name:22}{over:10}{values}   {difference:33}{p:>8}".rstrip()


def _places(metric: Metric, quantity: Quantity) -> int:
    """Return the decimal places of a metric: five digits of a number of any unit."""
    if metric.unit != "number":
        return 2 if metric.unit == "share" else 4
    size = max(abs(quantity.reference), abs(quantity.method))
    return min(10, max(0, 4 - math.floor(math.log10(size)))) if size > 0 else 2


@dataclass(frozen=True)
class Words:
    """How sentences speak of a quantity of which less is better.

    Args:
        has: what a method does, with {} for the direction.
        would: what it would do if it were better.
        lower: the better direction.
        higher: the worse one.
        equal: neither.
        unit: behind an amount.
        places: decimal places of an amount.
    """

    has: str
    would: str
    lower: str
    higher: str
    equal: str
    unit: str
    places: int

    def direction(self, found: Difference) -> str:
        """Return the direction of a difference."""
        return self.lower if found.mean < 0 else self.higher


OF_ERRORS = Words("makes {} errors", "make fewer errors", "fewer", "more", "as many", " points", 2)
"""How sentences speak of errors in percentage points."""


def in_words(found: Difference, words: Words = OF_ERRORS) -> str:
    """Describe a difference.

    >>> in_words(Difference(-1.2, -2.0, -0.4, 3, 0)), in_words(Difference(0.0, -0.5, 0.7, 1, 1))
    ('1.20 points fewer (95%: 0.40 to 2.00 fewer)', 'as many (95%: 0.50 fewer to 0.70 more)')
    """
    ends = [f"{abs(end):.{words.places}f}" for end in (found.low, found.high)]
    amount = f"{abs(found.mean):.{words.places}f}{words.unit} {words.direction(found)}" if found.mean else words.equal
    if found.low < 0 < found.high:  # the ends differ in direction, so each needs its own word
        return f"{amount} (95%: {ends[0]} {words.lower} to {ends[1]} {words.higher})"
    low, high = sorted(ends, key=float)
    return f"{amount} (95%: {low} to {high} {words.direction(found)})"


def p_value(p: float) -> str:
    """Format a p-value with four decimal places.

    >>> p_value(0.03125), p_value(0.00001)
    ('0.0312', '<0.0001')
    """
    return f"{p:.4f}" if p >= 0.0001 else "<0.0001"


def seeds_in_words(seeds: Sequence[int]) -> str:
    """Describe seeds by their numbers.

    >>> seeds_in_words([3]), seeds_in_words([0, 1])
    ('seed 3', 'seeds 0, 1')
    """
    return f"seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))}"
