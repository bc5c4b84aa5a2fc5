"""Classes of a model that was trained elsewhere beside those of the data."""

from __future__ import annotations

from collections.abc import Sequence

from instar.data.opening import join_names
from instar.errors import say


def match_classes(own: Sequence[str], number: int, names: Sequence[str]) -> tuple[list[int] | None, bool]:
    """Return the column of a model for each class of the data, and whether the classes are the same.

    Args:
        own: names of the classes of the model; () if it has only numbers.
        number: number of its classes.
        names: names of the classes of the data; () if they are not known. 0, 1, 2, ... are numbers.

    Returns:
        The columns, or None where classes are matched by number; and whether model and data have the same classes.

    >>> match_classes(("dog", "cat"), 2, ("cat", "dog")), match_classes(("dog", "cat"), 2, ("0", "1"))
    (([1, 0], True), (None, True))
    >>> match_classes(("dog", "cat"), 2, ("cat", "owl")), match_classes((), 2, ("a", "b", "c"))
    ((None, False), (None, False))
    """
    if own and sorted(own) == sorted(names) and len(set(own)) == len(own):
        return [own.index(name) for name in names], True
    # either side has only numbers
    is_numbered = not own or not names or tuple(names) == tuple(map(str, range(len(names))))
    return None, is_numbered and len(names) in (0, number)


def list_classes(names: Sequence[str] | None, number: int) -> str:
    """Return the names of classes as text, or the numbers that stand for them.

    >>> list_classes(("cat", "dog"), 2), list_classes(None, 10)
    ('cat, dog', '0 to 9')
    """
    is_numbered = not names or tuple(names) == tuple(map(str, range(len(names))))
    return f"0 to {number - 1}" if is_numbered else join_names(names)


def explain_other_number(
    who: str, names: Sequence[str] | None, number: int, wanted: Sequence[str] | None, wanted_number: int
) -> str:
    """Return the sentence for a model with another number of classes than the data.

    >>> explain_other_number("the teacher", None, 3, ("cat", "dog"), 2)
    'the teacher has 3 classes, and the data have 2: 0 to 2 against cat, dog.'
    """
    lists = f"{list_classes(names, number)} against {list_classes(wanted, wanted_number)}"
    return f"{who} has {number} classes, and the data have {wanted_number}: {lists}."


def say_new_head(path: str, names: Sequence[str] | None, number: int, wanted: Sequence[str]) -> None:
    """Say on stderr that the last layer of a pretrained model is new, because the data have other classes."""
    say(
        f"instar: model '{path}' gets a new last layer and keeps its other weights, because its {number} classes "
        f"({list_classes(names, number)}) are not the {len(wanted)} of the data ({list_classes(wanted, len(wanted))})."
    )
