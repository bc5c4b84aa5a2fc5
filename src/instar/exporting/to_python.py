"""Python: decision trees as one file of functions that imports nothing but the standard library."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from instar.compute.inputs import Inputs
from instar.data.columns.cell_rows import UNSEEN_CODE
from instar.exporting.decisions import Decisions, as_rows, decide
from instar.exporting.student import Predict, Student
from instar.runs.files import write_whole

_PROGRAM = '''\
"""Decision trees, written by Instar. `predict(row)` needs no package.

A row is a list of values in the order of COLUMNS, or a dictionary of them by name: numbers, True and False, dates as
datetime (without a zone: UTC) or seconds since 1970-01-01 UTC, and words as strings. None or NaN is a missing value.
"""

import math
from datetime import timezone

inf, nan = float("inf"), float("nan")

COLUMNS = {columns}
# words of a column, with their numbers; others are words that were never seen in training
WORDS = {words}
CLASSES = {classes}
ALLOWS_MISSING = {allows_missing}

# questions: column, kind (1: at most the bound, 2: the word of this number, 3: missing), bound, answer where the value
# is missing, next question after yes, and after no; below 0: -1 - number of the leaf
QUESTIONS = {asked}
LEAVES = {leaves}
ROOTS = {roots}
BASE = {base}


def as_numbers(row):
    """Return a row as numbers in the order of COLUMNS."""
    values = [row[name] for name in COLUMNS] if hasattr(row, "keys") else list(row)
    if len(values) != len(COLUMNS):
        raise ValueError(f"a row has {{len(COLUMNS)}} values, got {{len(values)}}.")
    return [_as_number(column, value) for column, value in enumerate(values)]


def _as_number(column, value):
    if value is None or value != value:
        return nan
    if column in WORDS:
        return float(WORDS[column].get(str(value), {unseen}))
    if hasattr(value, "timestamp"):
        return (value if value.tzinfo else value.replace(tzinfo=timezone.utc)).timestamp()
    return float(value)


def outputs(row):
    """Return {what}; NaN where a value is missing that must not be."""
    numbers = as_numbers(row)
    if not ALLOWS_MISSING and any(value != value for value in numbers):
        return [nan] * len(BASE)
    total = {start}
    for at in ROOTS:
        while at >= 0:
            column, kind, bound, answer, yes, no = QUESTIONS[at]
            value = numbers[column]
            if value == value:
                answer = value <= bound if kind == 1 else kind == 2 and value == bound
            at = yes if answer else no
        total = [one + other for one, other in zip(total, LEAVES[-1 - at])]
    return {finish}
'''

_CLASSES = '''

def predict_proba(row):
    """Return the probability of each class, in the order of CLASSES."""
    logits = outputs(row)
    largest = max(logits)
    shares = [math.exp(value - largest) for value in logits]
    return [share / sum(shares) for share in shares]


def predict(row):
    """Return the name of the likeliest class; None where a value is missing that must not be."""
    logits = outputs(row)
    return None if logits[0] != logits[0] else CLASSES[logits.index(max(logits))]
'''

_NUMBERS = '''

def predict(row):
    """Return the predicted number, or a list where there are several."""
    found = outputs(row)
    return found[0] if len(found) == 1 else found
'''


def write_python(student: Student, path: Path) -> Predict:
    """Write a module with `predict(row)`, and return a function that runs it.

    Raises:
        MismatchError: if the student is no decision tree.
    """
    return write_tree_python(decide(student, "python"), student.classes, path)


def write_tree_python(found: Decisions, classes: Sequence[str], path: Path) -> Predict:
    """Write the module of decisions, and return a function that runs it."""
    program = write_program(found, classes)
    write_whole(path, lambda temporary: temporary.write_text(program, encoding="ascii"))
    names: dict[str, Any] = {}
    exec(compile(path.read_text(encoding="ascii"), path.name, "exec"), names)
    columns = found.questions.columns

    def as_given(column: int, value: float) -> Any:
        if math.isnan(value):
            return None
        if columns[column].kind != "word":
            return value
        words = columns[column].categories
        # a word that no column can have, because it is longer than all of them together
        return "".join(words) + "?" if value == UNSEEN_CODE else words[int(value)]

    def predict(inputs: Inputs) -> Tensor:
        rows = [[as_given(*pair) for pair in enumerate(row)] for row in as_rows(inputs)]
        return torch.tensor([names["outputs"](row) for row in rows], dtype=torch.float64).float()

    return predict


def write_program(found: Decisions, classes: Sequence[str]) -> str:
    """Return the module; numbers are written with all of their digits."""
    trees, columns = found.questions.trees, found.questions.columns
    words = {
        place: {word: code for code, word in enumerate(column.categories)}
        for place, column in enumerate(columns)
        if column.kind == "word"
    }
    is_sum = trees.combine == "sum"
    finish = "total" if is_sum else f"[value / {len(trees.roots)} + other for value, other in zip(total, BASE)]"
    if trees.meaning == "probabilities":
        finish = f"[math.log(value) if value > 0 else -inf for value in {finish}]"
    return _PROGRAM.format(
        columns=_list([ascii(column.name) for column in columns]),
        words=_list([f"{place}: {every!a}" for place, every in words.items()], "{}"),
        classes="()" if found.predicts_numbers else _list(list(map(ascii, classes))),
        allows_missing=found.questions.allows_missing,
        asked=_list([ascii(tuple(one)) for one in found.asked]),
        leaves=_list([ascii(values) for values in found.leaves]),
        roots=ascii(found.roots),
        base=ascii(trees.base.tolist()),
        unseen=UNSEEN_CODE,
        what="the predicted numbers" if found.predicts_numbers else "the logit of each class, in the order of CLASSES",
        start="list(BASE)" if is_sum else "[0.0] * len(BASE)",
        finish=finish,
    ) + (_NUMBERS if found.predicts_numbers else _CLASSES)


def _list(items: Sequence[str], ends: str = "[]") -> str:
    return ends[0] + "".join(f"\n    {item}," for item in items) + ("\n" if items else "") + ends[1]
