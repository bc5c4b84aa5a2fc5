"""`load_data`: a name, a folder or arrays become train, validation and test samples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from instar.config import DataConfig, validate
from instar.data.digits import load_digits
from instar.data.hub import load_hub
from instar.data.samples import Samples, Source
from instar.data.special import of_special_classes
from instar.errors import ConfigError, DataError

ARRAYS = "arrays"
"""The source name of data that was given as Python objects."""

_OF_THE_SOURCE = frozenset(
    ["source", "input_column", "label_column", "image_size", "length", "stream", "tokenizer", "states", "test_where"]
)
"""Fields that no selection can change."""


@dataclass(frozen=True, eq=False)
class Data:
    """What a run learns from, chooses by, and is judged on.

    Args:
        config: how it was selected; round-trips through the run folder.
        train: the samples to learn from, after selection.
        validation: the samples for choices, set aside from the source's train split, or its own; none when share is 0.
        test: the samples for the final number.
    """

    config: DataConfig
    train: Samples
    validation: Samples | None
    test: Samples

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes."""
        return self.train.source.classes

    @property
    def held_out(self) -> Samples | None:
        """The validation samples, unless `train_on_all` put them into train, where a score would mean nothing."""
        inside = self.validation is not None and self.validation.source is self.train.source
        return None if inside and self.config.train_on_all else self.validation

    def fingerprints(self) -> dict[str, str]:
        """Return the content hashes of the sources of train and test."""
        return {"train": self.train.source.fingerprint(), "test": self.test.source.fingerprint()}

    def split(self, name: str) -> Samples:
        """Return a split by name.

        Raises:
            DataError: when there is no such split.
        """
        found = {"train": self.train, "validation": self.validation, "test": self.test}.get(name)
        if found is None:
            raise DataError(
                f"split '{name}' is not there; known are: train, validation (when its share is above 0), test."
            )
        return found

    def select(self, **changes: Any) -> Data:
        """Return the same data under another selection, for example `omit_classes=["3"]`.

        Raises:
            ConfigError: for an unknown or impossible selection, or a change of the source itself.

        >>> digits = load_data("digits")
        >>> digits.select(omit_classes=["3"]).train.labels.unique().tolist()
        [0, 1, 2, 4, 5, 6, 7, 8, 9]
        """
        fixed = sorted(_OF_THE_SOURCE & changes.keys())
        if fixed:
            raise ConfigError(f"'{fixed[0]}' belongs to the source and cannot be selected; call load_data again.")
        config = validate(DataConfig, self.config.model_dump() | changes)
        own = self.validation.source if self.validation and self.validation.source is not self.train.source else None
        train, test = self.train.source, self.test.source
        return _select(config, train.whole or train, own and (own.whole or own), test.whole or test)


def load_data(spec: str | Path | Sequence[Any] | DataConfig, **selection: Any) -> Data:
    """Load data by name or from arrays, split off a validation set, and select.

    Args:
        spec: `"digits"`; a Hugging Face Hub id; a local folder in the same layout; or arrays, as
            `(inputs, labels)` or `(train_inputs, train_labels, test_inputs, test_labels)`, NumPy or torch. Two arrays
            are split 80 : 20 into train and test.
        selection: fields of `DataConfig`: `validation`, `subset`, `omit_classes`, `drop_labels`, ...

    Raises:
        DataError: when the data cannot be found, read or understood.
        ConfigError: for an unknown or impossible selection.

    >>> data = load_data("digits", validation=0.25)
    >>> len(data.train), len(data.validation), len(data.test), data.train.input_shape
    (900, 300, 597, (1, 8, 8))
    """
    if isinstance(spec, DataConfig):
        config = validate(DataConfig, spec.model_dump() | selection)
    else:
        source = str(spec) if isinstance(spec, str | Path) else ARRAYS
        config = validate(DataConfig, {"source": source} | selection)
    if config.test_where is not None and config.source in (ARRAYS, "digits"):
        raise ConfigError(f"'test_where' needs data with columns; the source '{config.source}' has none.")
    if not isinstance(spec, str | Path | DataConfig):
        train, validation, test = _from_arrays(spec, config.split_seed)
    elif config.source == ARRAYS:
        raise DataError("the run was made from arrays; give the data again, as data=load_data((inputs, labels)).")
    elif config.source == "digits":
        train, validation, test = load_digits()
    else:
        train, validation, test = load_hub(config)
    return _select(config, train, validation, test)


