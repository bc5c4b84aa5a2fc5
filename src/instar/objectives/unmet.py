"""Terms that lack what they need, or that are of other outputs than the data have labels for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from instar.errors import MismatchError
from instar.objectives.values import Need


def refuse_unmet(terms: Iterable[Any], given: Mapping[Need, bool]) -> None:
    """Refuse a run that lacks what a term needs, as far as it is known.

    Raises:
        MismatchError: names the term.
    """
    for term in terms:
        for need in term.needs:
            if not given.get(need, True):
                raise MismatchError(f"{type(term).__name__} needs {need.value}, but the run has none.")


def refuse_other_outputs(terms: Iterable[Any], *, predicts_numbers: bool) -> None:
    """Refuse terms of classes where labels are numbers, and the other way round.

    Raises:
        MismatchError: names the term, and what fits.
    """
    expected = "numbers" if predicts_numbers else "classes"
    for term in terms:
        if term.outputs in (expected, "both"):
            continue
        name = type(term).__name__
        if predicts_numbers:
            own = "" if type(term).__module__.startswith("instar.") else ', or set its outputs to "numbers"'
            raise MismatchError(
                f"{name} is a term of classes, and the labels are numbers; choose SquaredError, Huber or Quantile{own}."
            )
        raise MismatchError(
            f"{name} is a term of numbers, and the labels are classes; choose a term of classes, such as HardLabels or "
            "SoftTargets, or set data.labels=numbers if the labels are quantities."
        )
