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
from instar.tasks.metric import Metric
from instar.tasks.metrics import AGREEMENT, ERROR, ERRORS, TEACHER_ERROR

MAX_STUDENT_SENTENCES = 8
MAX_OPEN_VERDICTS = 3
"""The page folds away the verdicts after these."""


def summarise_runs(runs: Runs) -> Mapping[str, Any]:
    """Return verdicts, sentences, the table of runs with the best of each column, and the table over seeds."""
    shown = choose_columns(runs.rows)
    of_rows = [column for column in shown if column.of_row]
    of_groups = [column for column in shown if column.of_group]
    # a group of one seed is already in the table of runs
    repeated = [group for group in runs.groups if len({row.seed for row in group.rows}) > 1]
    return {
        "sentences": describe_runs(runs),
        "columns": of_rows,
        "rows": [[column.of_row(row) for column in of_rows if column.of_row] for row in runs.complete],
        "best": _best_cells(runs, of_rows),
        # numbers have no such test, so that their table has no star
        "is_tested": any(column.quantity in SAMPLE_ATTRIBUTES for column in of_rows),
        "group_columns": of_groups,
        "groups": [[column.of_group(group) for column in of_groups if column.of_group] for group in repeated],
        "most": MAX_OPEN_VERDICTS,
        "verdicts": [judge_comparison(comparison, runs) for comparison in compare_groups(runs.groups)],
    }


def describe_runs(runs: Runs) -> list[str]:
    """Return sentences about the number of runs, the fewest errors, and each student beside its teachers."""
    if not runs.complete:
        return ["No run is complete yet."]
    taught = sum(bool(row.teachers) for row in runs.complete)
    seconds = figure(sum(row.numbers.get("seconds", 0.0) for row in runs.complete), 0)
    complete = "1 run is complete" if len(runs.complete) == 1 else f"{len(runs.complete)} runs are complete"
    found = [f"{complete}, {taught} of them with a teacher; training took {seconds} s."]
    # a run may have been evaluated only on validation
    needed = {ERRORS.name, "samples", f"{ERROR.name}_low", f"{ERROR.name}_high"}
    measured = [row for row in runs.complete if needed <= row.numbers.keys()]
    tests = [(row.fingerprints.get("data") or {}).get("test") for row in measured]
    if measured:
        # errors on other test sets, such as other classes or samples, cannot be compared
        usual = max(tests, key=tests.count)
        alike = [row for row, test in zip(measured, tests, strict=True) if test == usual]
        best = min(alike, key=lambda row: row.numbers[ERROR.name])
        numbers = best.numbers
        share, low, high = (figure(100 * numbers[f"{ERROR.name}{end}"], 2) for end in ("", "_low", "_high"))
        found.append(
            f"{best.name} makes the fewest {ERRORS.title.lower()} of {len(alike)} runs on the same test set: "
            f"{figure(numbers[ERRORS.name], 0)} of {figure(numbers['samples'], 0)} "
            f"({share}%, 95% interval {low} to {high}%)."
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
            # tests are paired by sample, so ids and labels must agree, in the same order
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
            winner = winners.get(SAMPLE_ATTRIBUTES.get(column.quantity, ""))
            if winner is not None:
                cells.add((alike[winner][0], at))
    return cells


def _beside_teacher(group: Group, runs: Runs) -> str | None:
    def percent(metric: Metric, places: int) -> str | None:
        values = list(group.by_seed(metric.name).values())
        return figure(100 * float(np.mean(values)), places) if values else None

    mine, teacher, agreement = percent(ERROR, 2), percent(TEACHER_ERROR, 2), percent(AGREEMENT, 1)
    if not group.rows[0].teachers or group.is_earlier_phase or mine is None or teacher is None:
        return None
    several = f" (mean of {len(group.rows)} runs)" if len(group.rows) > 1 else ""
    sentence = f"{group.name}{several} has a {ERROR.title.lower()} of {mine}%, and its teacher has {teacher}%."
    facts = []
    if size := _share_of_teacher(group.rows[0], runs.rows):
        facts.append(f"has {figure(100 * size, 1)}% of the teacher's parameters")
    if agreement is not None:
        facts.append(f"agrees with the teacher on {agreement}% of the samples")
    return f"{sentence} The student {' and '.join(facts)}." if facts else sentence


def _share_of_teacher(row: RunRow, rows: Sequence[RunRow]) -> float | None:
    """Return the student's parameters divided by those of all its teachers; None if one is unknown."""
    teachers = [find_teacher(teacher, rows) for teacher in row.teachers]
    sizes = [teacher.numbers.get("parameters") if teacher else None for teacher in teachers]
    own = row.numbers.get("parameters")
    if own is None or not sizes or any(not size for size in sizes):
        return None
    return own / sum(size for size in sizes if size)


SECTION = Section("summary", "Summary", summarise_runs, ("sort.js",))
