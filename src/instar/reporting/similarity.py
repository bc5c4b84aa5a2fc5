"""Class similarity: the mean soft targets between classes, of the teacher, of its student, and what was lost."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from instar.reporting.columns import figure
from instar.reporting.runs import Array, Runs, log_softmax
from instar.reporting.section import Section
from instar.runs.rows import RunRow

TEMPERATURES = (1, 2, 4, 8, 20)
MOST_CLASSES, MOST_RUNS = 60, 8
MOST_NAMED = 30
"""Names of more classes have no room at the axes."""
MOST_KNOWN = 1000
"""Of more classes there is no matrix."""
DECADES = 5
"""Probabilities are written as one byte for log10 p, from 1e-5 to 1."""
MOST_PAIRS = 10
AT = 4
"""The temperature at which classes are ordered and losses are listed."""


def find(runs: Runs) -> Mapping[str, Any] | None:
    """Return the matrices of one run of each group with a teacher, or none."""
    found: list[dict[str, Any]] = []
    for group in runs.groups:
        for row in group.rows[:1]:
            if len(found) < MOST_RUNS and (seen := _look(row, runs)):
                found.append(seen)
    if not found:
        return None
    tables = [{"name": one["name"], "pairs": one.pop("pairs"), "lost": one.pop("lost")} for one in found]
    data = {"runs": found, "temperatures": TEMPERATURES, "decades": DECADES, "named": MOST_NAMED}
    return {"data": data, "tables": tables, "at": AT}


def mean_soft_targets(logits: Array, labels: Array, classes: int, temperature: float) -> Array:
    """Return M_ij = mean over the samples of class i of softmax(v / T)_j, `[classes, classes]`; 0 for absent classes.

    >>> mean_soft_targets(np.array([[0.0, 0.0], [9.0, -9.0]]), np.array([0, 0]), 2, 1.0).round(2).tolist()
    [[0.75, 0.25], [0.0, 0.0]]
    """
    p = np.exp(log_softmax(logits, temperature))
    sums = np.zeros((classes, classes))
    np.add.at(sums, labels, p)
    found: Array = sums / np.bincount(labels, minlength=classes).clip(min=1)[:, None]
    return found


def ordered(matrix: Array) -> Array:
    """Return the classes in the order of the leaves of a clustering by what they are confused with.

    The distance of two classes is -log of the mean of M_ij and M_ji; average linkage, leaves ordered optimally.

    >>> near = np.array([[0.6, 0.0, 0.4], [0.0, 1.0, 0.0], [0.4, 0.0, 0.6]])
    >>> ordered(near).tolist() in ([0, 2, 1], [1, 0, 2], [2, 0, 1], [1, 2, 0])
    True
    """
    from scipy.cluster.hierarchy import leaves_list, linkage
    from scipy.spatial.distance import squareform

    if len(matrix) < 3:
        return np.arange(len(matrix))
    distance = -np.log(np.maximum((matrix + matrix.T) / 2, 1e-12))
    distance -= min(0.0, float(distance.min()))
    np.fill_diagonal(distance, 0)
    found: Array = leaves_list(linkage(squareform(distance, checks=False), "average", optimal_ordering=True))
    return found


def lost(teacher: Array, student: Array) -> float:
    """Return the share of the teacher's similarities that the student has elsewhere.

    The mean over classes i of 1 - sum_j min(a_ij, b_ij), with a_ij = t_ij / sum over j other than i of t_ij, b of the
    student alike. It is 0 where every class is like the others in the same proportions, whatever they come to together:
    a student that gives all others the same has not learned the teacher's.

    >>> lost(np.array([[0.8, 0.15, 0.05], [0.1, 0.8, 0.1], [0.0, 0.0, 1.0]]), np.full((3, 3), 1 / 3)).__round__(3)
    0.125
    """
    off = ~np.eye(len(teacher), dtype=bool)
    theirs, ours = (np.where(off, matrix, 0.0) for matrix in (teacher, student))
    known = theirs.sum(1) > 0
    if not known.any():
        return 0.0
    shares = [matrix[known] / np.maximum(matrix[known].sum(1, keepdims=True), 1e-300) for matrix in (theirs, ours)]
    return float(1 - np.minimum(*shares).sum(1).mean())


def in_bytes(matrix: Array) -> str:
    """Return log10 of probabilities from 1e-5 to 1 as one byte each, in base 64; 0 stands for 1e-5 and less."""
    scaled = 255 * (1 + np.log10(np.maximum(matrix, 10.0**-DECADES)) / DECADES)
    return base64.b64encode(np.rint(scaled).clip(0, 255).astype(np.uint8).tobytes()).decode()


def _look(row: RunRow, runs: Runs) -> dict[str, Any] | None:
    kept = runs.examples(row)
    if "shown.ids" not in kept or kept["shown.logits"].shape[1] > MOST_KNOWN:
        return None
    labels = kept["shown.labels"]
    student = runs.logits(row, kept["shown.ids"], kept.get("shown.positions"))
    if student is None:
        return None
    both = [kept["shown.logits"].astype(float), student]
    classes = both[0].shape[1]
    matrices = {t: [mean_soft_targets(logits, labels, classes, t) for logits in both] for t in TEMPERATURES}
    teacher, pupil = matrices[AT]
    there = _chosen(teacher, np.unique(labels))
    order = there[ordered(teacher[np.ix_(there, there)])]
    names = runs.classes(row, classes)
    some = np.ix_(order, order)
    return {
        "name": row.name,
        "classes": [names[place] for place in order],
        "teacher": [in_bytes(matrices[t][0][some]) for t in TEMPERATURES],
        "student": [in_bytes(matrices[t][1][some]) for t in TEMPERATURES],
        "samples": len(labels),
        "lost": figure(100 * lost(teacher[some], pupil[some]), 1),
        "pairs": _pairs(teacher, pupil, order, names),
    }


def _chosen(teacher: Array, there: Array) -> Array:
    """Return the classes to show: all that occur, or of many those that give most to others."""
    away = 1 - np.diag(teacher)[there]
    chosen: Array = np.sort(there[np.argsort(-away, kind="stable")[:MOST_CLASSES]])
    return chosen


def _pairs(teacher: Array, student: Array, order: Array, names: Sequence[str]) -> list[tuple[str, str, str, str]]:
    """Return where the student falls farthest below the teacher: the label, the other class, and both in %."""
    below = [(teacher[i, j] - student[i, j], i, j) for i in order for j in order if i != j]
    worst = sorted(below, key=lambda entry: -entry[0])[:MOST_PAIRS]
    return [
        (names[i], names[j], figure(100 * teacher[i, j], 2), figure(100 * student[i, j], 2))
        for gap, i, j in worst
        if gap > 0
    ]


SECTION = Section("similarity", "Class similarity", find, ("similarity.js",))
