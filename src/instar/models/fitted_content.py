"""Arrays and facts of a fitted model as the bytes of one safetensors file, which a buffer of a model holds."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load, save

from instar.errors import MismatchError


class Content(NamedTuple):
    """What a fitted model is: its kind, arrays by name, and further values as JSON."""

    kind: str
    arrays: dict[str, NDArray[Any]]
    facts: dict[str, Any]


def pack(content: Content) -> NDArray[np.uint8]:
    """Return content as bytes, uint8 `[bytes]`.

    >>> unpack(pack(Content("linear", {"w": np.ones(2)}, {"temperature": 1.0}))).facts
    {'temperature': 1.0}
    """
    header = {"kind": content.kind, "facts": json.dumps(content.facts, sort_keys=True)}
    arrays = {name: np.ascontiguousarray(array) for name, array in content.arrays.items()}
    return np.frombuffer(bytearray(save(arrays, header)), np.uint8)


def unpack(data: NDArray[np.uint8]) -> Content:
    """Return the content of bytes.

    Raises:
        MismatchError: when they are damaged.
    """
    raw = data.tobytes()
    try:
        arrays = load(raw)  # refuses damaged headers and sizes
        header = json.loads(raw[8 : 8 + int.from_bytes(raw[:8], "little")])["__metadata__"]
        return Content(header["kind"], arrays, json.loads(header["facts"]))
    except Exception as error:  # of safetensors, JSON or a missing name
        raise MismatchError(f"the content of the estimator is damaged: {error}.") from None
