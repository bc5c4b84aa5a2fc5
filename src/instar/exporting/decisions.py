"""What the exports of trees have in common: the questions of a student, numbered as they are written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from instar.compute.inputs import Inputs, list_tensors
from instar.errors import MismatchError
from instar.exporting.student import Student
from instar.models.questions import Question, Questions, ask_raw
from instar.models.tree_ensemble import TreeEnsemble


class Asked(NamedTuple):
    """One question: where `yes` and `no` lead, a number of a question, or -1 - number of a leaf."""

    column: int
    question: int
    bound: float
    if_missing: bool
    yes: int
    no: int


@dataclass(frozen=True, eq=False)
class Decisions:
    """Questions and leaves in two lists, as programs need them.

    Args:
        questions: the questions as arrays.
        asked: all questions.
        leaves: outputs of each leaf.
        roots: beginning of each tree, numbered like `Asked.yes`.
    """

    questions: Questions
    asked: list[Asked]
    leaves: list[list[float]]
    roots: list[int]

    @property
    def predicts_numbers(self) -> bool:
        """Whether the outputs are numbers and not the logits of classes."""
        return self.questions.trees.meaning == "numbers"


def decide(student: Student, to: str) -> Decisions:
    """Return the decisions of a student that is a tree, or several.

    Raises:
        MismatchError: when it is none; names the format.
    """
    if not isinstance(student.model.network, TreeEnsemble):
        raise MismatchError(
            f"the format {to} holds decision trees, and the model '{student.name}' is none; choose safetensors, or "
            "distil it into a tree with --model tree."
        )
    shape, dtype = student.header["inputs"]["shape"], student.header["inputs"]["dtype"]
    return number_questions(ask_raw(student.model, shape, dtype))


def number_questions(found: Questions) -> Decisions:
    """Return the decisions of questions about trees."""
    is_leaf = found.asked == Question.NONE
    numbers = [0] * len(is_leaf)
    counts = [0, 0]
    for node, leaf in enumerate(is_leaf.tolist()):
        numbers[node] = -1 - counts[1] if leaf else counts[0]
        counts[leaf] += 1
    asked = [
        Asked(column, question, bound, if_missing, numbers[yes], numbers[no])
        for column, question, bound, if_missing, yes, no in zip(
            *(
                array[~is_leaf].tolist()
                for array in (found.places, found.asked, found.bounds, found.if_missing, found.yes, found.no)
            ),
            strict=True,
        )
    ]
    roots = [numbers[root] for root in found.trees.roots.tolist()]
    return Decisions(found, asked, found.trees.values[is_leaf].tolist(), roots)


def as_rows(inputs: Inputs) -> list[list[float]]:
    """Return raw inputs as rows of numbers, which hold those of all types exactly but very long whole numbers."""
    (tensor,) = list_tensors(inputs)
    rows: list[list[float]] = tensor.flatten(1).double().tolist()
    return rows
