"""`load_data`: a name, a folder or arrays become train, validation and test samples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from instar.config import DataConfig, validate
from instar.data.digits import load_digits
from instar.data.hub import load_hub
from instar.data.samples import Samples, Source
from instar.errors import DataError

ARRAYS = "arrays"
"""The source name of data that was given as Python objects."""


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

        >>> digits = load_data("digits")
        >>> digits.select(omit_classes=["3"]).train.labels.unique().tolist()
        [0, 1, 2, 4, 5, 6, 7, 8, 9]
        """
        config = validate(DataConfig, self.config.model_dump() | changes)
        own = self.validation.source if self.validation and self.validation.source is not self.train.source else None
        return _select(config, self.train.source, own, self.test.source)


def load_data(spec: str | Sequence[Any] | DataConfig, **selection: Any) -> Data:
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
        config = spec
    else:
        source = spec if isinstance(spec, str) else ARRAYS
        config = validate(DataConfig, {"source": source} | selection)
    if not isinstance(spec, str | DataConfig):
        train, validation, test = _from_arrays(spec, config.split_seed)
    elif config.source == ARRAYS:
        raise DataError("the run was made from arrays; give the data again, as data=load_data((inputs, labels)).")
    elif config.source == "digits":
        train, validation, test = load_digits()
    else:
        train, validation, test = load_hub(config.source, config.input_column, config.label_column, config.image_size)
    return _select(config, train, validation, test)


def _select(config: DataConfig, train: Source, validation: Source | None, test: Source) -> Data:
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
    return Data(config, samples, held_out, Samples.all_of(test))


def _from_arrays(arrays: Sequence[Any], seed: int) -> tuple[Source, None, Source]:
    if len(arrays) not in (2, 4):
        raise DataError(
            "arrays must be (inputs, labels) or (train_inputs, train_labels, test_inputs, test_labels), "
            f"got {len(arrays)} of them."
        )
    tensors = [torch.as_tensor(np.asarray(a) if not isinstance(a, torch.Tensor) else a) for a in arrays]
    tensors = [t.long() if i % 2 else (t if t.dtype == torch.uint8 else t.float()) for i, t in enumerate(tensors)]
    classes = tuple(str(c) for c in range(int(max(int(labels.max()) for labels in tensors[1::2])) + 1))
    if len(tensors) == 4:
        return Source("train arrays", *tensors[:2], classes), None, Source("test arrays", *tensors[2:], classes)
    whole = Samples.all_of(Source("arrays", *tensors, classes))
    train, test = whole.split(0.2, seed)
    return (
        Source("train arrays", train.inputs(), train.labels, classes),
        None,
        Source("test arrays", test.inputs(), test.labels, classes),
    )
