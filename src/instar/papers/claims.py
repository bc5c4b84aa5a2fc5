"""Comparisons of two arms of a table over paired seeds: rows of gains, and sentences on the paper's claims."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import isfinite
from statistics import mean

from instar.analysis.significance import paired_interval, ratio_interval
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


def gain_kept_row(
    name: str,
    student: Sequence[float],
    teacher: Sequence[float],
    reference: Sequence[float],
    published: float | None,
) -> TableRow:
    """Return a row with a student's mean gain over a reference in % of its teacher's, and the interval over the seeds.

    It is a single number: the ratio of the means, because the gain of one seed may be 0. It is 0 if the teacher has no
    gain; the interval is left out with one seed, or where it has no ends.

    Args:
        name: title of the row.
        student: errors of the student, one per seed.
        teacher: errors of its teacher with the same seeds.
        reference: errors of what both are compared with.
        published: the paper's share in %; None if it has none.
    """
    ours, theirs = ([b - a for a, b in zip(some, reference, strict=True)] for some in (student, teacher))
    kept = 100 * mean(ours) / mean(theirs) if mean(theirs) else 0.0
    ends = [100 * end for end in ratio_interval(ours, theirs)[1:]] if len(ours) > 1 else []
    if not ends or not all(map(isfinite, ends)):
        return TableRow(name, "of mean gains", "%", published, [kept])
    note = f"95%: {ends[0]:.0f} to {ends[1]:.0f}"
    return TableRow(name, "of mean gains", "%", published, [kept], {"interval": ends}, note)


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
