"""Sources whose samples are words, with a label each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from instar.analysis.entities import mark_entities
from instar.analysis.scores import UNLABELLED
from instar.config import DataConfig
from instar.data.columns.split_texts import SPLIT_TEXT, SplitTexts
from instar.data.labels import LABEL_NAMES, map_labels
from instar.data.opening import join_names
from instar.data.source import Source
from instar.errors import DataError
from instar.tasks.classification import Classification
from instar.tasks.entities import Entities

if TYPE_CHECKING:
    import datasets

WORD_NAMES = ("tokens", "words")
"""Names of columns of words, if there are several columns of lists of strings."""

TAG_NAMES = ("ner_tags", "tags", *LABEL_NAMES)
"""Names of columns with a label for each word, if `label_column` names no other."""

IGNORED = -100
"""Number that libraries of this field write where a word has no label."""


def choose_word_columns(rows: datasets.Dataset, config: DataConfig) -> tuple[str, str] | None:
    """Return the column of words, and the column with a label for each of them; None for other data.

    Raises:
        DataError: when several columns may be the labels.
    """
    features, name = rows.features, config.source
    lists = {column: getattr(feature, "feature", None) for column, feature in features.items()}
    words = [column for column, inner in lists.items() if getattr(inner, "dtype", "") in ("string", "large_string")]
    if config.input_columns or not words:
        return None
    if config.label_column is not None:
        labels = [config.label_column] if lists.get(config.label_column) is not None else []
    else:
        named = [column for column, inner in lists.items() if hasattr(inner, "names")]
        labels = [column for column in named or TAG_NAMES if lists.get(column) is not None]
    words = [column for column in words if column not in labels]
    if config.input_column is not None:
        words = [column for column in words if column == config.input_column]
    if len(words) > 1:
        words = [column for column in WORD_NAMES if column in words] or words
    if not labels or not words:
        return None
    if len(labels) > 1:
        raise DataError(
            f"data '{name}' has several columns with a label for each word ({join_names(labels)}); choose one with "
            "data.label_column."
        )
    return words[0], labels[0]


def read_labelled_words(
    splits: Mapping[str, datasets.Dataset], words: str, labels: str, config: DataConfig
) -> dict[str, Source]:
    """Return sources of the words in rows of files, with the label of each word.

    Rows without words are left out. A missing label, and one of -100 where classes have names, is none. Where some
    words of a sample have a label, the others have no loss.

    Raises:
        DataError: when a column is missing in a split, a row has other numbers of words and labels, or labels have
            several interpretations.
    """
    for split, rows in splits.items():
        if missing := [column for column in (words, labels) if column not in rows.features]:
            raise DataError(f"data '{config.source}' has no column '{missing[0]}' in {split}, and all splits need it.")
    given = {split: _read_rows(rows, words, labels, f"{config.source} ({split})") for split, rows in splits.items()}
    numbers, classes = _number_labels(splits, labels, {split: flat for split, (_, flat, _) in given.items()}, config)
    # of all splits, because a position has one number in all of them
    longest = max(len(row) for texts, *_ in given.values() for row in texts)
    found = {}
    for split, (texts, _, left_out) in given.items():
        name = f"{config.source} ({split})"
        told = f"words of column '{words}', labels of column '{labels}' for each word"
        told += f", without {left_out:,} rows that have no words" if left_out else ""
        found[split] = make_word_source(name, texts, numbers[split], classes, longest, told)
    return found


def make_word_source(
    name: str,
    texts: Sequence[Sequence[str]],
    labels: NDArray[np.int64],
    classes: tuple[str, ...],
    positions: int,
    reading: str = "",
) -> Source:
    """Return a source.

    Args:
        name: its name.
        texts: words of each sample.
        labels: class number of each word of all samples, `UNLABELLED` for missing labels, int64 `[words]`.
        classes: class names.
        positions: words that samples have room for.
        reading: how words and labels were read.

    >>> labels = np.array([1, 0, UNLABELLED])
    >>> source = make_word_source("two", [["EU", "rejects"], ["it"]], labels, ("O", "B-ORG"), 2)
    >>> source.labels.tolist(), source.lengths.tolist(), source.mask is None
    ([[1, 0], [-1, -1]], [2, 1], True)
    """
    lengths = torch.tensor([len(words) for words in texts])
    at = torch.arange(positions) < lengths[:, None]  # [samples, positions]
    padded = torch.full(at.shape, UNLABELLED)
    padded[at] = torch.from_numpy(labels)
    known = padded != UNLABELLED
    # whoever left out some labels meant that these words do not count; a sample without any is for soft targets
    has_loss = known | ~known.any(1, keepdim=True)
    return Source(
        name,
        torch.arange(len(texts)),
        padded,
        classes,
        lengths=lengths,
        columns={SPLIT_TEXT: SplitTexts.of(texts, name)},
        input_names=(SPLIT_TEXT,),
        mask=None if bool((has_loss | ~at).all()) else has_loss,
        is_bucketed=True,  # so that little is padded
        task=Entities() if mark_entities(classes) else Classification(),
        reading=reading,
    )


def _read_rows(rows: datasets.Dataset, words: str, labels: str, name: str) -> tuple[list[list[str]], list[Any], int]:
    texts, flat = [], []
    for at, (each, given) in enumerate(zip(rows[words], rows[labels], strict=True)):
        if not each:
            continue
        if any(word is None for word in each):
            raise DataError(f"row {at} of '{name}' has a missing word in column '{words}'; fill it, or leave it out.")
        tags = [None] * len(each) if given is None else list(given)
        if len(tags) != len(each):
            raise DataError(
                f"row {at} of '{name}' has {len(each)} words in '{words}' and {len(tags)} labels in '{labels}'; each "
                "word needs one, or null."
            )
        texts.append(list(each))
        flat += tags
    if not texts:
        raise DataError(f"all rows of '{name}' are without words in column '{words}'.")
    return texts, flat, len(rows) - len(texts)


def _number_labels(
    splits: Mapping[str, datasets.Dataset], column: str, flat: Mapping[str, list[Any]], config: DataConfig
) -> tuple[dict[str, NDArray[np.int64]], tuple[str, ...]]:
    names = {split: getattr(rows.features[column].feature, "names", None) for split, rows in splits.items()}
    own = names["train"]
    if other := next((split for split, given in names.items() if given != own), None):
        ours, theirs = (f"classes {join_names(one)}" if one else "no names" for one in (own, names[other]))
        raise DataError(
            f"label column '{column}' of '{config.source}' has {ours} in train and {theirs} in {other}; all splits "
            "must have the same, in one order."
        )
    if own is None:
        return map_labels(flat, config)
    missing = (None, UNLABELLED, IGNORED)
    if config.unlabelled is not None or config.classes:  # given by name
        return map_labels({s: [None if at in missing else own[at] for at in each] for s, each in flat.items()}, config)
    return {s: np.array([UNLABELLED if at in missing else at for at in each]) for s, each in flat.items()}, tuple(own)


def split_by_sample(values: Sequence[Any], counts: Sequence[int]) -> list[list[Any]]:
    """Return values of all words as a list for each sample.

    >>> split_by_sample("abc", [2, 1])
    [['a', 'b'], ['c']]
    """
    ends = np.cumsum([0, *counts]).tolist()
    return [list(values[start:end]) for start, end in pairwise(ends)]
