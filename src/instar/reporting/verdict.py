"""Whether distillation helped: the gain, its uncertainty, and the class similarities that the student kept."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from statistics import fmean

import numpy as np

from instar.analysis.comparison import Difference, error_over_samples
from instar.analysis.significance import SIGNIFICANCE_LEVEL
from instar.reporting.columns import figure
from instar.reporting.groups import Group, GroupComparison
from instar.reporting.runs import Array, JudgedPredictions, Runs
from instar.reporting.similarity import REFERENCE_TEMPERATURE, lost_similarity, mean_soft_targets, recorded_logits
from instar.runs.rows import RunRow
from instar.tasks.metrics import ERRORS


@dataclass(frozen=True)
class Verdict:
    """The verdict on a distilled student and the same student trained on labels.

    Args:
        headline: one sentence that says whether distillation helped.
        sentences: the gain, its uncertainty, and the reason.
    """

    headline: str
    sentences: tuple[str, ...]


def judge_comparison(comparison: GroupComparison, runs: Runs) -> Verdict:
    """Judge a comparison over its seeds, or over the test samples if there is only one seed."""
    sentences = [comparison.sentence]
    is_better, is_worse = comparison.low > 0, comparison.high < 0
    of_one = " in these two trainings" if len(comparison.seeds) == 1 else ""
    if of_one and (found := _over_samples(comparison, runs)):
        # the difference is distilled - labels, so distillation helped if it is below 0
        is_better, is_worse = (found.p["mcnemar"] < SIGNIFICANCE_LEVEL and sign * found.mean > 0 for sign in (-1, 1))
        sentences.append(_about_samples(found))
    if comparison.low == comparison.high:  # without spread over seeds there is no test
        is_better = is_worse = False
    if reason := _kept_similarities(comparison, runs):
        sentences.append(reason)
    if is_better or is_worse:
        return Verdict(f"Distillation {'helped' if is_better else 'hurt'}{of_one}.", tuple(sentences))
    return Verdict(f"Whether distillation helped{of_one} is not settled.", tuple(sentences))


def _pairs(comparison: GroupComparison) -> Iterator[tuple[RunRow, RunRow]]:
    """Yield the first distilled run and the first label-trained run of each seed."""

    def first(group: Group, seed: int) -> RunRow:
        return next(row for row in group.rows if row.seed == seed and ERRORS.name in row.numbers)

    for seed in comparison.seeds:
        yield first(comparison.distilled, seed), first(comparison.labels, seed)


def _over_samples(comparison: GroupComparison, runs: Runs) -> Difference | None:
    """Return the difference in errors of the first pair on the same samples; None without predictions of both."""
    both = [runs.predictions(row) for row in next(_pairs(comparison))]
    if not all(both):
        return None
    distilled, labels = (_in_order(predictions) for predictions in both if predictions)
    if not all(np.array_equal(distilled[part], labels[part]) for part in (0, 1)):  # McNemar's test pairs by sample
        return None
    # [runs, samples] of errors, with one run each and one example per sample
    with_labels, with_teacher = ((~predictions[2])[None].astype(int) for predictions in (labels, distilled))
    return error_over_samples(with_labels, with_teacher, np.ones(len(distilled[0]), dtype=int))


def _in_order(predictions: JudgedPredictions) -> tuple[Array, Array, Array]:
    """Return ids, labels and whether each prediction is right, sorted by id."""
    order = np.argsort(predictions.ids)
    return predictions.ids[order], predictions.labels[order], predictions.right[order]


def _about_samples(found: Difference) -> str:
    p = found.p["mcnemar"]
    sure = "below 0.001" if p < 0.001 else f"{p:.3f}"
    return (
        f"On {found.better:,} test samples only the distilled student is right, and on {found.worse:,} only the "
        f"student trained on labels (McNemar's test, p {sure}). This says nothing about other seeds."
    )


def _kept_similarities(comparison: GroupComparison, runs: Runs) -> str | None:
    """Return a sentence on how far both students predict like the teacher; None if no run recorded its logits."""
    # the mean over the pairs whose files can be read
    measured = [found for pair in _pairs(comparison) if (found := _compare_with_teacher(*pair, runs))]
    if not measured:
        return None
    same, same_labels, *lost = (100 * fmean(values) for values in zip(*measured, strict=True))
    ours, theirs = comparison.distilled.name, comparison.labels.name
    agree = (
        f"On the recorded samples {ours} agrees with the teacher on {figure(same, 1)}% and {theirs} on "
        f"{figure(same_labels, 1)}%."
    )
    if not lost:
        return agree
    kept, kept_labels = (figure(100 - one, 1) for one in lost)
    return (
        f"{ours} keeps {kept}% of the teacher's class similarities (at T = {REFERENCE_TEMPERATURE}) and {theirs} keeps "
        f"{kept_labels}%. {agree}"
    )


def _compare_with_teacher(distilled: RunRow, labels: RunRow, runs: Runs) -> list[float] | None:
    """Return the agreement of both students with the teacher, then what both lost of its similarities, if it has any.

    None without recorded logits.
    """
    # only a distilled run records logits of its teacher, for a few samples; predictions hold those of both students
    found = recorded_logits(distilled, [distilled, labels], runs)
    if found is None:
        return None
    classes, (teacher, *students) = found
    same = [float((student.argmax(1) == teacher.argmax(1)).mean()) for student in students]
    wanted, *means = (
        mean_soft_targets(logits, classes, teacher.shape[1], REFERENCE_TEMPERATURE) for logits in (teacher, *students)
    )
    return [*same, *(lost for mean in means if (lost := lost_similarity(wanted, mean)) is not None)]
