"""Nested settings as mappings: read from text, merged, flattened to dotted names, and compared."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from instar.errors import ConfigError
from instar.paths import local_path
from instar.values import MAX_LEVELS, from_yaml

MAX_CONFIG_BYTES = 1 << 20
"""Largest configuration file that is read."""


def read_yaml(path: str | Path) -> dict[str, Any]:
    """Read a configuration file.

    Raises:
        ConfigError: when the file is missing, too large, not YAML, or not a mapping.
    """
    path = local_path(path, "config")
    try:
        with path.open("rb") as file:
            content = file.read(MAX_CONFIG_BYTES + 1)  # one more shows that it is larger
        if len(content) > MAX_CONFIG_BYTES:
            raise ValueError(f"it has more than {MAX_CONFIG_BYTES >> 20} MiB")
        values = from_yaml(content.decode())
    except OSError as error:
        raise ConfigError(f"the configuration file '{path}' cannot be read: {error.strerror}.") from None
    except ValueError as error:
        raise ConfigError(f"the configuration file '{path}' is not YAML: {error}.") from None
    if not isinstance(values, dict):
        raise ConfigError(f"the configuration file '{path}' must contain a mapping, got {type(values).__name__}.")
    return values


def parse_assignment(text: str, words: Collection[str] = ()) -> tuple[list[str], Any]:
    """Split `a.b=value` into a path and a value that is parsed as YAML.

    Args:
        text: assignment.
        words: names whose values are words, such as `no`, which YAML would read as a truth value.

    >>> parse_assignment("training.epochs=3"), parse_assignment("data.unlabelled=no", ["data.unlabelled"])
    ((['training', 'epochs'], 3), (['data', 'unlabelled'], 'no'))
    """
    key, separator, value = text.partition("=")
    if not separator or not all(key.split(".")) or key.count(".") > MAX_LEVELS:
        raise ConfigError(f"'{text}' must have the form name=value.")
    try:
        return key.split("."), from_yaml(value, as_words=key in words)
    except ValueError as error:
        raise ConfigError(f"the value of '{key}' cannot be read: {error}, got '{value}'.") from None


def merge_settings(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Return `base` with the values of `over` in their place, level by level.

    >>> merge_settings({"a": {"b": 1, "c": 2}}, {"a": {"b": 3}})
    {'a': {'b': 3, 'c': 2}}
    """
    merged = dict(base)
    for key, value in over.items():
        below = merged.get(key)
        merged[key] = (
            merge_settings(below, value) if isinstance(below, Mapping) and isinstance(value, Mapping) else value
        )
    return merged


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested values under dotted names.

    >>> flatten({"a": {"b": 1}, "c": 2})
    {'a.b': 1, 'c': 2}
    """
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping) and value:  # an empty one has no names to stand for it
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Describe the differences of two nested settings; an empty text where there are none.

    >>> differences({"a": {"b": 1, "c": 2}}, {"a": {"b": 1, "c": 3}})
    'a.c was 2, now 3'
    """
    was, found = flatten(before), flatten(now)
    keys = [key for key in sorted(was.keys() | found.keys()) if was.get(key) != found.get(key)]
    return "; ".join(f"{key} was {_short(was.get(key))}, now {_short(found.get(key))}" for key in keys)


def _short(value: Any, most: int = 200) -> str:
    text = repr(value)
    return text if len(text) <= most else f"{text[:most]}..."
