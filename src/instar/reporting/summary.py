"""What was done, in sentences with numbers; the table of runs, and which differences are more than chance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from instar.analysis import best_of
from instar.reporting.columns import Column, columns, figure
from instar.reporting.groups import Group, compare_groups, find_teacher
from instar.reporting.runs import PER_SAMPLE, JudgedPredictions, Runs
from instar.reporting.section import Section
from instar.reporting.verdict import judged
from instar.runs.rows import RunRow

MOST_SENTENCES = 8
MOST_VERDICTS = 3
"""More comparisons are folded away."""


def find(runs: Runs) -> Mapping[str, Any]:
    """Return sentences, the table of runs with the best of each column, and the table over seeds."""
    shown = columns(runs.rows)
    of_rows = [column for column in shown if column.of_row]
    of_groups = [column for column in shown if column.of_group]
    repeated = [group for group in runs.groups if len({row.seed for row in group.rows}) > 1]
    return {
        "sentences": sentences(runs),
        "columns": of_rows,
        "rows": [[column.of_row(row) for column in of_rows if column.of_row] for row in runs.complete],
        "best": _best_cells(runs, of_rows),
        "group_columns": of_groups,
        "groups": [[column.of_group(group) for column in of_groups if column.of_group] for group in repeated],
        "most": MOST_VERDICTS,
        "verdicts": [judged(comparison, runs) for comparison in compare_groups(runs.groups)],
    }


def sentences(runs: Runs) -> list[str]:
    """Return what was done: how many runs, the fewest errors, and each student beside its teachers."""
    if not runs.complete:
        return ["No run is complete yet."]
    taught = sum(bool(row.teachers) for row in runs.complete)
    seconds = sum(row.numbers.get("seconds", 0.0) for row in runs.complete)
    found = [
        f"{len(runs.complete)} runs are complete, {taught} of them with a teacher, after {figure(seconds, 0)} s of "
        "training."
    ]
    measured = [row for row in runs.complete if {"errors", "samples", "error_low", "error_high"} <= row.numbers.keys()]
    tests = [(row.fingerprints.get("data") or {}).get("test") for row in measured]
    if measured:  # those of other classes, or of other samples, have an error that means something else
        usual = max(tests, key=tests.count)
        alike = [row for row, test in zip(measured, tests, strict=True) if test == usual]
        best = min(alike, key=lambda row: row.numbers["error"])
        numbers = best.numbers
        found.append(
            f"Of {len(alike)} runs on the same test set, the fewest errors has {best.name}: "
            f"{figure(numbers['errors'], 0)} of {figure(numbers['samples'], 0)} "
            f"({figure(100 * numbers['error'], 2)}%, 95% interval "
            f"{figure(100 * numbers['error_low'], 2)} to {figure(100 * numbers['error_high'], 2)}%)."
        )
    students = [sentence for group in runs.groups if (sentence := _beside_teacher(group, runs))]
    if len(students) > MOST_SENTENCES:
        students = [*students[:MOST_SENTENCES], f"{len(students) - MOST_SENTENCES} more students are in the table."]
    return found + students


def _best_cells(runs: Runs, shown: Sequence[Column]) -> set[tuple[int, int]]:
    """Return (row, column) of the cells that are marked; runs are compared that were tested on the same samples."""
    known: dict[bytes, list[tuple[int, JudgedPredictions]]] = {}
    for place, row in enumerate(runs.complete):
        if answers := runs.answers(row):
            key = answers.ids.tobytes() + answers.labels.tobytes()
            known.setdefault(key + str(row.fingerprints.get("data")).encode(), []).append((place, answers))
    cells = set()
    for alike in known.values():
        if len(alike) < 2:
            continue
        winners = {name: best_of([getattr(found, name) for _, found in alike]) for name in set(PER_SAMPLE.values())}
        for at, column in enumerate(shown):
            winner = winners.get(PER_SAMPLE.get(column.metric, ""))
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
        f"{group.name}{several} has a test error of {figure(mine, 2)}% where its teacher has {figure(teacher, 2)}%"
    )
    if size := _share_of_teacher(first, runs.rows):
        sentence += f", at {figure(100 * size, 1)}% of its parameters"
    agreement = group.by_seed("agreement")
    if agreement:
        share = 100 * float(np.mean(list(agreement.values())))
        sentence += f"; the two give the same answer to {figure(share, 1)}% of the samples"
    return sentence + "."


def _share_of_teacher(row: RunRow, rows: Sequence[RunRow]) -> float | None:
    """Return parameters of a student by those of its teachers together; none where one is not known."""
    teachers = [find_teacher(teacher, rows) for teacher in row.teachers]
    sizes = [teacher.numbers.get("parameters") if teacher else None for teacher in teachers]
    own = row.numbers.get("parameters")
    if own is None or not sizes or any(not size for size in sizes):
        return None
    return own / sum(size for size in sizes if size)


SECTION = Section("summary", "Summary", find, ("sort.js",))
