"""Trust: calibration, agreement of student and teacher on test and train samples, and confusions that changed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from instar.reporting.columns import figure
from instar.reporting.runs import Array, Runs
from instar.reporting.section import Section
from instar.runs.rows import RunRow

CALIBRATION_BINS, CONFIDENCE_BINS = 15, 5
MAX_DIAGRAMS, MAX_CHANGED_CONFUSIONS = 12, 8
DIAGRAM_PIXELS = 240


def measure_trust(runs: Runs) -> Mapping[str, Any] | None:
    """Return the diagrams of the first run of each group, and the table of fidelity, or None."""
    diagrams: list[tuple[str, list[dict[str, Any]]]] = []
    fidelity, by_confidence, changes = [], [], []
    for row in (group.rows[0] for group in runs.groups):
        predictions, kept = runs.predictions(row), runs.examples(row)
        curves = (
            [("student" if row.teachers else "model", predictions.confidence, predictions.right)] if predictions else []
        )
        if "test.labels" in kept:
            known = kept["test.labels"] >= 0
            right = kept["test.teacher_answers"] == kept["test.labels"]
            if not predictions:  # the recorded examples are all that samples with positions have
                own = kept["test.student_answers"] == kept["test.labels"]
                curves.append(("student", kept["test.student_confidence"][known], own[known]))
            curves.append(("teacher", kept["test.teacher_confidence"][known], right[known]))
            fidelity.append(_fidelity(row, kept))
            by_confidence.append((row.name, _by_confidence(kept)))
            names = runs.classes(row, _classes(row, kept))
            changes.append((row.name, _changes(kept, names)))
        if curves and len(diagrams) < MAX_DIAGRAMS:
            diagrams.append((row.name, [_diagram(who, *values) for who, *values in curves]))
    if not diagrams and not fidelity:
        return None
    more = len(runs.groups) - len(diagrams)
    return {
        "diagrams": diagrams,
        "fidelity": fidelity,
        "by_confidence": by_confidence,
        "changes": changes,
        "side": DIAGRAM_PIXELS,
        "left_out": max(0, more),
    }


def bin_confidence(confidence: Array, right: Array, bins: int = CALIBRATION_BINS) -> list[tuple[float, float, int]]:
    """Return (mean confidence, accuracy, samples) of each bin of equal width that holds samples.

    >>> bin_confidence(np.array([0.9, 0.92, 0.3]), np.array([True, False, True]), 5)
    [(0.3, 1.0, 1), (0.91, 0.5, 2)]
    """
    # bins include their upper end, as in Guo et al. 2017; a confidence of 0 is in the first
    place = (np.ceil(confidence * bins) - 1).clip(0, bins - 1).astype(int)
    return [
        (float(confidence[place == b].mean()), float(right[place == b].mean()), int((place == b).sum()))
        for b in np.unique(place)
    ]


def _diagram(who: str, confidence: Array, right: Array) -> dict[str, Any]:
    bins = bin_confidence(np.asarray(confidence, float), right)
    ece = sum(count * abs(accuracy - mean) for mean, accuracy, count in bins) / len(right)
    # the area of a point grows with its samples; y grows downwards in SVG
    points = [
        (mean * DIAGRAM_PIXELS, (1 - accuracy) * DIAGRAM_PIXELS, 1.5 + 6 * (count / len(right)) ** 0.5)
        for mean, accuracy, count in bins
    ]
    return {"who": who, "ece": figure(100 * ece, 2), "points": points}


def _fidelity(row: RunRow, kept: Mapping[str, Array]) -> list[str]:
    cells = [row.name]
    for split in ("test", "train"):
        if f"{split}.labels" not in kept:
            cells += [figure(None, 0)] * 3
            continue
        same = kept[f"{split}.teacher_answers"] == kept[f"{split}.student_answers"]
        divergence = kept[f"{split}.divergence"].astype(float)
        cells += [figure(len(same), 0), figure(100 * float(same.mean()), 2), figure(float(divergence.mean()), 4)]
    return cells


def _by_confidence(kept: Mapping[str, Array]) -> list[list[str]]:
    """Return the errors of teacher and student in fifths of the test samples, by the teacher's confidence."""
    # fifths of the samples and not of the range, because most confidences are near 1
    known = kept["test.labels"] >= 0
    labels, confidence = kept["test.labels"][known], kept["test.teacher_confidence"][known].astype(float)
    wrong = [kept[f"test.{who}_answers"][known] != labels for who in ("teacher", "student")]
    rows = []
    for part in np.array_split(np.argsort(confidence, kind="stable"), CONFIDENCE_BINS):
        if len(part):  # fewer samples than fifths leave some empty
            span = f"{100 * confidence[part].min():.2f}\u2013{100 * confidence[part].max():.2f}"
            shares = [figure(100 * float(one[part].mean()), 2) for one in wrong]
            rows.append([span, figure(len(part), 0), *shares])
    return rows


def _classes(row: RunRow, kept: Mapping[str, Array]) -> int:
    if "shown.logits" in kept:
        return int(kept["shown.logits"].shape[1])
    # with very many classes no logits are recorded; the largest class that occurs is enough for pairs of classes
    return 1 + max(int(kept[f"test.{name}"].max()) for name in ("labels", "teacher_answers", "student_answers"))


def _changes(kept: Mapping[str, Array], names: list[str]) -> list[list[str]]:
    """Return the confusions whose counts differ most between teacher and student."""
    known = kept["test.labels"] >= 0
    labels = kept["test.labels"][known].astype(int)
    counts = []
    for who in ("teacher", "student"):
        predictions = kept[f"test.{who}_answers"][known].astype(int)
        wrong = predictions != labels
        # one number for each pair of label and predicted class
        pairs, number = np.unique(labels[wrong] * len(names) + predictions[wrong], return_counts=True)
        counts.append(dict(zip(pairs.tolist(), number.tolist(), strict=True)))
    teacher, student = counts
    change = {pair: student.get(pair, 0) - teacher.get(pair, 0) for pair in teacher.keys() | student.keys()}
    # by the pair too, so that equal changes always have the same order
    largest = sorted((pair for pair in change if change[pair]), key=lambda pair: (-abs(change[pair]), pair))
    rows = []
    for pair in largest[:MAX_CHANGED_CONFUSIONS]:
        label, predicted = divmod(pair, len(names))
        rows.append([names[label], names[predicted], *(str(of.get(pair, 0)) for of in counts), f"{change[pair]:+d}"])
    return rows


SECTION = Section("trust", "Trust", measure_trust, ("sort.js",))
