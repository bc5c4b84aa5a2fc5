"""Rules: decision trees in words, for people."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch

from instar.errors import one_line
from instar.exporting.decisions import Decisions, as_rows, decide
from instar.exporting.student import Predict, Student
from instar.models.questions import Question, Questions
from instar.runs.files import write_whole

INDENT = "  "


def write_rules(student: Student, path: Path) -> Predict:
    """Write nested conditions in words, and return a function that answers the same questions.

    Raises:
        MismatchError: if the student is no decision tree.
    """
    return write_tree_rules(decide(student, "rules"), student.classes, path)


def write_tree_rules(found: Decisions, classes: Sequence[str], path: Path) -> Predict:
    """Write the conditions of decisions, and return a function that answers the same questions."""
    questions = found.questions
    text = "".join(f"{line}\n" for line in write_lines(questions, classes))
    write_whole(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))
    return lambda inputs: torch.from_numpy(questions.predict(as_rows(inputs))).float()


def write_lines(questions: Questions, classes: Sequence[str]) -> Iterator[str]:
    """Yield the lines of the rules of all trees.

    Thresholds have all of their digits. A leaf of a single tree has the probabilities above 0 of the classes to 0.01%,
    and the other leaves have all digits of what they add.

    Args:
        questions: the trees.
        classes: names of the classes.
    """
    trees = questions.trees
    count = len(trees.roots)
    if count > 1:
        base = _tell_values(trees.base.tolist(), classes, trees.meaning == "numbers")
        yield f"The {count} trees are combined by their {trees.combine}, and then {base} is added."
    for number, root in enumerate(trees.roots.tolist(), 1):
        if count > 1:
            yield f"Tree {number}:"
        waiting = [(root, 0, "")]  # a stack, because trees may be deeper than Python recurses
        while waiting:
            node, depth, before = waiting.pop()
            if before:
                yield f"{INDENT * (depth - 1)}{before}:"
            if questions.asked[node] == Question.NONE:
                yield INDENT * depth + _tell_leaf(questions, node, classes)
                continue
            # the one that was put last comes first
            waiting.append((int(questions.no[node]), depth + 1, "otherwise"))
            waiting.append((int(questions.yes[node]), depth + 1, f"if {questions.tell(node, answer=True, exact=True)}"))


def _tell_leaf(questions: Questions, node: int, classes: Sequence[str]) -> str:
    trees = questions.trees
    values = trees.values[node] + trees.base
    if len(trees.roots) > 1 or trees.meaning == "numbers":
        values = trees.values[node] if len(trees.roots) > 1 else values
        return _tell_values(values.tolist(), classes, trees.meaning == "numbers")
    shares = values if trees.meaning == "probabilities" else np.exp(values - values.max())
    shares = shares / shares.sum()
    order = np.argsort(-shares, kind="stable").tolist()
    return ", ".join(f"{one_line(classes[place])} {shares[place]:.2%}" for place in order if shares[place] > 0)


def _tell_values(values: Sequence[float], classes: Sequence[str], are_numbers: bool) -> str:
    if are_numbers:
        return ", ".join(map(repr, values))
    return ", ".join(f"{one_line(name)} {value!r}" for name, value in zip(classes, values, strict=True))
