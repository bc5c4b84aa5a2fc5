"""Whether distillation helped, by how much, how sure that is, and what the student took over from its teacher."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from statistics import fmean

import numpy as np

from instar.analysis.comparison import Difference, error_over_samples
from instar.reporting.columns import figure
from instar.reporting.groups import Group, GroupComparison
from instar.reporting.runs import Array, JudgedPredictions, Runs
from instar.reporting.similarity import AT, MOST_KNOWN, lost, mean_soft_targets
from instar.runs.rows import RunRow

LEVEL = 0.05
"""A p-value below it settles a question about the samples."""


@dataclass(frozen=True)
class Verdict:
    """A student that had a teacher, beside the same without.

    Args:
        word: whether distillation helped, in a sentence.
        sentences: by how much, how sure that is, and why.
    """

    word: str
    sentences: tuple[str, ...]


def judged(comparison: GroupComparison, runs: Runs) -> Verdict:
    """Return what a comparison shows: over seeds where there are several, else over the test samples."""
    sentences = [comparison.sentence]
    is_better, is_worse = comparison.low > 0, comparison.high < 0
    of_one = " in these two trainings" if len(comparison.seeds) == 1 else ""
    if of_one and (found := _over_samples(comparison, runs)):
        is_better, is_worse = (found.p["mcnemar"] < LEVEL and sign * found.mean > 0 for sign in (-1, 1))
        sentences.append(_about_samples(found))
    if comparison.low == comparison.high:  # all seeds alike, so that nothing tells how much others would differ
        is_better = is_worse = False
    if reason := _taken_over(comparison, runs):
        sentences.append(reason)
    if is_better or is_worse:
        return Verdict(f"Distillation {'helped' if is_better else 'hurt'}{of_one}.", tuple(sentences))
    return Verdict(f"Whether distillation helped{of_one} is not settled.", tuple(sentences))


def _pairs(comparison: GroupComparison) -> Iterator[tuple[RunRow, RunRow]]:
    """Yield the first distilled run and the first from labels of each seed."""

    def first(group: Group, seed: int) -> RunRow:
        return next(row for row in group.rows if row.seed == seed and "errors" in row.numbers)

    for seed in comparison.seeds:
        yield first(comparison.distilled, seed), first(comparison.labels, seed)


def _over_samples(comparison: GroupComparison, runs: Runs) -> Difference | None:
    """Return the difference of the errors of the one pair on the same samples; none where answers were not kept."""
    both = [runs.answers(row) for row in next(_pairs(comparison))]
    if not all(both):
        return None
    distilled, labels = (_in_order(answers) for answers in both if answers)
    if not all(np.array_equal(distilled[part], labels[part]) for part in (0, 1)):
        return None
    with_labels, with_teacher = ((~answers[2])[None].astype(int) for answers in (labels, distilled))
    return error_over_samples(with_labels, with_teacher, np.ones(len(distilled[0]), dtype=int))


def _in_order(answers: JudgedPredictions) -> tuple[Array, Array, Array]:
    """Return ids, labels and whether each answer is right, by id."""
    order = np.argsort(answers.ids)
    return answers.ids[order], answers.labels[order], answers.right[order]


def _about_samples(found: Difference) -> str:
    p = found.p["mcnemar"]
    sure = "below 0.001" if p < 0.001 else f"{p:.3f}"
    return (
        f"Of the test samples it alone knows {found.better:,}, and the student from labels alone {found.worse:,} "
        f"(McNemar's test, p {sure}); so much is known for these weights and other samples."
    )


def _taken_over(comparison: GroupComparison, runs: Runs) -> str | None:
    """Return how far both students answer as the teacher does; none where no run kept what the teacher said."""
    measured = [found for pair in _pairs(comparison) if (found := _beside_the_teacher(*pair, runs))]
    if not measured:
        return None
    same, same_labels, gone, gone_labels = (100 * fmean(values) for values in zip(*measured, strict=True))
    ours, theirs = comparison.distilled.name, comparison.labels.name
    return (
        f"What labels do not tell, the teacher does: of its similarities between classes (at T = {AT}) {ours} lacks "
        f"{figure(gone, 1)}% and {theirs} {figure(gone_labels, 1)}%; of the samples whose answers were kept, {ours} "
        f"answers {figure(same, 1)}% as the teacher does and {theirs} {figure(same_labels, 1)}%."
    )


def _beside_the_teacher(distilled: RunRow, labels: RunRow, runs: Runs) -> tuple[float, float, float, float] | None:
    """Return the share of the same answers, and of the similarities that were lost, of both students."""
    kept = runs.examples(distilled)
    if "shown.ids" not in kept or kept["shown.logits"].shape[1] > MOST_KNOWN:
        return None
    teacher, classes = kept["shown.logits"].astype(float), kept["shown.labels"]
    both = [runs.logits(row, kept["shown.ids"], kept.get("shown.positions")) for row in (distilled, labels)]
    if any(student is None or student.shape != teacher.shape for student in both):
        return None
    known = [student for student in both if student is not None]
    number = teacher.shape[1]
    wanted = mean_soft_targets(teacher, classes, number, AT)
    same = [float((student.argmax(1) == teacher.argmax(1)).mean()) for student in known]
    gone = [lost(wanted, mean_soft_targets(student, classes, number, AT)) for student in known]
    return same[0], same[1], gone[0], gone[1]
