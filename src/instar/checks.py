"""Checks of argument types and ranges from annotations, with one-sentence errors."""

from __future__ import annotations

import functools
import inspect
import types
from collections.abc import Callable, Sequence
from dataclasses import is_dataclass
from typing import Annotated, Any, Literal, NamedTuple, TypeVar, Union, get_args, get_origin, get_type_hints

from pydantic import BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from instar.errors import ConfigError

MAX_COUNT = 2**31 - 1
"""Largest count of samples, classes or units; no memory holds more."""

Count = Annotated[int, Field(ge=1, le=MAX_COUNT, description="a whole number of at least 1")]
Natural = Annotated[int, Field(ge=0, le=MAX_COUNT, description="a whole number of at least 0")]
Layers = Annotated[int, Field(ge=1, le=10_000, description="a whole number of at least 1")]
Depth = Annotated[int, Field(le=10_000)]  # each family checks which depths it has
Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]
DropProbability = Annotated[float, Field(ge=0, lt=1, description="at least 0 and below 1")]
# beyond these bounds of temperature and weight, float32 loses all differences or overflows
Temperature = Annotated[float, Field(gt=0, ge=1e-6, le=1e6, description="greater than 0")]
Weight = Annotated[float, Field(ge=0, le=3.4e38, description="at least 0")]
# room below 2^63, because born-again and tune add to 1000 times the seed
Seed = Annotated[int, Field(ge=-(2**53), le=2**53)]

F = TypeVar("F", bound=Callable[..., Any])

_FINITE = ConfigDict(allow_inf_nan=False)

_EXPECTATIONS = {
    "greater_than": "greater than {gt}",
    "greater_than_equal": "at least {ge}",
    "less_than": "below {lt}",
    "less_than_equal": "at most {le}",
    "finite_number": "finite",
    "string_type": "a text",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "sequence_str": "a sequence",
    "is_instance_of": "a sequence",
    "list_type": "a sequence",
    "tuple_type": "a sequence",
} | dict.fromkeys(("int_type", "int_parsing", "int_parsing_size", "int_from_float"), "a whole number")
_EXPECTATIONS |= dict.fromkeys(("float_type", "float_parsing"), "a number")


def checked(thing: F) -> F:
    """Make a function, or the constructor of a class, check its arguments on every call.

    Numbers, booleans, texts and sequences of them are checked. A value is converted only when its type differs from
    the annotation: 3.0 becomes 3, and a NumPy number becomes a Python number. Other arguments are not checked.

    Raises:
        ConfigError: when an argument does not fit; names the argument, what was expected and what was found.

    >>> @checked
    ... def train(*, epochs: Count) -> int:
    ...     return epochs
    >>> train(epochs=3.0)
    3
    >>> train(epochs=True)
    Traceback (most recent call last):
    instar.errors.ConfigError: epochs must be a whole number of at least 1, got True.
    """
    if isinstance(thing, type):
        hinted = thing if is_dataclass(thing) else vars(thing)["__init__"]  # a base class may annotate some fields
        thing.__init__ = _checking(thing.__init__, hinted, thing.__name__)  # type: ignore[misc]
        return thing
    return _checking(thing, thing, "")


def _checking(function: F, hinted: Any, owner: str) -> F:
    signature = inspect.signature(function)
    # made at the first call, because annotations may name classes that are defined further down
    checks = functools.cache(functools.partial(_find_checks, function, hinted))

    @functools.wraps(function)
    def call(*positional: Any, **named: Any) -> Any:
        try:
            bound = signature.bind(*positional, **named)
        except TypeError:  # Python's own message names the missing or unknown argument
            return function(*positional, **named)
        for name, check in checks().items():
            if name in bound.arguments:
                where = f"{owner}({name})" if owner else name
                bound.arguments[name] = validate_value(check, bound.arguments[name], where)
        return function(*bound.args, **bound.kwargs)

    return call  # type: ignore[return-value]


class Check(NamedTuple):
    """A pydantic adapter, and a description of the expected value where the type has one."""

    adapter: TypeAdapter[Any]
    expected: str | None


@functools.cache
def find_check(kind: Any) -> Check | None:
    """Return the check of a type for `validate_value`; None for types that are not checked."""
    checked_type = _find_checked_type(kind)
    return None if checked_type is None else Check(TypeAdapter(checked_type, config=_FINITE), _find_description(kind))


