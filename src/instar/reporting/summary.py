"""Summary: verdicts on distillation, sentences about the runs, and the table with its significant best."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from instar.analysis.significance import best_of
from instar.reporting.columns import Column, choose_columns, figure
from instar.reporting.groups import Group, compare_groups, find_teacher
from instar.reporting.runs import SAMPLE_ATTRIBUTES, JudgedPredictions, Runs
from instar.reporting.section import Section
from instar.reporting.verdict import judge_comparison
from instar.runs.rows import RunRow

MAX_STUDENT_SENTENCES = 8
MAX_OPEN_VERDICTS = 3
"""The page folds away the verdicts after these."""


def summarise_runs(runs: Runs) -> Mapping[str, Any]:
    """Return verdicts, sentences, the table of runs with the best of each column, and the table over seeds."""
    shown = choose_columns(runs.rows)
    of_rows = [column for column in shown if column.of_row]
    of_groups = [column for column in shown if column.of_group]
    repeated = [group for group in runs.groups if len({row.seed for row in group.rows}) > 1]
    return {
        "sentences": describe_runs(runs),
        "columns": of_rows,
        "rows": [[column.of_row(row) for column in of_rows if column.of_row] for row in runs.complete],
        "best": _best_cells(runs, of_rows),
        "group_columns": of_groups,
        "groups": [[column.of_group(group) for column in of_groups if column.of_group] for group in repeated],
        "most": MAX_OPEN_VERDICTS,
        "verdicts": [judge_comparison(comparison, runs) for comparison in compare_groups(runs.groups)],
    }


def describe_runs(runs: Runs) -> list[str]:
    """Return sentences on the number of runs, the fewest errors, and each student beside its teachers."""
    if not runs.complete:
        return ["No run is complete yet."]
    taught = sum(bool(row.teachers) for row in runs.complete)
    seconds = figure(sum(row.numbers.get("seconds", 0.0) for row in runs.complete), 0)
    found = [f"{len(runs.complete)} runs are complete, {taught} of them with a teacher; training took {seconds} s."]
    measured = [row for row in runs.complete if {"errors", "samples", "error_low", "error_high"} <= row.numbers.keys()]
    tests = [(row.fingerprints.get("data") or {}).get("test") for row in measured]
    if measured:
        # errors on other classes or samples mean something else
        usual = max(tests, key=tests.count)
        alike = [row for row, test in zip(measured, tests, strict=True) if test == usual]
        best = min(alike, key=lambda row: row.numbers["error"])
        numbers = best.numbers
        found.append(
            f"Of {len(alike)} runs on the same test set, {best.name} makes the fewest errors: "
            f"{figure(numbers['errors'], 0)} of {figure(numbers['samples'], 0)} "
            f"({figure(100 * numbers['error'], 2)}%, 95% interval "
            f"{figure(100 * numbers['error_low'], 2)} to {figure(100 * numbers['error_high'], 2)}%)."
        )
    students = [sentence for group in runs.groups if (sentence := _beside_teacher(group, runs))]
    if len(students) > MAX_STUDENT_SENTENCES:
        more = len(students) - MAX_STUDENT_SENTENCES
        students = [*students[:MAX_STUDENT_SENTENCES], f"The table has {more} more students."]
    return found + students


def _best_cells(runs: Runs, shown: Sequence[Column]) -> set[tuple[int, int]]:
    """Return (row, column) of the significantly best cells among runs with the same test samples."""
    known: dict[bytes, list[tuple[int, JudgedPredictions]]] = {}
    for place, row in enumerate(runs.complete):
        if predictions := runs.predictions(row):
            key = predictions.ids.tobytes() + predictions.labels.tobytes()
            known.setdefault(key + str(row.fingerprints.get("data")).encode(), []).append((place, predictions))
    cells = set()
    for alike in known.values():
        if len(alike) < 2:
            continue
        winners = {
            name: best_of([getattr(found, name) for _, found in alike]) for name in set(SAMPLE_ATTRIBUTES.values())
        }
        for at, column in enumerate(shown):
            winner = winners.get(SAMPLE_ATTRIBUTES.get(column.metric, ""))
            if winner is not None:
                cells.add((alike[winner][0], at))
    return cells


def _beside_teacher(group: Group, runs: Runs) -> str | None:
    first = group.rows[0]
    errors, theirs = group.by_seed("error"), group.by_seed("teacher_error")
    if not first.teachers or not errors or not theirs:
        return None
    mine, teacher = (100 * float(np.mean(list(values.values()))) for values in (errors, theirs))
    several = f", the mean of {len(group.rows)} runs," if len(group.rows) > 1 else ""
    sentence = (
        f"{group.name}{several} has a test error of {figure(mine, 2)}%, and its teacher one of {figure(teacher, 2)}%"
    )
    if size := _share_of_teacher(first, runs.rows):
        sentence += f", with {figure(100 * size, 1)}% of the teacher's parameters"
    agreement = group.by_seed("agreement")
    if agreement:
        share = 100 * float(np.mean(list(agreement.values())))
        sentence += f"; the two agree on {figure(share, 1)}% of the samples"
    return sentence + "."


def _share_of_teacher(row: RunRow, rows: Sequence[RunRow]) -> float | None:
    """Return the student's parameters divided by those of all its teachers; None if one is unknown."""
    teachers = [find_teacher(teacher, rows) for teacher in row.teachers]
    sizes = [teacher.numbers.get("parameters") if teacher else None for teacher in teachers]
    own = row.numbers.get("parameters")
    if own is None or not sizes or any(not size for size in sizes):
        return None
    return own / sum(size for size in sizes if size)


SECTION = Section("summary", "Summary", summarise_runs, ("sort.js",))
