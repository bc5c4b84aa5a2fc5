"""Parses values of the command line: name=value, lists of numbers, i/n, and flags that were given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

WORD_SETTINGS = tuple(
    f"data.{name}"
    for name in (
        *(
            "source",
            "input_column",
            "input_columns",
            "columns",
            "label_column",
            "leave_out",
            "tokenizer",
            "test_where",
            "transfer",
        ),
        *("unlabelled", "classes", "omit_classes", "keep_classes", "special_classes"),
    )
)
"""Settings whose values are words of the data, such as the class `no`, which YAML would read as a truth value."""


def only_given(**flags: Any) -> dict[str, Any]:
    """Return the flags that were given; all others keep the defaults of the function.

    >>> only_given(epochs=3, views=None, teacher=[])
    {'epochs': 3}
    """
    # a flag that may be repeated is [] where it is not given
    return {name: value for name, value in flags.items() if value is not None and value != []}


def parse_settings(assignments: Sequence[str] | None, section: str = "") -> dict[str, Any]:
    """Parse assignments `name=value` into settings by dotted name, inside a section.

    >>> parse_settings(["widths=[8]"], "model.arguments")
    {'model.arguments.widths': [8]}
    """
    from instar.importing import IMPORTING_SETTINGS, TypedName
    from instar.nested import parse_assignment

    found: dict[str, Any] = {}
    for assignment in assignments or ():
        path, value = parse_assignment(assignment, WORD_SETTINGS)
        name = ".".join([section, *path] if section else path)
        is_typed = name in IMPORTING_SETTINGS and isinstance(value, str)  # typing the name of a class is trusting it
        found.pop(name, None)  # the last assignment counts, also over earlier ones of its section
        found[name] = TypedName(value) if is_typed else value
    return found


def parse_shared(
    config: str | None, settings: Sequence[str] | None, network: str | None, trust: bool
) -> dict[str, Any]:
    """Return the arguments that all verbs share which make runs or stores.

    >>> parse_shared(None, ["seed=1"], None, False)
    {'config': None, 'settings': {'seed': 1}, 'network': None, 'trust': False}
    """
    return {"config": config, "settings": parse_settings(settings), "network": network, "trust": trust}


def parse_teachers(teachers: list[str] | None) -> str | list[str] | None:
    """Return one teacher or a list of several; None if none is given."""
    from instar.importing import TypedName

    # typing the name of a class is trusting it, as for models
    typed: list[str] = [TypedName(teacher) for teacher in teachers or ()]
    # one is given by itself, so that errors name it and not a list
    return typed[0] if len(typed) == 1 else typed or None


def parse_predictions(files: list[str] | None, teacher: Any, reading: Mapping[str, Any]) -> Any:
    """Return the predictions in files as a teacher; without files, the teacher that was given.

    Args:
        files: a file of the training samples, or several as `split=file`.
        teacher: the teacher that was given beside them, which must be None where there are files.
        reading: arguments of `GivenPredictions`.

    Raises:
        ConfigError: when files lack and are said how to be read, there is a teacher too, or a split has two files.

    >>> str(parse_predictions(["train=oob.npy", "test=test.npy"], None, {"values": "logits"}))
    "GivenPredictions({'train': 'oob.npy', 'test': 'test.npy'}, values='logits')"
    """
    from instar.errors import ConfigError
    from instar.teachers.given import SPLITS, GivenPredictions

    if not files and not reading:
        return teacher
    if not files:
        raise ConfigError(f"--{next(iter(reading)).replace('_', '-')} says how --from is read; give --from FILE.")
    if teacher is not None:
        raise ConfigError("--from is given in place of --teacher; leave out one of the two.")
    found: dict[str, str] = {}
    for text in files:
        split, is_named, file = text.partition("=")
        if split not in SPLITS or not is_named:
            split, file = "train", text  # a file name may have this sign
        if split in found:
            raise ConfigError(f"--from names two files for {split}; write --from train=FILE --from test=FILE.")
        found[split] = file
    return GivenPredictions(found, **reading)


def parse_parts(
    arguments: list[str] | None, weights: str | None, reader: str | None, classes: str | None
) -> dict[str, Any]:
    """Return the parts of a teacher by name that were given.

    >>> parse_parts(["depth=18"], "net.pt", None, "[yes, no]")
    {'teacher_arguments': {'depth': 18}, 'teacher_weights': 'net.pt', 'teacher_classes': ['yes', 'no']}
    """
    from instar.nested import parse_assignment

    flag = "--teacher-classes"
    named = None if classes is None else parse_assignment(f"{flag}={classes}", [flag])[1]
    settings = parse_settings(arguments) or None
    return only_given(teacher_arguments=settings, teacher_weights=weights, teacher_reader=reader, teacher_classes=named)


def parse_model(name: str | None, arguments: list[str] | None) -> dict[str, Any] | None:
    """Return a model by name with its arguments; None if neither is given."""
    from instar.importing import TypedName

    # typing the name of a class is trusting it; a name in a file or a run folder may be a stranger's
    model = only_given(name=None if name is None else TypedName(name), arguments=parse_settings(arguments) or None)
    return model or None


def parse_numbers(flag: str, text: str | None) -> tuple[float, ...] | None:
    """Parse numbers that are separated by commas.

    >>> parse_numbers("--weights", "0,0.5")
    (0.0, 0.5)
    """
    from instar.errors import ConfigError

    if text is None:
        return None
    try:
        return tuple(map(float, text.split(",")))
    except ValueError:
        raise ConfigError(f"{flag} must be numbers separated by commas, such as 1,2.5, got '{text}'.") from None


def parse_share(text: str | None) -> tuple[int, int] | None:
    """Parse i/n.

    >>> parse_share("1/4")
    (1, 4)
    """
    from instar.errors import ConfigError

    if text is None:
        return None
    first, _, of = text.partition("/")
    if not (first.isdigit() and of.isdigit()):
        raise ConfigError(f"--share must be i/n, such as 1/4, got '{text}'.")
    return int(first), int(of)