def validate_value(check: Check | None, value: Any, name: str) -> Any:
    """Return a value converted to the type of a check.

    Raises:
        ConfigError: when the value does not fit the type.
    """
    if check is None:
        return value
    try:
        return check.adapter.validate_python(value)
    except ValidationError as error:
        found = error.errors(include_url=False)[0]["input"]
        raise ConfigError(f"{name} must be {_describe_expectation(error, check.expected)}, got {found!r}.") from None


def example_of(annotation: Any) -> str:
    """Return an example value for an annotation, for an error message.

    >>> example_of(Sequence[int]), example_of(float), example_of(None)
    ('[64,64]', '0.5', 'VALUE')
    """
    kind = get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation
    if get_origin(kind) in (Sequence, list, tuple):
        return f"[{','.join([example_of(get_args(kind)[0])] * 2)}]"
    examples: dict[Any, str] = {int: "64", float: "0.5", str: "TEXT", bool: "true"}
    return examples.get(kind, "VALUE")


def _describe_expectation(error: ValidationError, expected: str | None) -> str:
    problems = error.errors(include_url=False)
    if expected and problems[0]["type"] != "less_than_equal":
        return expected
    # only the first item that does not fit; a union of types reports one problem per alternative
    place = [part for part in problems[0]["loc"] if isinstance(part, int)]
    words: dict[str, None] = {}
    for problem in problems:
        if [part for part in problem["loc"] if isinstance(part, int)] == place:
            # pydantic's own words where there are none of ours
            said = problem["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
            known = _EXPECTATIONS.get(problem["type"], said)
            words[known.format(**problem.get("ctx", {}))] = None
    if "a number" in words:  # which a whole number is
        words.pop("a whole number", None)
    if "finite" in words:  # the value is a number, so the other alternatives say nothing
        return "finite"
    return " or ".join(words)


def _find_checks(function: Callable[..., Any], hinted: Any) -> dict[str, Check]:
    try:
        hints = get_type_hints(hinted, include_extras=True)
    except NameError:  # an annotation that is imported only under TYPE_CHECKING
        return {}
    several = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
    single = [name for name, given in inspect.signature(function).parameters.items() if given.kind not in several]
    found = {name: find_check(hints[name]) for name in single if name in hints}
    return {name: check for name, check in found.items() if check is not None}


def _find_description(kind: Any) -> str | None:
    inner = get_args(kind)  # its own description counts before those of the types inside it
    own = next((part.description for part in inner if isinstance(part, FieldInfo) and part.description), None)
    return own or next((found for part in inner if (found := _find_description(part))), None)


def _find_checked_type(kind: Any) -> Any:
    """Return the pydantic type that checks numbers, texts and sequences of them; None for any other type."""
    if kind in _CHECKED_TYPES or get_origin(kind) is Literal:
        return _CHECKED_TYPES.get(kind, kind)
    origin, inner = get_origin(kind), get_args(kind)
    if origin is Annotated:  # the bounds stay with the checked type
        below = _find_checked_type(inner[0])
        return below and Annotated[(below, *inner[1:])]
    if origin not in (Union, types.UnionType, Sequence, list, tuple):
        return None
    parts = [part if part is Ellipsis else _find_checked_type(part) for part in inner]
    if None in parts:
        return None
    if origin in (Union, types.UnionType):
        return Union[tuple(parts)]  # noqa: UP007 (the parts are in a list)
    return Annotated[origin[tuple(parts)], BeforeValidator(_to_python)]


def _to_python(value: Any) -> Any:
    # arrays and numbers of NumPy and torch, neither of which need be there
    return value.tolist() if callable(getattr(value, "tolist", None)) else value


def _to_number(value: Any) -> Any:
    value = _to_python(value)
    if isinstance(value, bool | str | bytes):  # pydantic would make numbers of them
        raise ValueError("a number")
    if isinstance(value, int) and abs(value) >= 2**63:  # more than torch's int64 holds
        raise ValueError("below 2^63")
    return value


_CHECKED_TYPES: dict[Any, Any] = {
    int: Annotated[int, BeforeValidator(_to_number)],
    float: Annotated[int | float, BeforeValidator(_to_number)],  # 4 stays 4
    bool: Annotated[bool, BeforeValidator(_to_python)],
    str: str,
    types.NoneType: types.NoneType,
}