def _select(config: DataConfig, train: Source, validation: Source | None, test: Source) -> Data:
    if validation and config.train_on_all:
        raise ConfigError("'train_on_all' needs a validation set that is split off train; this source has its own.")
    samples, seed = Samples.all_of(train), config.split_seed
    held_out = Samples.all_of(validation) if validation else None
    if validation is None and config.validation > 0:
        rest, held_out = samples.split(config.validation, seed)
        samples = samples if config.train_on_all else rest
    if config.omit_classes:
        samples = samples.omit_classes(list(config.omit_classes))
    if config.keep_classes:
        samples = samples.keep_classes(list(config.keep_classes))
    if config.subset is not None:
        samples = samples.subset(config.subset, seed)
    samples = samples.keep_fraction(config.keep_fraction, seed)
    if config.drop_labels > 0:
        samples = samples.drop_labels(config.drop_labels, seed)
    judged = Samples.all_of(test)
    if config.special_classes:
        samples, held_out, judged = of_special_classes(config, samples, held_out, judged)
    return Data(config, samples, held_out, judged)


def _from_arrays(arrays: Sequence[Any], seed: int) -> tuple[Source, None, Source]:
    if len(arrays) not in (2, 4):
        raise DataError(
            "arrays must be (inputs, labels) or (train_inputs, train_labels, test_inputs, test_labels), "
            f"got {len(arrays)} of them."
        )
    given = [_tensor(array) for array in arrays[::2]]
    inputs = [t if t.dtype == torch.uint8 else t.float() for t in given]
    exact = [_where_rounded(t, rounded) for t, rounded in zip(given, inputs, strict=True)]
    labels = [_labels(_tensor(array)) for array in arrays[1::2]]
    classes = tuple(str(c) for c in range(max(int(t.max()) for t in labels) + 1))
    if len(arrays) == 4:
        train_arrays, test_arrays = zip(inputs, labels, strict=True)
        return (
            Source("train arrays", *train_arrays, classes, given=exact[0]),
            None,
            Source("test arrays", *test_arrays, classes, given=exact[1]),
        )
    train, test = Samples.all_of(Source("arrays", inputs[0], labels[0], classes)).split(0.2, seed)
    of_train, of_test = (None if exact[0] is None else exact[0][part.ids] for part in (train, test))
    return (
        Source("train arrays", train.inputs(), train.labels, classes, given=of_train),
        None,
        Source("test arrays", test.inputs(), test.labels, classes, given=of_test),
    )


def _where_rounded(given: Tensor, held: Tensor) -> Tensor | None:
    """Return a copy of inputs as they were given, where holding them has rounded them; none where both are equal."""
    exact = given.dtype == held.dtype or torch.equal(held.to(given.dtype), given)
    return None if exact else given.clone()


def _tensor(array: Any) -> Tensor:
    if isinstance(array, Tensor):
        return array
    try:
        return torch.as_tensor(np.asarray(array))
    except (TypeError, ValueError) as error:  # words, or rows of different lengths
        raise DataError(f"arrays must hold numbers: {error}.") from None


def _labels(found: Tensor) -> Tensor:
    labels = found.long()
    if labels.dim() != 1 or len(labels) == 0 or not torch.equal(labels.to(found.dtype), found):
        raise DataError(
            f"labels must be one whole number per sample, got an array of {found.dtype} and shape {list(found.shape)}."
        )
    return labels
