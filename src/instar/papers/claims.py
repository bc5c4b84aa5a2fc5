"""Comparisons of two arms of a table over paired seeds: rows of gains, and sentences on the paper's claims."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import mean

from instar.analysis.significance import paired_interval
from instar.papers.table import TableRow


def to_errors(accuracies: Sequence[float]) -> list[float]:
    """Return errors in % of accuracies in %."""
    return [100 - accuracy for accuracy in accuracies]


def mean_over_problems(problems: Iterable[Sequence[float]]) -> list[float]:
    """Return the mean over the problems of a table, seed by seed: seeds are drawn, and problems are chosen.

    >>> mean_over_problems([[1.0, 2.0], [3.0, 6.0]])
    [2.0, 4.0]
    """
    return [mean(values) for values in zip(*problems, strict=True)]


def compare_arms(name: str, ours: Sequence[float], reference: Sequence[float], published: float | None) -> TableRow:
    """Return a row with the gain of an arm over another in points, paired by seed, and its 95% interval.

    Args:
        name: title of the row.
        ours: errors of the arm in %, one per seed.
        reference: errors of the other arm with the same seeds.
        published: the paper's gain; None if it has none.
    """
    gains = [theirs - mine for mine, theirs in zip(ours, reference, strict=True)]
    note, settings = "", {}
    if len(gains) > 1:  # one seed has no interval
        _, low, high = paired_interval(ours, reference)
        note, settings = f"95%: {low:+.2f} to {high:+.2f}", {"interval": [low, high]}
    return TableRow(name, "gain", "points", published, gains, settings, note)


def judge_claim(claim: str, ours: Sequence[float], reference: Sequence[float], unit: str = "points") -> str:
    """Return a sentence that says whether `ours` has fewer errors than `reference`, over paired seeds.

    >>> judge_claim("BAN < teacher", [60.0, 61.0, 60.5], [62.0, 62.9, 62.6])
    'BAN < teacher: held (2.00 points, 95%: +1.75 to +2.25).'
    >>> judge_claim("BANE < BAN", [60.0, 61.0, 60.5], [60.1, 60.8, 60.6])
    'BANE < BAN: not settled (0.00 points, 95%: -0.43 to +0.43).'
    """
    mean, low, high = paired_interval(ours, reference)
    # an interval that contains 0 decides nothing, in whichever direction the mean points
    word = "held" if low > 0 else "did not hold; the opposite did" if high < 0 else "not settled"
    return f"{claim}: {word} ({mean + 0:.2f} {unit}, 95%: {low:+.2f} to {high:+.2f})."  # + 0 turns -0 into 0
