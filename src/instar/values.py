"""YAML values of configurations: numbers, texts, lists and mappings of bounded size and depth."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

import yaml

MAX_VALUES = 10_000
"""Most values in a configuration. Values behind YAML aliases count each time: a few lines can expand to billions."""

MAX_LEVELS = 30
"""Deepest nesting of mappings and lists in a configuration."""


class _Loader(yaml.SafeLoader):
    """A YAML 1.1 loader that reads 1e-3 as a number, as YAML 1.2 does, and refuses duplicate keys."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        if twice := next((key for key, times in Counter(keys).items() if times > 1 and key != "<<"), None):
            raise ValueError(f"the key '{twice}' appears twice")
        return super().construct_mapping(node, deep)


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)[eE][-+]?\d+$"), list("-+.0123456789")
)


class _WordLoader(yaml.SafeLoader):
    """A loader that reads values as they were typed, except for null and whole numbers without leading zeros."""

    yaml_implicit_resolvers = {  # noqa: RUF012 (PyYAML's own attribute)
        first: [(tag, form) for tag, form in resolvers if tag == "tag:yaml.org,2002:null"]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


_WordLoader.add_implicit_resolver("tag:yaml.org,2002:int", re.compile(r"(0|-?[1-9]\d*)$"), list("-0123456789"))


def from_yaml(text: str, *, as_words: bool = False) -> Any:
    """Parse YAML.

    Args:
        text: YAML.
        as_words: read `no`, `007` and `1.0` as words, and not as a truth value and numbers.

    Raises:
        ValueError: when the text is not YAML, or holds values that a configuration cannot have; gives the reason.

    >>> from_yaml("[no, 007, 7]"), from_yaml("[no, 007, 7]", as_words=True)
    ([False, 7, 7], ['no', '007', 7])
    """
    try:
        found = yaml.load(text, _WordLoader if as_words else _Loader)
    except yaml.MarkedYAMLError as error:
        line = f" in line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise ValueError(f"{error.problem}{line}") from None
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from None
    except RecursionError:
        raise ValueError(f"there are more than {MAX_LEVELS} levels") from None
    count_values(found)
    return found


def count_values(found: Any) -> int:
    """Count nested values, with repeated ones counted each time.

    Raises:
        ValueError: when there are too many, they are nested too deeply, or JSON has no such type.

    >>> count_values({"a": [1, 2]})
    4
    """
    counts: dict[int, int] = {}  # by identity, so that a value behind many aliases is walked through once

    def count(value: Any, level: int) -> int:
        if level > MAX_LEVELS:
            raise ValueError(f"there are more than {MAX_LEVELS} levels")
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError(f"a number must be finite, got {value}")
        if value is None or isinstance(value, str | int | float):
            return 1
        if not isinstance(value, Mapping | list | tuple):
            raise ValueError(f"values of type {type(value).__name__} are not allowed; put texts in quotes")
        if id(value) not in counts:
            inner = value.values() if isinstance(value, Mapping) else value
            counts[id(value)] = 1 + sum(count(item, level + 1) for item in inner)
        if counts[id(value)] > MAX_VALUES:
            raise ValueError(f"there are more than {MAX_VALUES:,} values")
        return counts[id(value)]

    return count(found, 0)
