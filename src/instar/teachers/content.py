"""A hash of everything that the predictions of a fitted estimator or a network depend on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from types import BuiltinFunctionType, CodeType, FunctionType
from typing import Any

import numpy as np
import torch
import xxhash
from torch import Tensor

from instar.errors import ConfigError

EXECUTION_PARAMETERS = frozenset({"n_jobs", "verbose", "warm_start", "memory", "pre_dispatch", "random_state"})
"""Parameters on which no prediction of a fitted estimator depends."""

_PLAIN = (str, bytes, bytearray, int, float, complex, type(None))
_CONSTANTS = (*_PLAIN, np.ndarray, np.generic, Tensor)


class Content:
    """Hashes values by their content: equal for equal content, in every process and after every copy.

    >>> both = [Content(), Content()]
    >>> for content, value in zip(both, ({"a": (1.5, None)}, {"a": (1.5, True)}), strict=True):
    ...     content.add(value)
    >>> both[0].hexdigest() == both[1].hexdigest()
    False
    """

    def __init__(self) -> None:
        # hashlib takes ten times as long, and every run hashes its teacher three times
        self._digest = xxhash.xxh3_128()
        self._seen: dict[int, int] = {}
        self._alive: list[Any] = []  # so that no id is used twice

    def hexdigest(self) -> str:
        """Return the hash of everything that was added."""
        return self._digest.hexdigest()

    def add(self, value: Any) -> None:
        """Add a value and everything inside.

        Raises:
            ConfigError: when something inside does not show its content.
        """
        if isinstance(value, _PLAIN):
            self._say(type(value).__name__, repr(value))
        elif isinstance(value, Tensor):
            self._add_tensor(value)
        elif isinstance(value, np.ndarray):
            self._add_array(value)
        elif isinstance(value, np.generic | np.dtype | torch.dtype | torch.Size):
            self._say(type(value).__name__, repr(value))
        elif isinstance(value, type | FunctionType | BuiltinFunctionType | np.ufunc):
            self._say("name", getattr(value, "__module__", ""), getattr(value, "__qualname__", value.__name__))
            if isinstance(value, FunctionType):
                self._add_function(value)
        elif id(value) in self._seen:
            self._say("again", str(self._seen[id(value)]))
        else:
            self._seen[id(value)] = len(self._seen)
            self._alive.append(value)
            self._add_compound(value)

    def add_named(self, name: str, value: Any) -> None:
        """Add an entry of a network's state: a tensor, or what a quantised layer or the user stores there."""
        if not isinstance(value, Tensor) or value.is_quantized or value.layout != torch.strided:
            self.add((name, value))
            return
        self._digest.update(json.dumps([name, list(value.shape), str(value.dtype)]).encode())
        self._add_bytes(value)

    def _add_compound(self, value: Any) -> None:
        if isinstance(value, Mapping):
            self._say(type(value).__name__, str(len(value)))
            for name, part in sorted(value.items(), key=lambda item: repr(item[0])):
                self.add(name)
                self.add(part)
        elif isinstance(value, list | tuple):
            self._say(type(value).__name__, str(len(value)))
            for part in value:
                self.add(part)
        elif isinstance(value, set | frozenset):
            self.add(sorted(value, key=repr))
        elif hasattr(value, "best_estimator_"):  # a search predicts by the estimator that it found
            self.add(value.best_estimator_)
        elif hasattr(value, "get_params") and hasattr(value, "__dict__"):
            self.add(type(value))
            self.add({name: part for name, part in vars(value).items() if name not in EXECUTION_PARAMETERS})
        else:
            self._add_reduced(value)

    def _add_function(self, function: FunctionType) -> None:
        """Add the code of a function, the names and values that it uses, and functions of its module that it calls."""
        if id(function) in self._seen:
            return
        self._seen[id(function)] = len(self._seen)
        self._alive.append(function)
        names = self._add_code(function.__code__)
        self.add([function.__defaults__, function.__kwdefaults__])
        for cell in function.__closure__ or ():
            with suppress(ValueError):  # the cell is still empty
                self.add(cell.cell_contents)
        for name in names:
            found = function.__globals__.get(name)
            is_own = isinstance(found, FunctionType) and found.__module__ == function.__module__
            if is_own or isinstance(found, _CONSTANTS):
                self.add(found)

    def _add_code(self, code: CodeType) -> list[str]:
        """Add code with the code inside it, such as that of a comprehension; return the global names that it uses."""
        names = list(code.co_names)
        self._say(code.co_code.hex(), repr(names))
        for constant in code.co_consts:
            if isinstance(constant, CodeType):
                names += self._add_code(constant)
            else:
                self.add(constant)
        return names

    def _add_tensor(self, value: Tensor) -> None:
        self._say("tensor", json.dumps([list(value.shape), str(value.dtype)]))
        if value.is_quantized:
            per_channel = value.qscheme() in (torch.per_channel_affine, torch.per_channel_symmetric)
            scales = (value.q_per_channel_scales(), value.q_per_channel_zero_points()) if per_channel else ()
            self.add(scales or (value.q_scale(), value.q_zero_point()))
            value = value.int_repr()
        elif value.layout != torch.strided:
            value = value.detach().to_dense()
        self._add_bytes(value)

    def _add_bytes(self, value: Tensor) -> None:
        if value.numel():
            self._digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)

    def _add_array(self, value: np.ndarray[Any, Any]) -> None:
        self._say("array", json.dumps([list(value.shape), value.dtype.str]))
        if value.dtype.names:  # field by field, because the bytes between fields are arbitrary
            for name in value.dtype.names:
                self._add_array(value[name])
        elif value.dtype.hasobject:
            self.add(value.ravel().tolist())
        elif value.size:
            self._digest.update(np.ascontiguousarray(value).reshape(-1).view(np.uint8).data)

    def _add_reduced(self, value: Any) -> None:
        """Add what an object returns to be copied: its class, arguments and state."""
        try:
            reduced = value.__reduce_ex__(4)
        except Exception as error:  # any code may be behind it
            kind = type(value).__name__
            raise ConfigError(f"the teacher holds a {kind}, which has no fingerprint: {error}.") from None
        if isinstance(reduced, str):
            self._say("name", reduced)
            return
        for part in reduced[:3]:
            self.add(part)
        for some in reduced[3:5]:
            self.add(None if some is None else list(some))

    def _say(self, *words: str) -> None:
        for word in words:
            self._digest.update(f"{len(word)}:{word}".encode())
