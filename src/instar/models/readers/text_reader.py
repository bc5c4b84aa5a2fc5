"""Readers of texts: each text is encoded once, and batches are padded to their longest."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from instar.compute.inputs import Shape, describe_shapes
from instar.data.columns.texts import TEXT, TextRows, Texts
from instar.errors import MismatchError
from instar.models.readers.encoded import ATTENTION_MASK, Encoded
from instar.models.readers.reader import Reader

# what each reader has made of a column of texts, and of its pair; it lives as long as the column
_encoded: WeakKeyDictionary[Texts, dict[tuple[Reader, Texts | None], Encoded]] = WeakKeyDictionary()


class TextReader(Reader):
    """Turns texts into numbers of words or tokens, `input_ids`, with the mask of their padding, `attention_mask`.

    A network is called with both by keyword, int64 and bool `[batch, longest]`. Readers of other tokenizers derive from
    this class, and implement `encode` and `shape`.

    Attributes:
        column: name of the column of texts.
        pair: name of the column of the second texts of pairs; None: samples have one text.
    """

    column: str = TEXT
    pair: str | None = None
    takes_several: ClassVar[bool] = True

    @abstractmethod
    def encode(self, texts: Sequence[str], pairs: Sequence[str] | None = None) -> Encoded:
        """Return the tokens of texts, or of pairs of texts, at least one for each."""

    @property
    @abstractmethod
    def longest(self) -> int:
        """Largest number of tokens of a sequence; `ANY_LENGTH`: there is no limit."""

    @abstractmethod
    def explain(self) -> str:
        """Return sentences that say how another program makes the tensors of a text."""

    def shape(self, given: Any) -> dict[str, Shape]:  # type: ignore[override]  # of several
        """Return the shape of each tensor, whose length is `longest`.

        Raises:
            MismatchError: when the inputs are no texts.
        """
        if any(given.values()) if isinstance(given, Mapping) else given:
            raise MismatchError(f"{self} reads texts, and the data have inputs of shape {describe_shapes(given)}.")
        return dict.fromkeys(self.names, (self.longest,))

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the tensors."""
        return ("input_ids", ATTENTION_MASK)

    def make_example(self) -> dict[str, Tensor]:
        """Return the tensors of two texts, or pairs of texts."""
        return self(["a text", "another"] if self.pair is None else [("a text", "another")] * 2)

    def collect(self, find: Callable[[str], Any]) -> Any:
        """Return what `find` returns for its column, or for both of a pair, by name."""
        return find(self.column) if self.pair is None else {name: find(name) for name in (self.column, self.pair)}

    def __call__(self, inputs: Any) -> dict[str, Tensor]:  # type: ignore[override]  # of several
        """Return the tensors of texts; tensors by name that were read already are returned unchanged.

        Args:
            inputs: a list of strings, or of pairs of strings; or rows of a column, or of both columns by name.

        Raises:
            MismatchError: when the inputs are no texts.
        """
        if isinstance(inputs, Mapping) and "input_ids" in inputs:
            return dict(inputs)
        texts, pairs = self._split(inputs)
        if isinstance(texts, TextRows) and (pairs is None or isinstance(pairs, TextRows)):
            found = self._remember(texts.column, None if pairs is None else pairs.column)
            return found.rows(texts.ids, texts.on_host)
        found = self.encode(_strings(texts, self), None if pairs is None else _strings(pairs, self))
        return found.rows(torch.arange(len(found.lengths)))

    def _split(self, inputs: Any) -> tuple[Any, Any]:
        if isinstance(inputs, Mapping):
            wanted = [name for name in (self.column, self.pair) if name is not None]
            if missing := [name for name in wanted if name not in inputs]:
                found = ", ".join(map(str, inputs))
                raise MismatchError(f"{self} reads texts, and '{missing[0]}' is missing; found: {found}.")
            return inputs[self.column], None if self.pair is None else inputs[self.pair]
        if self.pair is None:
            return inputs, None
        items: list[Any] = list(inputs) if isinstance(inputs, Sequence) and not isinstance(inputs, str) else [None]
        if not all(isinstance(one, list | tuple) and len(one) == 2 for one in items):
            raise MismatchError(f"{self} reads pairs of texts; give a list of pairs, such as [('one', 'another')].")
        return [one for one, _ in items], [two for _, two in items]

    def _remember(self, texts: Texts, pairs: Texts | None) -> Encoded:
        known = _encoded.setdefault(texts, {})
        if (self, pairs) not in known:
            known[self, pairs] = self.encode(texts.strings(), None if pairs is None else pairs.strings())
        return known[self, pairs]


def _strings(given: Any, reader: Reader) -> list[str]:
    if isinstance(given, Texts | TextRows):
        return given.strings()
    is_list = hasattr(given, "__iter__") and not isinstance(given, str | bytes | Mapping | Tensor)
    found = list(given) if is_list else [given]
    odd = next((one for one in found if not isinstance(one, str)), None)
    if odd is not None or not is_list or not found:
        what = f"a {type(odd if is_list else given).__name__}" if found else "none"
        raise MismatchError(f"{reader} reads texts; give a list of strings, got {what}.")
    return [str.__str__(one) for one in found]
