"""Mutations of nested values and of text, as JSON and YAML have them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from random import Random
from typing import Any


def _copy(value: Any) -> Any:
    return json.loads(json.dumps(value))  # deeper than copy.deepcopy goes


def _nested(levels: int) -> Any:
    value: Any = 1
    for level in range(levels):
        value = [value] if level % 2 else {"a": value}
    return value


ABSURD: tuple[Any, ...] = (
    None,
    True,
    [],
    {},
    "",
    0,
    -1,
    1.5,
    1e308,
    10**12,
    10**30,
    float("nan"),
    float("inf"),
    "../../x",
    "../x",
    "/dev/zero",
    "/proc/self/mem",
    ".",
    "a\0b",
    "\ud800",
    "\u00e9\n\x1b[31m",
    "x" * 5000,
    "x" * 255 + "/y",
    "nan",
    "os.path:join",
    [10**12],
    [[]],
    [None],
    [{"a": {}}],
    {"": None},
    list(range(3000)),
    {str(number): number for number in range(300)},
    _nested(60),
    _nested(900),
)
"""What stands in the place of a value."""


def mutated(random: Random, values: Any) -> tuple[Any, str]:
    """Return nested values in which one to three places are others, and in words which."""
    found = [_copy(values)]  # the values themselves are a place, too
    told = []
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        places = list(_places(found)) or list(_places(found := [None]))  # nothing is left of them
        inside, key, path = random.choice(places)
        change = random.choice((_put, _put, _put, _remove, _rename, _add, _swap, _retype))
        told.append(f"{path}: {change(random, inside, key, places)}")
    return found[0] if found else None, "; ".join(told)


def mutated_text(random: Random, text: str) -> tuple[bytes, str]:
    """Return a text that is cut, noisy, nested, or says something twice, and in words how."""
    content, at = text.encode(), random.randrange(len(text))
    flipped = bytearray(content)
    flipped[at] ^= 1 << random.randrange(8)
    aliases = "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12))
    nothing = random.choice((b"", b"\n", b"null", b"[]", b"{}", b"\0" * 1000, b"\xef\xbb\xbf" + content))
    how, changed = random.choice(
        (
            ("cut", content[:at]),
            ("noise", content[:at] + random.randbytes(20) + content[at + 20 :]),
            ("a flipped bit", bytes(flipped)),
            (f"{nothing[:5]!r}", nothing),
            ("nested", random.choice((b"[", b'{"a":')) * 100_000),
            ("a key twice", content.replace(b"{", b'{"format": 1, "format": {}, ', 1)),
            ("two documents", content * 2),
            ("a long number", content.replace(b"1", b"1" + b"0" * random.choice((30, 5000)), 1)),
            ("UTF-16", text.encode("utf-16")),
            ("aliases of aliases", f"a0: &a0 [1]\n{aliases}".encode()),
        )
    )
    return changed, f"{how} at {at}"


def _places(values: Any, path: str = "") -> Iterator[tuple[Any, Any, str]]:
    keyed = values.items() if isinstance(values, dict) else enumerate(values) if isinstance(values, list) else ()
    for key, value in list(keyed)[:50]:
        yield values, key, f"{path}.{key}"[-80:]
        if len(path) < 400:
            yield from _places(value, f"{path}.{key}")


def _put(random: Random, inside: Any, key: Any, places: Any) -> str:
    inside[key] = _copy(random.choice(ABSURD))
    return f"now {_short(inside[key])}"


def _remove(random: Random, inside: Any, key: Any, places: Any) -> str:
    del inside[key]
    return "removed"


def _rename(random: Random, inside: Any, key: Any, places: Any) -> str:
    if not isinstance(inside, dict):
        return _put(random, inside, key, places)
    name = random.choice(("", "../../x", "x" * 300, "a\0b", str(key).upper(), "__class__", "self"))
    inside[name] = inside.pop(key)
    return f"renamed to {_short(name)}"


def _add(random: Random, inside: Any, key: Any, places: Any) -> str:
    if not isinstance(inside, dict):
        inside.insert(key, _copy(random.choice(ABSURD)))
        return f"before it {_short(inside[key])}"
    inside["more"] = _copy(random.choice(ABSURD))
    return "another key beside it"


def _swap(random: Random, inside: Any, key: Any, places: Any) -> str:
    other, name, path = random.choice(places)
    inside[key] = _copy(other[name])
    return f"now that of {path}"


def _retype(random: Random, inside: Any, key: Any, places: Any) -> str:
    value = inside[key]
    changes = (str(value)[:1000], [value], {"a": value}, bool(value), len(str(value)), float(len(str(value))))
    inside[key] = random.choice(changes)
    return f"as {_short(inside[key])}"


def _short(value: Any) -> str:
    return json.dumps(value)[:60]
