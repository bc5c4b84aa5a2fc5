"""Fingerprints: hashes of everything that an object depends on, such as an estimator, a network or a transform."""

from __future__ import annotations

import hashlib
import json
import sys
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
"""Parameters that do not change the predictions of a fitted estimator."""

_PLAIN = (str, bytes, bytearray, int, float, complex, type(None))
_CONSTANTS = (*_PLAIN, np.ndarray, np.generic, Tensor)


class Content:
    """Hash of values by content. Equal content has an equal hash, in every process and after every copy.

    Args:
        owner: what holds the values, for error messages.

    >>> both = [Content(), Content()]
    >>> for content, value in zip(both, ({"a": (1.5, None)}, {"a": (1.5, True)}), strict=True):
    ...     content.add(value)
    >>> both[0].hexdigest() == both[1].hexdigest()
    False
    """

    def __init__(self, owner: str = "the teacher") -> None:
        self._owner = owner
        # hashlib takes ten times as long, and every run hashes its teacher three times
        self._digest = xxhash.xxh3_128()
        # from id to the order of the first visit: ids differ between processes, and their order does not
        self._seen: dict[int, int] = {}
        self._alive: list[Any] = []  # a freed object's id is given to another

    def hexdigest(self) -> str:
        """Return the hash of everything that was added."""
        return self._digest.hexdigest()

    def add(self, value: Any) -> None:
        """Add a value and everything inside.

        Raises:
            ConfigError: when something inside does not show its content.
        """
        if isinstance(value, _PLAIN):
            self._add_words(type(value).__name__, repr(value))  # with the type, because True equals 1
        elif isinstance(value, Tensor):
            self._add_tensor(value)
        elif isinstance(value, np.ndarray):
            self._add_array(value)
        elif isinstance(value, np.generic | np.dtype | torch.dtype | torch.Size):
            self._add_words(type(value).__name__, repr(value))
        elif isinstance(value, type | FunctionType | BuiltinFunctionType | np.ufunc):
            self._add_words("name", getattr(value, "__module__", ""), getattr(value, "__qualname__", value.__name__))
            if isinstance(value, FunctionType):  # a function of the same name may have another body
                self._add_function(value)
        elif id(value) in self._seen:  # a circle, or an object that two others share
            self._add_words("again", str(self._seen[id(value)]))
        else:
            self._seen[id(value)] = len(self._seen)
            self._alive.append(value)
            self._add_compound(value)

    def add_named(self, name: str, value: Any) -> None:
        """Add an entry of a network's state: a tensor, or what a quantised layer or the user stores there."""
        if not isinstance(value, Tensor) or value.is_quantized or value.layout != torch.strided:
            self.add((name, value))
            return
        # not by `add`, which writes more: run folders and stores hold fingerprints of networks in this form
        self._digest.update(json.dumps([name, list(value.shape), str(value.dtype)]).encode())
        self._add_bytes(value)

    def _add_compound(self, value: Any) -> None:
        if isinstance(value, Mapping):
            self._add_words(type(value).__name__, str(len(value)))
            # by repr, because names of different types cannot be compared
            for name, part in sorted(value.items(), key=lambda item: repr(item[0])):
                self.add(name)
                self.add(part)
        elif isinstance(value, list | tuple):
            self._add_words(type(value).__name__, str(len(value)))
            for part in value:
                self.add(part)
        elif isinstance(value, set | frozenset):  # strings hash differently in each process, so sets have no order
            self.add(sorted(value, key=repr))
        elif (trees := _read_trees(value)) is not None:
            self.add([type(value), trees])
        elif hasattr(value, "best_estimator_"):  # a search predicts with the estimator that it found
            self.add(value.best_estimator_)
        elif hasattr(value, "get_params") and hasattr(value, "__dict__"):
            self.add(type(value))
            self.add({name: part for name, part in vars(value).items() if name not in EXECUTION_PARAMETERS})
        else:
            self._add_reduced(value)

    def _add_function(self, function: FunctionType) -> None:
        if id(function) in self._seen:  # it may call itself
            return
        self._seen[id(function)] = len(self._seen)
        self._alive.append(function)
        names = self._add_code(function.__code__)
        self.add([function.__defaults__, function.__kwdefaults__])
        for cell in function.__closure__ or ():
            with suppress(ValueError):  # the cell is still empty
                self.add(cell.cell_contents)
        # what it calls and computes with: functions of its own module by content, those of libraries by name
        for name in names:
            found = function.__globals__.get(name)
            is_own = isinstance(found, FunctionType) and found.__module__ == function.__module__
            if is_own or isinstance(found, _CONSTANTS):
                self.add(found)

    def _add_code(self, code: CodeType) -> list[str]:
        """Add code with the code inside it, such as that of a comprehension; return the global names that it uses."""
        names = list(code.co_names)
        # bytecode refers to names by their index, so two functions of other names may have the same
        self._add_words(code.co_code.hex(), repr(names))
        for constant in code.co_consts:
            if isinstance(constant, CodeType):
                names += self._add_code(constant)
            else:
                self.add(constant)
        return names

    def _add_tensor(self, value: Tensor) -> None:
        self._add_words("tensor", json.dumps([list(value.shape), str(value.dtype)]))
        if value.is_quantized:  # its bytes are whole numbers, which mean nothing without scale and zero point
            per_channel = value.qscheme() in (torch.per_channel_affine, torch.per_channel_symmetric)
            scales = (value.q_per_channel_scales(), value.q_per_channel_zero_points()) if per_channel else ()
            self.add(scales or (value.q_scale(), value.q_zero_point()))
            value = value.int_repr()
        elif value.layout != torch.strided:
            value = value.detach().to_dense()
        self._add_bytes(value)

    def _add_bytes(self, value: Tensor) -> None:
        if value.numel():  # an empty tensor cannot be viewed as bytes
            self._digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)

    def _add_array(self, value: np.ndarray[Any, Any]) -> None:
        self._add_words("array", json.dumps([list(value.shape), value.dtype.str]))
        if value.dtype.names:  # field by field, because the bytes between fields are arbitrary
            for name in value.dtype.names:
                self._add_array(value[name])
        elif value.dtype.hasobject:  # whose bytes are addresses
            self.add(value.ravel().tolist())
        elif value.size:
            self._digest.update(np.ascontiguousarray(value).reshape(-1).view(np.uint8).data)

    def _add_reduced(self, value: Any) -> None:
        # what `copy` reads from an object: class, arguments and state; nothing is pickled
        try:
            reduced = value.__reduce_ex__(4)
        except Exception as error:  # it may run any code
            kind = type(value).__name__
            raise ConfigError(f"{self._owner} holds a {kind}, which has no fingerprint: {error}.") from None
        if isinstance(reduced, str):  # the name of a global
            self._add_words("name", reduced)
            return
        for part in reduced[:3]:
            self.add(part)
        for some in reduced[3:5]:  # iterators over its items as a list and as a dictionary
            self.add(None if some is None else list(some))

    def _add_words(self, *words: str) -> None:
        # with their lengths, so that "ab", "c" is not "a", "bc"
        for word in words:
            self._digest.update(f"{len(word)}:{word}".encode())


def _read_trees(value: Any) -> str | bytes | None:
    """Return the model of a booster of XGBoost or LightGBM as its library writes it; None for anything else."""
    # what pickle reads differs between copies, and holds the number of threads
    xgboost, lightgbm = sys.modules.get("xgboost"), sys.modules.get("lightgbm")
    if xgboost and isinstance(value, xgboost.Booster):
        return bytes(value.save_raw("ubj"))
    if lightgbm and isinstance(value, lightgbm.Booster):
        model, _, settings = value.model_to_string().partition("\nparameters:\n")
        return str(model + settings.partition("\nend of parameters\n")[2])
    return None


def hash_repr(value: object) -> str:
    """Return a hash of the `repr` of plain values, for a teacher that is made of others with fingerprints.

    >>> hash_repr(["geometric", [0.5, 0.5]]) == hash_repr(["geometric", [0.25, 0.75]])
    False
    """
    return hashlib.blake2b(repr(value).encode(), digest_size=16).hexdigest()
