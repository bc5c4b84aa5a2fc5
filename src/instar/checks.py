"""Arguments of a wrong type, range or size, refused in one sentence by what their annotations say."""

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
"""Of things: more fits into no memory."""

Count = Annotated[int, Field(ge=1, le=MAX_COUNT, description="a whole number of at least 1")]
Natural = Annotated[int, Field(ge=0, le=MAX_COUNT, description="a whole number of at least 0")]
Layers = Annotated[int, Field(ge=1, le=10_000, description="a whole number of at least 1")]
Depth = Annotated[int, Field(le=10_000)]  # of which depths there are, a family says itself
Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]
Share = Annotated[float, Field(ge=0, lt=1, description="at least 0 and below 1")]
Temperature = Annotated[float, Field(gt=0, ge=1e-6, le=1e6, description="greater than 0")]
Weight = Annotated[float, Field(ge=0, le=3.4e38, description="at least 0")]
Seed = Annotated[int, Field(ge=-(2**53), le=2**53)]
"""Beyond the bounds of temperature and weight float32 tells nothing apart or overflows; a lineage or a search counts on
from 1000 times its seed."""

F = TypeVar("F", bound=Callable[..., Any])

_FINITE = ConfigDict(allow_inf_nan=False)

_WORDS = {
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
_WORDS |= dict.fromkeys(("float_type", "float_parsing"), "a number")


def checked(thing: F) -> F:
    """Check the arguments of a function, or of the constructor of a class, whenever it is called.

    Numbers, truth values, texts and sequences of them are checked, and converted only where their kind is another one:
    3.0 becomes 3 for a whole number, a number of NumPy one of Python. Everything else is left to the function.

    Raises:
        ConfigError: with the name of the argument, what was expected and what was found.

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
        hinted = thing if is_dataclass(thing) else vars(thing)["__init__"]  # fields may be annotated elsewhere
        thing.__init__ = _checking(thing.__init__, hinted, thing.__name__)  # type: ignore[misc]
        return thing
    return _checking(thing, thing, "")


def _checking(function: F, hinted: Any, owner: str) -> F:
    signature = inspect.signature(function)
    checks = functools.cache(functools.partial(_checks, function, hinted))  # late: annotations may name what follows

    @functools.wraps(function)
    def call(*positional: Any, **named: Any) -> Any:
        try:
            bound = signature.bind(*positional, **named)
        except TypeError:  # Python's own words for it are better
            return function(*positional, **named)
        for name, check in checks().items():
            if name in bound.arguments:
                where = f"{owner}({name})" if owner else name
                bound.arguments[name] = fitted(check, bound.arguments[name], where)
        return function(*bound.args, **bound.kwargs)

    return call  # type: ignore[return-value]


class Check(NamedTuple):
    """What a value is checked by, and what is expected in words where the type says it."""

    adapter: TypeAdapter[Any]
    expected: str | None


@functools.cache
def check_of(kind: Any) -> Check | None:
    """Return what `fitted` checks a value of a type by; none for types that may be objects."""
    plain = _plain(kind)
    return None if plain is None else Check(TypeAdapter(plain, config=_FINITE), _described(kind))


def fitted(check: Check | None, value: Any, name: str) -> Any:
    """Return a value as a type wants it.

    Raises:
        ConfigError: when it does not fit.
    """
    if check is None:
        return value
    try:
        return check.adapter.validate_python(value)
    except ValidationError as error:
        found = error.errors(include_url=False)[0]["input"]
        raise ConfigError(f"{name} must be {_in_words(error, check.expected)}, got {found!r}.") from None


def example_of(annotation: Any) -> str:
    """Return a value that an argument may have, for an error message.

    >>> example_of(Sequence[int]), example_of(float), example_of(None)
    ('[64,64]', '0.5', 'VALUE')
    """
    kind = get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation
    if get_origin(kind) in (Sequence, list, tuple):
        return f"[{','.join([example_of(get_args(kind)[0])] * 2)}]"
    examples: dict[Any, str] = {int: "64", float: "0.5", str: "TEXT", bool: "true"}
    return examples.get(kind, "VALUE")


def _in_words(error: ValidationError, expected: str | None) -> str:
    """Return what was expected, of the first item that does not fit; a type with alternatives has several."""
    problems = error.errors(include_url=False)
    if expected and problems[0]["type"] != "less_than_equal":
        return expected
    place = [part for part in problems[0]["loc"] if isinstance(part, int)]
    words: dict[str, None] = {}
    for problem in problems:
        if [part for part in problem["loc"] if isinstance(part, int)] == place:
            said = problem["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
            known = _WORDS.get(problem["type"], said)
            words[known.format(**problem.get("ctx", {}))] = None
    if "a number" in words:
        words.pop("a whole number", None)
    if "finite" in words:
        return "finite"
    return " or ".join(words)


def _checks(function: Callable[..., Any], hinted: Any) -> dict[str, Check]:
    """Return by argument what checks it; none for those that may be objects."""
    try:
        hints = get_type_hints(hinted, include_extras=True)
    except NameError:  # a type that is only imported for type checkers
        return {}
    several = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
    single = [name for name, given in inspect.signature(function).parameters.items() if given.kind not in several]
    found = {name: check_of(hints[name]) for name in single if name in hints}
    return {name: check for name, check in found.items() if check is not None}


def _described(kind: Any) -> str | None:
    """Return the description of a type, or of the first type inside it that has one."""
    inner = get_args(kind)
    own = next((part.description for part in inner if isinstance(part, FieldInfo) and part.description), None)
    return own or next((found for part in inner if (found := _described(part))), None)


def _plain(kind: Any) -> Any:
    """Return a type of numbers, texts and sequences of them as it is checked; none for any other."""
    if kind in _PLAIN or get_origin(kind) is Literal:
        return _PLAIN.get(kind, kind)
    origin, inner = get_origin(kind), get_args(kind)
    if origin is Annotated:
        below = _plain(inner[0])
        return below and Annotated[(below, *inner[1:])]
    parts = [part if part is Ellipsis else _plain(part) for part in inner]
    if origin not in (Union, types.UnionType, Sequence, list, tuple) or None in parts:
        return None
    if origin in (Union, types.UnionType):
        return Union[tuple(parts)]  # noqa: UP007 (made of a list)
    return Annotated[origin[tuple(parts)], BeforeValidator(_of_python)]


def _of_python(value: Any) -> Any:
    """Return arrays and numbers of NumPy and torch as Python's."""
    return value.tolist() if callable(getattr(value, "tolist", None)) else value


def _number(value: Any) -> Any:
    value = _of_python(value)
    if isinstance(value, bool | str | bytes):
        raise ValueError("a number")
    if isinstance(value, int) and abs(value) >= 2**63:
        raise ValueError("below 2^63")
    return value


_PLAIN: dict[Any, Any] = {
    int: Annotated[int, BeforeValidator(_number)],
    float: Annotated[int | float, BeforeValidator(_number)],  # 4 stays 4
    bool: Annotated[bool, BeforeValidator(_of_python)],
    str: str,
    types.NoneType: types.NoneType,
}
