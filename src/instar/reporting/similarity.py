"""Class similarity: mean soft targets between classes, of a teacher and its student, and their difference."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from instar.reporting.columns import figure
from instar.reporting.runs import Array, Runs, log_softmax
from instar.reporting.section import Section
from instar.runs.rows import RunRow

SHOWN_TEMPERATURES = (1, 2, 4, 8, 20)
MAX_SHOWN_CLASSES, MAX_MATRIX_RUNS = 60, 8
MAX_NAMED_CLASSES = 30
"""Matrices of more classes have no names at their axes, where they would not fit."""
MAX_MATRIX_CLASSES = 1000
"""Runs with more classes have no matrix."""
PROBABILITY_DECADES = 5
"""Range of the probabilities, from 1e-5 to 1; each is one byte of log10 p."""
MAX_LOST_PAIRS = 10
REFERENCE_TEMPERATURE = 4
"""Temperature at which classes are ordered and lost similarities are listed."""


def compare_similarities(runs: Runs) -> Mapping[str, Any] | None:
    """Return the matrices of the first run of each group with a teacher, or None."""
    found: list[dict[str, Any]] = []
    # seeds of a group have nearly the same matrix, so one run stands for all
    for group in runs.groups:
        if len(found) < MAX_MATRIX_RUNS and (matrices := _read_matrices(group.rows[0], runs)):
            found.append(matrices)
    if not found:
        return None
    # the template writes these, so the script does not get them
    tables = [{"name": one["name"], "pairs": one.pop("pairs"), "lost": one.pop("lost")} for one in found]
    data = {
        "runs": found,
        "temperatures": SHOWN_TEMPERATURES,
        "decades": PROBABILITY_DECADES,
        "named": MAX_NAMED_CLASSES,
    }
    return {"data": data, "tables": tables, "at": REFERENCE_TEMPERATURE}


def mean_soft_targets(logits: Array, labels: Array, classes: int, temperature: float) -> Array:
    """Return M_ij = mean over the samples of class i of softmax(v / T)_j, `[classes, classes]`; 0 for absent classes.

    >>> mean_soft_targets(np.array([[0.0, 0.0], [9.0, -9.0]]), np.array([0, 0]), 2, 1.0).round(2).tolist()
    [[0.75, 0.25], [0.0, 0.0]]
    """
    p = np.exp(log_softmax(logits, temperature))
    sums = np.zeros((classes, classes))
    np.add.at(sums, labels, p)  # sums[labels] += p would add only one sample per class
    found: Array = sums / np.bincount(labels, minlength=classes).clip(min=1)[:, None]
    return found


def order_classes(matrix: Array) -> Array:
    """Return the classes in the order of the leaves of a clustering by similarity.

    The distance of two classes is -log of the mean of M_ij and M_ji; average linkage, leaves ordered optimally.

    >>> near = np.array([[0.6, 0.0, 0.4], [0.0, 1.0, 0.0], [0.4, 0.0, 0.6]])
    >>> order_classes(near).tolist() in ([0, 2, 1], [1, 0, 2], [2, 0, 1], [1, 2, 0])
    True
    """
    from scipy.cluster.hierarchy import leaves_list, linkage
    from scipy.spatial.distance import squareform

    if len(matrix) < 3:
        return np.arange(len(matrix))
    distance = -np.log(np.maximum((matrix + matrix.T) / 2, 1e-12))  # M_ij is not symmetric, a distance is
    distance -= min(0.0, float(distance.min()))  # rounding may leave a mean probability just above 1
    np.fill_diagonal(distance, 0)
    found: Array = leaves_list(linkage(squareform(distance, checks=False), "average", optimal_ordering=True))
    return found


def lost_similarity(teacher: Array, student: Array) -> float | None:
    """Return the share of the teacher's class similarities that the student lacks; None for two classes.

    The mean over classes i of 1 - sum_j min(a_ij, b_ij), with a_ij = t_ij / (sum over j other than i of t_ij) for the
    teacher, and b_ij alike for the student. It compares proportions: it is 0 if the student spreads what it gives to
    other classes as the teacher does, and high if it gives all other classes the same, however much that is. Of two
    classes each has one other class, whose share is always 1.

    >>> teacher = np.array([[0.8, 0.15, 0.05], [0.1, 0.8, 0.1], [0.0, 0.0, 1.0]])
    >>> round(lost_similarity(teacher, np.full((3, 3), 1 / 3)), 3)
    0.125
    """
    if len(teacher) < 3:
        return None
    off = ~np.eye(len(teacher), dtype=bool)
    theirs, ours = (np.where(off, matrix, 0.0) for matrix in (teacher, student))
    known = theirs.sum(1) > 0  # the rows of classes without test samples are 0
    if not known.any():
        return 0.0
    # a student may give exactly 0 to all other classes; then it lacks the whole row
    shares = [matrix[known] / np.maximum(matrix[known].sum(1, keepdims=True), 1e-300) for matrix in (theirs, ours)]
    return float(1 - np.minimum(*shares).sum(1).mean())


def in_bytes(matrix: Array) -> str:
    """Return log10 of probabilities from 1e-5 to 1 as one byte each, in base 64; 0 means 1e-5 or less."""
    scaled = 255 * (1 + np.log10(np.maximum(matrix, 10.0**-PROBABILITY_DECADES)) / PROBABILITY_DECADES)
    return base64.b64encode(np.rint(scaled).clip(0, 255).astype(np.uint8).tobytes()).decode()


def recorded_logits(taught: RunRow, students: Sequence[RunRow], runs: Runs) -> tuple[Array, list[Array]] | None:
    """Return labels `[samples]` of the samples that a run recorded, and logits of its teacher and of each student.

    None if there are no logits of one of them, or more than `MAX_MATRIX_CLASSES` classes.
    """
    kept = runs.examples(taught)
    if "shown.ids" not in kept or kept["shown.logits"].shape[1] > MAX_MATRIX_CLASSES:
        return None
    teacher = kept["shown.logits"].astype(float)
    found = [runs.logits(row, kept["shown.ids"], kept.get("shown.positions")) for row in students]
    known = [logits for logits in found if logits is not None and logits.shape == teacher.shape]
    return (kept["shown.labels"], [teacher, *known]) if len(known) == len(students) else None


def _read_matrices(row: RunRow, runs: Runs) -> dict[str, Any] | None:
    found = recorded_logits(row, [row], runs)
    if found is None:
        return None
    labels, both = found
    classes = both[0].shape[1]
    matrices = {t: [mean_soft_targets(logits, labels, classes, t) for logits in both] for t in SHOWN_TEMPERATURES}
    # one order for all temperatures and for both models, so that cells can be compared
    teacher, pupil = matrices[REFERENCE_TEMPERATURE]
    shown = _shown_classes(teacher, np.unique(labels))
    order = shown[order_classes(teacher[np.ix_(shown, shown)])]
    names = runs.classes(row, classes)
    some = np.ix_(order, order)
    lost = lost_similarity(teacher[some], pupil[some])
    return {
        "name": row.name,
        "classes": [names[place] for place in order],
        "teacher": [in_bytes(matrices[t][0][some]) for t in SHOWN_TEMPERATURES],
        "student": [in_bytes(matrices[t][1][some]) for t in SHOWN_TEMPERATURES],
        "samples": len(labels),
        "lost": None if lost is None else figure(100 * lost, 1),
        "pairs": _pairs(teacher, pupil, order, names),
    }


def _shown_classes(teacher: Array, present: Array) -> Array:
    """Return the classes with the most probability on other classes, at most `MAX_SHOWN_CLASSES`."""
    away = 1 - np.diag(teacher)[present]
    shown: Array = np.sort(present[np.argsort(-away, kind="stable")[:MAX_SHOWN_CLASSES]])
    return shown


def _pairs(teacher: Array, student: Array, order: Array, names: Sequence[str]) -> list[tuple[str, str, str, str]]:
    """Return the pairs with the largest loss: label, other class, and the probability of each model in %."""
    below = [(teacher[i, j] - student[i, j], i, j) for i in order for j in order if i != j]
    worst = sorted(below, key=lambda entry: -entry[0])[:MAX_LOST_PAIRS]
    return [
        (names[i], names[j], figure(100 * teacher[i, j], 2), figure(100 * student[i, j], 2))
        for gap, i, j in worst
        if gap > 0  # below 0 the student gives more than the teacher, which is no loss
    ]


SECTION = Section("similarity", "Class similarity", compare_similarities, ("similarity.js",))
