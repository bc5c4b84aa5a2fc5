"""Predictions that were made elsewhere as a teacher of the samples that they are about."""

from __future__ import annotations

import copy
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from instar.content import Content
from instar.data.array_values import as_pandas, is_table
from instar.data.batch import Batch
from instar.data.columns.texts import Texts
from instar.data.opening import join_names
from instar.data.samples import Samples
from instar.data.source import Source
from instar.data.views.identity import Identity
from instar.errors import ConfigError, DataError, MismatchError, say
from instar.paths import given_path
from instar.targets.prediction_files import Columns, find_matrix, read_prediction_file
from instar.targets.prediction_values import Meaning, as_logits
from instar.targets.targets import DenseTargets
from instar.teachers.given_ids import as_key, as_keys, read_own_ids, refuse_unknown_ids
from instar.teachers.teacher import Teacher

SPLITS = ("train", "validation", "test")


class GivenPredictions(Teacher):
    """v = log p of given probabilities p, or given logits v, looked up by sample id.

    Row i of a file is about sample i of the split, in the order of the data before any selection. With an id column,
    rows are matched with the samples by their values in a column of that name: whole numbers, or words as they are
    written. Columns that are called like the classes are matched by name; a list per row has the classes in the order
    of the data.

    Args:
        predictions: a file or an array `[samples, classes]` of the training samples, or several of them by split. An
            `.npz` file may have an array for each split, by its name.
        values: "probabilities" or "logits"; None: what the numbers can only be.
        column: column with a list per row; None: one column per class, or the only column of lists.
        id_column: column of ids, in the file and in the data; None: rows are in the order of the data.

    >>> str(GivenPredictions("oob.npy", values="probabilities"))
    "GivenPredictions('oob.npy', values='probabilities')"
    """

    answers_by_row = True

    def __init__(
        self,
        predictions: Any,
        *,
        values: Meaning | None = None,
        column: str | None = None,
        id_column: str | None = None,
    ) -> None:
        if values not in (None, *get_args(Meaning)):
            raise ConfigError(f"values must be probabilities or logits, got {values!r}.")
        by_split = dict(predictions) if isinstance(predictions, Mapping) else {"train": predictions}
        if not by_split or (unknown := [split for split in by_split if split not in SPLITS]):
            found = f"'{unknown[0]}'" if by_split else "nothing"
            raise ConfigError(f"predictions are given for train, validation or test, got {found}.")
        self.predictions = {
            split: str(given) if isinstance(given, Path) else given for split, given in by_split.items()
        }
        self.values, self.column, self.id_column = values, column, id_column
        self._known: dict[str, tuple[Tensor, Tensor]] = {}

    @property
    def are_in_files(self) -> bool:
        """Whether all predictions are in files, so that the text of this teacher makes it again."""
        return all(isinstance(given, str) for given in self.predictions.values())

    def __str__(self) -> str:
        only = self.predictions.keys() == {"train"}
        settings = {name: getattr(self, name) for name in ("values", "column", "id_column")}
        named = "".join(f", {name}={value!r}" for name, value in settings.items() if value is not None)
        return f"GivenPredictions({(self.predictions['train'] if only else self.predictions)!r}{named})"

    def match(self, splits: Mapping[str, Samples]) -> GivenPredictions:
        """Return this teacher with the predictions of each sample of data by split.

        Raises:
            DataError: when a file cannot be read, has other rows or classes, or its numbers are no predictions; when
                an id is missing, is there twice, or belongs to no sample.
            MismatchError: when the data have no such split or id column.
        """
        found = copy.copy(self)
        found._known, found.classes = {}, (classes := splits["train"].source.classes)
        words = {name for one in splits.values() for name in _word_columns(one.source)}
        tables = {split: _read(split, given, words) for split, given in self.predictions.items()}
        given = tables.keys()
        if given == {"train"}:
            tables = _split_up(tables["train"], splits, has_ids=self.id_column is not None)
        unanswered: list[str] = []
        known: dict[str, NDArray[np.bool_]] = {}  # by file: whether each of its rows is about a sample
        for split, (columns, where) in tables.items():
            if split not in splits:
                raise MismatchError(f"{where} is given for {split}, and the data have no such split.")
            source = splits[split].source
            if source.positions is not None:
                raise MismatchError(f"samples of '{source.name}' have labels at positions, and {where} has none.")
            numbers, is_named = find_matrix(columns, classes, self.column, where)
            logits = as_logits(numbers, self.values, where)
            rows = self._find_rows(columns, source, len(logits), where)
            known.setdefault(where, np.zeros(len(logits), dtype=bool))[rows[rows >= 0].numpy()] = True
            rows[logits.isnan().any(1)[rows]] = -1  # a row without a prediction
            if not (rows < 0).all():
                found._known[source.fingerprint()] = rows, logits
            elif split in given:
                unanswered.append(f"no sample of '{source.name}' has a prediction in {where}.")
            is_numbered = classes == tuple(map(str, range(len(classes))))
            if split == "train" and not is_named and not is_numbered:
                say(f"instar: the columns of {where} are taken to be {join_names(classes)} in order.")
        if self.id_column is not None:
            for columns, where in tables.values():
                refuse_unknown_ids(columns[self.id_column], known[where], where)
        if unanswered:
            raise MismatchError(unanswered[0])
        return found

    def _find_rows(self, columns: Columns, source: Source, count: int, where: str) -> Tensor:
        """Return the row of each sample of a source, int64 `[samples]`; -1: it has none."""
        if self.id_column is None:
            if count != len(source):
                raise DataError(
                    f"{where} has {count:,} rows, and '{source.name}' has {len(source):,} samples; give a row for each "
                    "sample in the order of the data, or name a column of ids (--id-column, id_column=)."
                )
            _refuse_other_order(columns, source, where)
            return torch.arange(count)
        if self.id_column not in columns:
            raise DataError(f"{where} has no column '{self.id_column}'; found {join_names(columns)}.")
        ids = as_keys(columns[self.id_column].tolist(), f"column '{self.id_column}' of {where}")
        own = as_keys(read_own_ids(source, self.id_column), f"column '{self.id_column}' of '{source.name}'")
        row_of = {key: row for row, key in enumerate(ids)}
        return torch.tensor([row_of.get(key, -1) for key in own])

    def targets(self, batch: Batch) -> DenseTargets:
        """Return the logits of the samples of a batch.

        Raises:
            MismatchError: when nobody predicted one of them, or views change them.
        """
        rows, logits = self._find_table(batch.origin.samples.source if batch.origin else None)
        if batch.origin is not None and not isinstance(batch.origin.views, Identity):
            raise MismatchError(
                f"{self} holds predictions of the samples as they are, and the run shows '{batch.origin.views}'; leave "
                "out the views."
            )
        found = rows[batch.ids.cpu()]
        if (found < 0).any():
            raise MismatchError(f"{self} has no prediction of the sample with id {int(batch.ids[found < 0][0])}.")
        return DenseTargets(logits[found].to(batch.ids.device))

    def _find_table(self, source: Source | None) -> tuple[Tensor, Tensor]:
        self._require_match()
        if source is None or source.fingerprint() not in self._known:
            raise MismatchError(f"{self} has no predictions of '{source.name if source else 'a batch of no data'}'.")
        return self._known[source.fingerprint()]

    def predicted(self, samples: Samples) -> Samples:
        """Return all samples of the source of `samples` that have a prediction, whatever the selection."""
        rows, _ = self._find_table(samples.source)
        return Samples.all_of(samples.source).select(rows >= 0)

    def knows(self, samples: Samples) -> bool:
        """Return whether each of these samples has a prediction."""
        is_given = samples.source.fingerprint() in self._known
        return is_given and not bool(self.lacks(samples).any())

    def lacks(self, samples: Samples) -> Tensor:
        """Return which of these samples have no prediction, bool `[n]`."""
        return self._find_table(samples.source)[0][samples.ids] < 0

    def _require_match(self) -> None:
        if not self._known:
            raise ConfigError(f"{self} is no teacher before it is matched with data: label them first (label --from).")

    def fingerprint(self) -> str:
        """Return a hash of the predictions, and of the samples that they are about."""
        self._require_match()
        content = Content()
        content.add([(source, rows, logits) for source, (rows, logits) in sorted(self._known.items())])
        return content.hexdigest()


