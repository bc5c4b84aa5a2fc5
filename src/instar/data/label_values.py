"""Reading of labels of one split: which are known, and whether they are whole numbers, booleans or words."""

from __future__ import annotations

import numbers
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray

from instar.errors import DataError

LabelKind = Literal["whole numbers", "booleans", "words"]


@dataclass(frozen=True, eq=False)
class LabelValues:
    """The labels of one split as a flat array.

    Args:
        split: name of the split, for error messages.
        shape: original shape of the labels.
        known: whether each label is known, bool `[labels]`.
        values: known labels: int64, bool, or an object array of words.
        kind: type of the known labels; None if no label is known.
        is_text: whether the labels were an array of words, in which NumPy turns a missing value into the word "nan".
    """

    split: str
    shape: tuple[int, ...]
    known: NDArray[np.bool_]
    values: NDArray[Any]
    kind: LabelKind | None
    is_text: bool = False

    @classmethod
    def read(cls, split: str, given: Any) -> Self:
        """Read labels of any type; None, NaN, NA and masked values are missing labels.

        Raises:
            DataError: when a label is not a whole number, boolean or word, or types are mixed.

        >>> found = LabelValues.read("train", [2.0, None, 5])
        >>> found.values.tolist(), found.known.tolist(), found.kind
        ([2, 5], [True, False, True], 'whole numbers')
        """
        array, known = labels_as_array(split, given)
        flat, known = array.reshape(-1), known.reshape(-1)  # [labels]
        if flat.dtype.kind == "O":
            import pandas as pd

            # first plain values, because pandas takes a tensor with NaN for known
            flat = np.frompyfunc(as_python, 1, 1)(flat)
            known = known & ~np.asarray(pd.isna(flat), dtype=bool)  # None, NaN, NA and NaT
        elif flat.dtype.kind == "f":
            known = known & ~np.isnan(flat)
        found = cls(split, array.shape, known, flat[known], None, is_text=flat.dtype.kind in "US")
        kind = found._kind()
        values: NDArray[Any] = found._whole() if kind == "whole numbers" else found.values
        if values.dtype.kind == "S":  # bytes that are no UTF-8 stay apart, as "replace" would merge classes
            values = np.char.decode(values, "utf-8", "backslashreplace")
        values = values.astype({"whole numbers": np.int64, "booleans": bool, "words": object}[kind or "words"])
        return cls(split, array.shape, known, values, kind, found.is_text)

    def _kind(self) -> LabelKind | None:
        if len(self.values) == 0:
            return None
        if self.values.dtype.kind != "O":
            kinds: list[LabelKind | None] = [_KIND_OF_DTYPE.get(self.values.dtype.kind)]
        else:
            kinds = [_kind_of(value) for value in self.values.tolist()]
        for place, kind in enumerate(kinds):
            if kind is None or kind != kinds[0]:  # 1 beside "1" may be one class or two
                value = self.values.tolist()[place]
                odd = np.arange(len(self.values)) == place
                beside = f" beside {kinds[0]}" if kinds[0] and kind else ""
                raise DataError(
                    "labels must all be whole numbers, all booleans or all words; "
                    f"{self.where(odd)} has the label {value!r:.40} ({type(value).__name__}){beside}."
                )
        return kinds[0]

    def _whole(self) -> NDArray[np.int64]:
        if self.values.dtype.kind == "i":
            return self.values.astype(np.int64)
        as_floats = self.values.astype(np.float64)
        # `~ <` instead of `>=`, which is false for NaN
        odd = ~(np.abs(as_floats) < 2**63) | (np.floor(as_floats) != as_floats)
        if odd.any():
            raise DataError(
                f"labels must be whole numbers, booleans or words that name classes; {self.where(odd)} has the label "
                f"{self.values[odd][0]}. Set data.labels=numbers if they are quantities (regression)."
            )
        return self.values.astype(np.int64)

    def where(self, chosen: NDArray[np.bool_]) -> str:
        """Describe the place of the first chosen label."""
        first = np.flatnonzero(self.known)[np.flatnonzero(chosen)[0]]  # among all labels, not only the known ones
        sample, *position = (int(place) for place in np.unravel_index(first, self.shape))
        return f"sample {sample}" + "".join(f", position {at}" for at in position) + f" of '{self.split}'"

    def distinct(self) -> list[Any]:
        """Return the distinct labels, unsorted."""
        return list(set(self.values.tolist())) if self.kind == "words" else np.unique(self.values).tolist()

    def without(self, unlabelled: int | str | None) -> Self:
        """Return the labels with the value `unlabelled` marked as missing."""
        chosen = np.zeros(len(self.values), dtype=bool)
        for value in self.distinct():
            # as text, because a flag of the command line is text, whatever the labels are
            if unlabelled is not None and str(value) == str(unlabelled):
                chosen = self.values == value
        known = self.known.copy()
        known[np.flatnonzero(known)[chosen]] = False
        kind = self.kind if known.any() else None
        return type(self)(self.split, self.shape, known, self.values[~chosen], kind, self.is_text)


_KIND_OF_DTYPE: dict[str, LabelKind] = {
    "i": "whole numbers",
    "u": "whole numbers",
    "f": "whole numbers",
    "b": "booleans",
    "U": "words",
    "S": "words",
}


def _kind_of(value: object) -> LabelKind | None:
    if isinstance(value, bool):  # first, because a bool is a number in Python
        return "booleans"
    if isinstance(value, str):
        return "words"
    return "whole numbers" if isinstance(value, numbers.Real) else None


def as_python(value: Any) -> Any:
    """Return a label as a plain value of Python."""
    if isinstance(value, np.generic) or (isinstance(value, torch.Tensor) and value.dim() == 0):
        return value.item()
    if isinstance(value, str):  # an enumeration of words may show itself otherwise
        return str.__str__(value)
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else value


def labels_as_array(split: str, given: Any) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Return labels as an array, and which are known according to their container; NaN and None are found later."""
    pandas = sys.modules.get("pandas")  # a pandas object exists only if pandas was imported
    if pandas and isinstance(
        given, pandas.Series | pandas.DataFrame | pandas.Index | pandas.api.extensions.ExtensionArray
    ):
        return np.asarray(given.astype(object)), ~np.asarray(given.isna())
    if isinstance(given, np.ma.MaskedArray):
        return np.asarray(given.data), ~np.ma.getmaskarray(given)
    if isinstance(given, torch.Tensor):
        tensor = given.detach().cpu()
        array = (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy()  # NumPy has no bfloat16
    elif isinstance(given, Sequence) and not isinstance(given, str):
        try:  # as objects, because NumPy would turn [1, "a"] into words and [True, 2] into numbers
            array = np.array(given, dtype=object)
        except ValueError:
            raise DataError(f"labels of '{split}' must have the same shape in all samples, got several.") from None
    else:
        array = np.asarray(given)
    if array.ndim == 0:
        raise DataError(f"labels must be an array with one label per sample; those of '{split}' are {given!r:.60}.")
    return array, np.ones(array.shape, dtype=bool)
