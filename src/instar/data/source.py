"""Sources: samples with permanent ids, 0..N-1, which never change.

All stored values of a sample, such as targets and predictions, are keyed by its id, never by its position in an epoch.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from instar.analysis.scores import UNLABELLED
from instar.compute.inputs import Shapes, Value
from instar.data.columns.cell_rows import CellRows
from instar.data.columns.held import INPUTS, Held
from instar.data.columns.missing import explain_missing_column
from instar.data.columns.raw import RawColumn
from instar.data.columns.sounds import Sounds
from instar.data.columns.texts import TEXT, Texts
from instar.data.recordings import Recordings
from instar.data.stored import StoredInputs
from instar.errors import DataError
from instar.tasks.classification import Classification
from instar.tasks.task import Task

Column = Held | RawColumn | Sounds
"""A column that a model may read."""

_HASHED_PART_BYTES = 16 << 20


@dataclass(frozen=True, eq=False)
class Source:
    """A numbered set of inputs and labels.

    A sample may have positions, such as the words of a text or the frames of a recording, each with a label.

    Args:
        name: name of the source and the split, for messages.
        inputs: raw inputs `[samples, ...]`: uint8 are pixels 0..255, floats are numbers, other integers are tokens.
        labels: int64 `[samples]` or `[samples, position]`, in [0, classes) or `UNLABELLED`; int32 for mapped text.
        classes: class names.
        whole: original source, if some of its classes were merged into one here.
        lengths: number of valid positions, or frames of the inputs if samples have no positions, of each sample, int64
            `[samples]`; the others are padding. None: all are valid.
        task: meaning of the labels; not part of the fingerprint.
        columns: what samples have beside their inputs, by name: tensors and texts, which a teacher may read and which
            are part of the fingerprint, and the sound of recordings, which is not, because their frames are. Samples
            that are texts have their row numbers as `inputs`, and columns that `input_names` names.
        given: exact inputs `[samples, ...]`, if `inputs` are rounded; not part of the fingerprint.
        mask: whether each sample or position has a loss, bool in the shape of the labels; without a loss it is neither
            trained on nor evaluated. None: all have a loss up to `lengths`.
        weights: how many samples each one counts as in an objective, at least 0, float64 `[samples]`; None: one.
        reading: description of how inputs and labels were read; not part of the fingerprint.
        settings: data settings that read files in the same way again; not part of the fingerprint.
        feature_names: column names of a table, in order; not part of the fingerprint.
        stored: where `inputs` are in the cache, so that their fingerprint is kept there; None: they are not.
        input_names: names of the inputs where a sample has several, such as `input_ids` and `attention_mask`; the first
            is that of `inputs`, which views change, and the others are columns. (): the inputs are one tensor.
        is_bucketed: whether batches of training have samples of like `lengths`, because shorter ones are padded.

    Raises:
        DataError: when inputs and labels differ in number, there are no samples, or a label is outside the classes.

    >>> Source("two", torch.zeros(2, 3), torch.tensor([0, 7]), ("a", "b"))
    Traceback (most recent call last):
    instar.errors.DataError: labels of 'two' must be from 0 to 1 (2 classes), or -1 (unlabelled); found 7 at sample 1.
    """

    name: str
    inputs: Tensor
    labels: Tensor
    classes: tuple[str, ...]
    whole: Source | None = None
    lengths: Tensor | None = None
    task: Task = field(default_factory=Classification)
    columns: Mapping[str, Column | Recordings] = field(default_factory=dict)
    given: Tensor | None = None
    mask: Tensor | None = None
    weights: Tensor | None = None
    reading: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    feature_names: tuple[str, ...] = ()
    stored: StoredInputs | None = None
    input_names: tuple[str, ...] = ()
    is_bucketed: bool = False

    def __post_init__(self) -> None:
        if len(self.inputs) == 0:
            raise DataError(f"'{self.name}' has no samples.")
        if len(self.inputs) != len(self.labels):
            raise DataError(f"'{self.name}' has {len(self.inputs)} inputs but {len(self.labels)} labels.")
        has_positions = self.labels.dim() == 2 or self.inputs.dim() == 3  # or frames
        if self.lengths is not None and not (has_positions and len(self.lengths) == len(self)):
            raise DataError(f"lengths of '{self.name}' must be one number per sample, and samples must have positions.")
        if problem := self.task.find_problem(self.labels, self.classes):
            raise DataError(f"classes of '{self.name}' must be {problem}.")
        for name, column in self.columns.items():
            if len(column) != len(self):
                raise DataError(f"'{self.name}' has {len(self)} inputs but {len(column)} rows of the column '{name}'.")
            # batches are cut to their longest sample, and a column is cut with them
            if self.positions and isinstance(column, Held) and column.shape[:1] != (self.positions,):
                raise DataError(
                    f"samples of '{self.name}' have {self.positions} positions each, so its column '{name}' must be "
                    f"[samples, {self.positions}, ...]; got {[len(column), *column.shape]}."
                )
        if self.mask is not None and (self.mask.shape != self.labels.shape or self.mask.dtype != torch.bool):
            found = f"{self.mask.dtype} of shape {list(self.mask.shape)}"
            raise DataError(f"the mask of '{self.name}' must be bool of shape {list(self.labels.shape)}, got {found}.")
        self._refuse_labels_outside()

    def _refuse_labels_outside(self) -> None:
        # at a label beyond the classes CUDA fails in the middle of training, and names neither label nor sample
        if not self.labels.numel():
            return
        found = self.keep_of_labels("label-range-1", {}, lambda: {"range": torch.stack(self.labels.aminmax())})
        least, most = found["range"].tolist()
        if least < UNLABELLED or most >= len(self.classes):
            outside = ((self.labels < UNLABELLED) | (self.labels >= len(self.classes))).nonzero()
            at = int(outside[0, 0])
            raise DataError(
                f"labels of '{self.name}' must be from 0 to {len(self.classes) - 1} ({len(self.classes)} classes), "
                f"or -1 (unlabelled); found {int(self.labels[tuple(outside[0])])} at sample {at}."
            )

    def __len__(self) -> int:
        return len(self.inputs)

    @property
    def positions(self) -> int | None:
        """Number of positions per sample; None if samples have no positions."""
        return self.labels.shape[1] if self.labels.dim() == 2 else None

    @property
    def label_lengths(self) -> Tensor | None:
        """Number of valid positions of each sample, int64 `[samples]`; None: all are valid, or there are none."""
        return None if self.positions is None else self.lengths

    @property
    def held(self) -> dict[str, Held]:
        """The columns of tensors by name, the inputs among them."""
        beside = {name: column for name, column in self.columns.items() if isinstance(column, Held)}
        return {INPUTS: Held(self.inputs), **beside}

    @property
    def read_columns(self) -> dict[str, Column]:
        """The columns that a model may read, by name: tensors, texts and sound."""
        named = {name: Held(self.inputs) for name in self.input_names[:1]}
        others = {name: column for name, column in self.columns.items() if isinstance(column, RawColumn | Sounds)}
        return {**named, **self.held, **others}

    def raw_column(self, name: str) -> RawColumn | Sounds | None:
        """Return a column of texts, rows or sound; "text" is also the only column of texts, whatever its name."""
        column: Any = self.columns.get(name)
        if column is None and name == TEXT:
            texts = [one for one in self.columns.values() if isinstance(one, Texts)]
            column = texts[0] if len(texts) == 1 else None
        return column if isinstance(column, RawColumn | Sounds) else None

    @property
    def sound(self) -> Recordings | None:
        """The sound of recordings; None if it was not stored, or there is none."""
        return next((column for column in self.columns.values() if isinstance(column, Recordings)), None)

    @property
    def raw_inputs(self) -> tuple[RawColumn, ...]:
        """The columns of inputs that are no tensors, such as texts and rows of a table; () for other samples."""
        named = (self.columns.get(name) for name in self.input_names)
        return tuple(column for column in named if isinstance(column, RawColumn))

    @property
    def table(self) -> CellRows | None:
        """The rows of samples that are those of a table, also as data frames; None for other samples."""
        return next((column for column in self.raw_inputs if isinstance(column, CellRows)), None)

    @property
    def input_texts(self) -> tuple[Texts, ...]:
        """The texts of samples that are texts, or pairs of texts; () for other samples."""
        return tuple(column for column in self.raw_inputs if isinstance(column, Texts))

    def find(self, name: str) -> Column:
        """Return a column that a model may read.

        Raises:
            DataError: when the source has no such column.
        """
        found: dict[str, Column] = self.read_columns
        if name not in found and (alone := self.raw_column(name)) is not None:
            return alone
        if name not in found:
            raise DataError(explain_missing_column(self.name, name, list(found)))
        return found[name]

    def column(self, name: str) -> Tensor:
        """Return the values of a column of tensors, `[samples, ...]`; "inputs" is the column of the inputs.

        Raises:
            DataError: when the source has no such column, or it holds texts or sound.
        """
        column = self.find(name)
        if not isinstance(column, Held):
            what, reader = "sound", "Extracted(...)"
            if isinstance(column, RawColumn):
                what, reader = column.noun, f"{column.reader}()"
            raise DataError(
                f"column '{name}' of '{self.name}' holds {what}; a reader of {what} reads it, such as {reader}."
            )
        return column.values

    def texts(self, name: str) -> Texts:
        """Return a column of texts.

        Raises:
            DataError: when the source has no such column, or it holds no texts.
        """
        column = self.find(name)
        if not isinstance(column, Texts):
            known = ", ".join(name for name, one in self.columns.items() if isinstance(one, Texts)) or "none"
            raise DataError(f"column '{name}' of '{self.name}' holds numbers and no texts; columns of texts: {known}.")
        return column

    @property
    def column_names(self) -> tuple[str, ...]:
        """Names of the columns that a model may read, "inputs" among them."""
        return tuple(self.read_columns)

    def look_at(self, name: str, look: Callable[[Column], Value]) -> Value | dict[str, Value]:
        """Return what a function returns for a column; for "inputs", by name if they are several.

        >>> labels, mask = torch.tensor([0, 1]), Held(torch.ones(2, 4))
        >>> names = ("ids", "mask")
        >>> source = Source("two", torch.zeros(2, 3), labels, ("a", "b"), columns={"mask": mask}, input_names=names)
        >>> source.look_at("inputs", lambda column: column.shape), source.look_at("ids", len)
        ({'ids': (3,), 'mask': (4,)}, 2)

        Raises:
            DataError: when the source has no such column.
        """
        if name == INPUTS and self.input_names:
            return {one: look(self.find(one)) for one in self.input_names}
        return look(self.find(name))

    def take(self, name: str, ids: Tensor) -> Any:
        """Return the values of a column for some samples, `[n, ...]`, or rows of texts; "inputs" by name if several."""

        def rows(column: Column) -> Any:
            if isinstance(column, RawColumn):
                return column.rows(ids, ids)
            return column.take(ids) if isinstance(column, Sounds) else column.values[ids]

        return self.look_at(name, rows)

    def dtype(self, name: str) -> str | dict[str, str]:
        """Return the type of a column, such as "uint8" or "text"; those of "inputs" by name if they are several."""
        return self.look_at(name, lambda column: column.dtype)

    def shape(self, name: str) -> Shapes:
        """Return the shape of a column of one sample; that of "inputs" by name if they are several."""
        found: Shapes = self.look_at(name, lambda column: column.shape)
        return found

    def valid(self, ids: Tensor, longest: int | None = None) -> Tensor | None:
        """Return whether each sample or position has a loss, bool `[n]` or `[n, position]`; None: all have one.

        Args:
            ids: sample ids, int64 `[n]`.
            longest: number of positions to return; None: all.
        """
        lengths = self.label_lengths
        if self.mask is None and lengths is None:
            return None
        mask = None if self.mask is None else self.mask[ids]
        if mask is not None and mask.dim() == 2:
            mask = mask[:, :longest]
        if lengths is None:
            return mask
        valid = torch.arange(longest or self.labels.shape[1]) < lengths[ids][:, None]  # [n, position]
        return valid if mask is None else valid & mask

    def fingerprint(self) -> str:
        """Return a hash of the content: shapes, dtypes, inputs, labels, lengths, mask, weights, columns and names."""
        return self._fingerprint

    @cached_property
    def _fingerprint(self) -> str:  # cached, because it reads all data, which never change
        labels = None if self._are_labels_stored else self.labels  # the checksum of stored ones is part of the key
        depends_on = {"about": self._header(), "labels": labels, "lengths": self.lengths, "mask": self.mask}
        depends_on |= {} if self.weights is None else {"weights": self.weights}
        found = self.keep("fingerprint-1", depends_on, lambda: {"hash": torch.tensor(list(self._hash_content()))})
        plain = bytes(found["hash"].tolist()).hex()
        columns = {name: column for name, column in self.columns.items() if isinstance(column, Held | RawColumn)}
        beside = [[name, column.fingerprint()] for name, column in sorted(columns.items())]
        beside += [list(self.input_names)] if self.input_names else []
        # data without columns have the fingerprint from before there were columns
        return hashlib.blake2b(json.dumps([plain, beside]).encode(), digest_size=16).hexdigest() if beside else plain

    def keep(
        self, name: str, depends_on: Mapping[str, Tensor | str | None], compute: Callable[[], Mapping[str, Tensor]]
    ) -> dict[str, Tensor]:
        """Return values of the inputs, from the cache if they are kept there: see `StoredInputs.keep`."""
        # a copy of this source with other inputs has the same field, which is not about its own inputs
        is_stored = self.stored is not None and self.stored.inputs is self.inputs
        return self.stored.keep(name, depends_on, compute) if is_stored and self.stored else dict(compute())

    def keep_of_labels(
        self, name: str, depends_on: Mapping[str, Tensor | str | None], compute: Callable[[], Mapping[str, Tensor]]
    ) -> dict[str, Tensor]:
        """Return values of the labels, from the cache if the labels are stored with the inputs, as those of text."""
        return self.keep(name, depends_on, compute) if self._are_labels_stored else dict(compute())

    @property
    def _are_labels_stored(self) -> bool:
        return self.stored is not None and self.stored.inputs is self.inputs and self.stored.labels is self.labels

    def _header(self) -> str:
        return json.dumps([list(self.inputs.shape), str(self.inputs.dtype), self.classes])

    def _hash_content(self) -> bytes:
        digest = hashlib.blake2b(self._header().encode(), digest_size=16)
        for tensor in (self.inputs, self.labels, self.lengths, self.mask, self.weights):
            if tensor is None:  # adds nothing, so that runs and stores from before there were masks still match
                continue
            rows = max(1, _HASHED_PART_BYTES // max(1, tensor[0].nbytes))  # mapped tensors may be larger than memory
            for part in tensor.split(rows):
                values = part.long() if tensor is self.labels else part  # labels of text have the hash of int64
                digest.update(values.contiguous().view(torch.uint8).numpy().data)
        return digest.digest()
