"""Values that users write as YAML: numbers, texts, lists and sections, of a size that a configuration can have."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

import yaml

MAX_VALUES = 10_000
"""Values of a configuration, with those of its aliases written out: a few lines of YAML can stand for any number."""

MAX_LEVELS = 30
"""Of sections and lists inside each other."""


class _Loader(yaml.SafeLoader):
    """YAML 1.1 with the numbers of YAML 1.2: 1e-3 is no word. A key that stands twice is refused."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        if twice := next((key for key, times in Counter(keys).items() if times > 1 and key != "<<"), None):
            raise ValueError(f"'{twice}' stands there twice")
        return super().construct_mapping(node, deep)


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)[eE][-+]?\d+$"), list("-+.0123456789")
)


def from_yaml(text: str) -> Any:
    """Read YAML.

    Raises:
        ValueError: says why it is none, or is none that a configuration can hold.
    """
    try:
        found = yaml.load(text, _Loader)
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
    """Return how many values there are in nested ones, each as often as it stands there.

    Raises:
        ValueError: when they are too many, too deep, or of a kind that JSON does not have.

    >>> count_values({"a": [1, 2]})
    4
    """
    counts: dict[int, int] = {}

    def count(value: Any, level: int) -> int:
        if level > MAX_LEVELS:
            raise ValueError(f"there are more than {MAX_LEVELS} levels")
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError(f"a number must be finite, got {value}")
        if value is None or isinstance(value, str | int | float):
            return 1
        if not isinstance(value, Mapping | list | tuple):
            raise ValueError(f"there is a {type(value).__name__}; a text is written in quotes")
        if id(value) not in counts:
            inner = value.values() if isinstance(value, Mapping) else value
            counts[id(value)] = 1 + sum(count(item, level + 1) for item in inner)
        if counts[id(value)] > MAX_VALUES:
            raise ValueError(f"there are more than {MAX_VALUES:,} values")
        return counts[id(value)]

    return count(found, 0)
