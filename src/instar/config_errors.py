"""Settings that do not fit, as one sentence with the setting, what was expected and what was found."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from instar.errors import ConfigError, nearest

C = TypeVar("C", bound=BaseModel)


def validate(kind: type[C], values: Mapping[str, Any]) -> C:
    """Return a `kind` with nested `values`.

    Raises:
        ConfigError: when a value does not fit; one sentence with the setting, what was expected and what was found.

    >>> from instar.config import TrainingConfig
    >>> validate(TrainingConfig, {"epocs": 3})
    Traceback (most recent call last):
    instar.errors.ConfigError: 'epocs' is not a setting; did you mean 'epochs'?
    """
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]  # one sentence for one problem; the next one shows when this is mended
    where = ".".join(str(part) for part in first["loc"] if not str(part).startswith("("))
    if first["type"] == "extra_forbidden":
        owner = _owner(kind, first["loc"][:-1])  # whose settings the nearest known name is searched in
        raise ConfigError(f"'{where}' is not a setting; {nearest(str(first['loc'][-1]), owner.model_fields)}")
    if first["type"] == "missing":
        raise ConfigError(f"'{where}' is required but missing.")
    message = first["msg"].removeprefix("Value error, ")
    if first["type"] == "value_error":  # from our own validators, whose sentences name settings and values
        raise ConfigError(f"'{where}': {message}." if where else f"{message}.")
    if not where:
        raise ConfigError(f"{message}.")
    raise ConfigError(f"'{where}': {message[0].lower()}{message[1:]}, got {first['input']!r}.")


def _owner(kind: type[BaseModel], path: tuple[int | str, ...]) -> type[BaseModel]:
    for name in map(str, path):
        if name in kind.model_fields:  # otherwise `name` is an index of a list or a key of a dictionary
            kind = next(_configs_in(kind.model_fields[name].annotation), kind)
    return kind


def _configs_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _configs_in(part)