def _read(split: str, given: Any, words: Collection[str]) -> tuple[Columns, str]:
    if isinstance(given, str):
        return read_prediction_file(given_path(given, "predictions"), words), f"'{given}'"
    where = f"the predictions of {split}"
    if is_table(table := as_pandas(given)):
        return {str(name): table[name].to_numpy() for name in table.columns}, where
    return {"": given.detach().cpu().numpy() if isinstance(given, Tensor) else np.asarray(given)}, where


def _split_up(
    table: tuple[Columns, str], splits: Mapping[str, Samples], *, has_ids: bool
) -> dict[str, tuple[Columns, str]]:
    columns, where = table
    if columns and columns.keys() <= set(SPLITS):  # an array for each split
        return {split: ({"": values}, f"'{split}' of {where}") for split, values in columns.items()}
    if not has_ids:
        return {"train": table}
    # ids say which rows are about which split
    return dict.fromkeys(splits, table)


def _word_columns(source: Source) -> set[str]:
    """Return the names of the columns of words that are beside the inputs."""
    return {name for name, column in source.columns.items() if isinstance(column, Texts)} - set(source.input_names)


def _refuse_other_order(columns: Columns, source: Source, where: str) -> None:
    # a column that the data have too tells whether row i is about sample i
    for name in columns.keys() & (source.held.keys() | _word_columns(source)):
        theirs, column = columns[name], source.held.get(name)
        if column is None or column.exact is not None:
            own = read_own_ids(source, name)
        else:
            own = column.values.reshape(len(source), -1)[:, 0].tolist()
            # rounded alike
            theirs = theirs.astype(np.float32) if (theirs.dtype.kind, column.dtype) == ("f", "float32") else theirs
        pairs = zip(map(as_key, own), map(as_key, theirs.tolist()), strict=True)
        differ = [row for row, (ours, other) in enumerate(pairs) if ours and ours != other]
        if differ:
            raise DataError(
                f"{where} and '{source.name}' have a column '{name}', and {len(differ):,} rows differ in it, the first "
                f"is row {differ[0]}: so the rows have another order. Match them with --id-column {name} (id_column=) "
                "if it holds ids, or leave the column out of the file."
            )
