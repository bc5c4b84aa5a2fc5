"""`load_data`: loads a name, a folder or arrays as training, validation and test samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from instar.config import DataConfig, validate
from instar.data.any_source import ARRAYS_SOURCE, read_sources, split_off_test
from instar.data.columns.given import apply_columns
from instar.data.describe import describe_splits
from instar.data.from_function import call_source, names_a_function, refuse_untrusted, refuse_untrusted_transfer
from instar.data.masks import apply_masks
from instar.data.refused_settings import refuse_class_settings
from instar.data.sample_weights import apply_weights
from instar.data.samples import Samples
from instar.data.source import Source
from instar.data.special import select_special_classes
from instar.data.synthetic.transfer import add_transfer_rows, refuse_transfer_settings
from instar.errors import ConfigError, DataError

IMAGE_SETTINGS = ("image_size", "resize", "channels", "on_error")
"""Settings that say how images are decoded."""

_FILE_SETTINGS = (
    "input_column",
    "input_columns",
    "columns",
    "label_column",
    "leave_out",
    "column_types",
    "length",
    "stream",
    "tokenizer",
    "truncation",
    "packing",
    "states",
    "sample_rate",
    "test_where",
    "test",
)
_LABEL_SETTINGS = ("labels", "unlabelled", "classes")
_SOURCE_SETTINGS = frozenset(
    ["source", "source_arguments", "inputs", "layout", *_FILE_SETTINGS, *IMAGE_SETTINGS, *_LABEL_SETTINGS]
)
"""Settings that `Data.select` cannot change."""


@dataclass(frozen=True, eq=False)
class Data:
    """Training, validation and test samples.

    Args:
        config: settings of the data, which are written to the run folder.
        train: training samples, after selection.
        validation: validation samples, split off the training split or from a split of their own; None if
            `config.validation` is 0.
        test: test samples.
    """

    config: DataConfig
    train: Samples
    validation: Samples | None
    test: Samples

    def __repr__(self) -> str:
        return f"Data({self.describe()})"

    def describe(self) -> str:
        """Return the samples of each split, the classes, the shape of an input and how it was read, in one line.

        >>> load_data("digits").describe().split("; ")[:2]
        ["'digits': 1,080 train, 120 validation and 597 test samples", '10 classes (0, 1, 2, 3, 4, ..., 9)']
        """
        return describe_splits(self.config.source, self.splits)

    @property
    def splits(self) -> dict[str, Samples]:
        """The samples of each split that there is, by its name."""
        found = {"train": self.train, "validation": self.validation, "test": self.test}
        return {name: samples for name, samples in found.items() if samples is not None}

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes."""
        return self.train.source.classes

    @property
    def held_out(self) -> Samples | None:
        """Validation samples; None if `train_on_all` also trains on them, because a score would then mean nothing."""
        # a validation split of its own is never trained on
        inside = self.validation is not None and self.validation.source is self.train.source
        return None if inside and self.config.train_on_all else self.validation

    def fingerprints(self) -> dict[str, str]:
        """Return content hashes of the training and test sources."""
        return {"train": self.train.source.fingerprint(), "test": self.test.source.fingerprint()}

    def split(self, name: str) -> Samples:
        """Return a split by name.

        Raises:
            DataError: when there is no such split.
        """
        if name not in self.splits:
            raise DataError(
                f"split '{name}' does not exist; expected train, validation (if data.validation is above 0) or test."
            )
        return self.splits[name]

    def select(self, *, trust: bool = False, **changes: Any) -> Data:
        """Return the same data with another selection, for example `omit_classes=["3"]`.

        Args:
            trust: allow the import of a function that makes rows of `transfer`.
            changes: settings of `DataConfig`.

        Raises:
            ConfigError: when a setting is unknown, impossible, or belongs to the source.

        >>> digits = load_data("digits")
        >>> digits.select(omit_classes=["3"]).train.labels.unique().tolist()
        [0, 1, 2, 4, 5, 6, 7, 8, 9]
        """
        drawn = {"split_seed"} if self.config.test is not None else set()  # it has drawn the test set too
        fixed = sorted((_SOURCE_SETTINGS | drawn) & changes.keys())
        if fixed:
            raise ConfigError(f"'{fixed[0]}' is a setting of the source and cannot be changed; call load_data again.")
        config = validate(DataConfig, self.config.model_dump() | changes)
        refuse_untrusted_transfer(config, trust=trust or config.transfer == self.config.transfer)
        own = self.validation.source if self.validation and self.validation.source is not self.train.source else None
        train, test = self.train.source, self.test.source
        # from the sources before their classes were merged, which the new selection may need apart
        return _select(config, train.whole or train, own and (own.whole or own), test.whole or test)


def load_data(
    spec: str | Path | DataConfig | Any,
    *,
    mask: Any = None,
    weights: Any = None,
    columns: Mapping[str, Any] | Sequence[str] | None = None,
    trust: bool = False,
    **selection: Any,
) -> Data:
    """Load data by name or from Python objects, split off a validation set, and select training samples.

    Args:
        spec: `"digits"`; a Hugging Face Hub id; a local folder in the same layout; arrays (NumPy, torch) or tables
            (pandas, polars, PyArrow) as `(inputs, labels)` or `(train_inputs, train_labels, test_inputs, test_labels)`;
            or torch or Hugging Face data sets. Labels may be numbers, booleans or words, or None. Data without a test
            split are split 80 : 20 into train and test, and `{"train": ...}` alone as `test` says. Inputs may be
            several arrays by name, beside their labels:
            `{"train": {"input_ids": ..., "attention_mask": ..., "label": ...}, "test": ...}`. A network is then called
            with them by keyword. Rows of instructions for a language model are mappings with `prompt` and `completion`,
            or with `messages`. Objects are copied. `package.module:Name` is a function of yours that returns one of
            these, called with the setting `source_arguments`.
        mask: bool array per split as `{"train": ..., "test": ...}`, one value per sample or per label. Samples and
            positions where it is False are neither trained on, with labels or a teacher, nor evaluated.
        weights: how many samples each one counts as in an objective, per split as `{"train": ..., "test": ...}`, one
            number at least 0 per sample. Metrics count each sample once.
        columns: what samples have beside their inputs, by name: arrays per split as `{"train": ..., "test": ...}`, one
            row per sample; or the names of columns of files and data sets. A teacher whose reader names a column reads
            it instead of the inputs; a student never does.
        trust: allow the import of a function by its name.
        selection: settings of `DataConfig`: `validation`, `subset`, `omit_classes`, `drop_labels`, ...

    Raises:
        DataError: when the data cannot be found, read or interpreted, or have several interpretations.
        ConfigError: when a setting is unknown or impossible.

    >>> data = load_data("digits", validation=0.25)
    >>> len(data.train), len(data.validation), len(data.test), data.train.input_shape
    (900, 300, 597, (1, 8, 8))
    >>> load_data(([[0.5], [0.1], [0.7], [0.2], [0.9]], ["yes", "no", "yes", "no", "yes"]), validation=0).classes
    ('no', 'yes')
    """
    if isinstance(spec, Data):
        raise DataError("the data are already loaded; select other samples with data.select(...).")
    # by name, columns are those of files and data sets; otherwise they are arrays, or nothing that they can be
    are_names = isinstance(columns, list | tuple) and all(isinstance(name, str) for name in columns)
    given = None if are_names else columns
    selection |= {"columns": columns} if columns is not None and given is None else {}
    if isinstance(spec, DataConfig):
        config = validate(DataConfig, spec.model_dump() | selection)
    else:
        source = ARRAYS_SOURCE if not isinstance(spec, str | Path) else spec if isinstance(spec, str) else str(spec)
        config = validate(DataConfig, {"source": source} | selection)
    # before the split, because masks, weights and columns have the order of the samples
    sources = apply_columns(apply_masks(_load_sources(spec, config, trust=trust), mask), given)
    sources = apply_weights(sources, weights)
    if "test" not in sources:
        sources = split_off_test(sources["train"], config)
    return _select(config, sources["train"], sources.get("validation"), sources["test"])


def load_recorded_data(config: DataConfig, *, trust: bool = False) -> Data:
    """Load data with the settings of a run; arrays in files are read as the run read them.

    Args:
        config: settings of the data.
        trust: allow the import of a function that returns the data.

    Raises:
        DataError: when the data cannot be found, read or interpreted, or have several interpretations.
    """
    labels = {"labels": config.labels or "classes"}  # a run that was trained has no doubt about its labels
    sources = _load_sources(config, config.model_copy(update=labels), is_recorded=True, trust=trust)
    if "test" not in sources:
        sources = split_off_test(sources["train"], config)
    return _select(config, sources["train"], sources.get("validation"), sources["test"])


def _load_sources(
    spec: Any, config: DataConfig, *, is_recorded: bool = False, trust: bool = False
) -> dict[str, Source]:
    refuse_untrusted(config, trust=trust)
    if isinstance(spec, str | Path | DataConfig) and names_a_function(config.source):
        spec = call_source(config)
        if isinstance(spec, Data):  # with a mask or columns, say
            return _sources_of(spec, config, is_recorded=is_recorded)
        config = config.model_copy(update={"source": str(spec)}) if isinstance(spec, str | Path) else config
    return read_sources(spec, config, is_recorded=is_recorded)


def _sources_of(given: Data, config: DataConfig, *, is_recorded: bool) -> dict[str, Source]:
    # what the function has selected, and what it cannot read otherwise any more, would be lost without a word
    usual = DataConfig(source=config.source)
    for name in DataConfig.model_fields.keys() - {"source", "source_arguments"}:
        default, theirs, ours = (getattr(each, name) for each in (usual, given.config, config))
        if name not in _SOURCE_SETTINGS and theirs != default:
            raise DataError(f"data '{config.source}' are selected by '{name}' already; set data.{name} in its place.")
        if name in _SOURCE_SETTINGS and not is_recorded and ours not in (default, theirs):
            raise ConfigError(
                f"'{name}' has no effect on '{config.source}', which has loaded its data already; give it to load_data "
                "there."
            )
    splits = {name: samples.source for name, samples in given.splits.items()}
    if splits.get("validation") is splits["train"]:
        splits.pop("validation")
    return {name: source.whole or source for name, source in splits.items()}


def _select(config: DataConfig, train: Source, validation: Source | None, test: Source) -> Data:
    if validation and config.train_on_all:
        raise ConfigError("'train_on_all' needs a validation set split off train, but this source has its own.")
    refuse_transfer_settings(config)
    refuse_class_settings(config, train.task)
    # arrays in Python are given again, and read again, by whoever needs them
    is_given = config.source == ARRAYS_SOURCE
    settings = {name: value for name, value in train.settings.items() if not is_given or name in IMAGE_SETTINGS}
    config = config.model_copy(update=settings)
    samples, seed = Samples.all_of(train), config.split_seed
    held_out = Samples.all_of(validation) if validation else None
    # split off first, so that every selection of training samples is judged on the same validation samples
    if validation is None and config.validation > 0:
        if round(config.validation * len(samples)) == 0:
            raise DataError(
                f"a share of {config.validation:g} of the {len(samples)} training samples of '{train.name}' is no "
                "sample; set data.validation to a larger share, or to 0."
            )
        rest, held_out = samples.split(config.validation, seed, stratified=config.stratified)
        samples = samples if config.train_on_all else rest
    if config.omit_classes:
        samples = samples.omit_classes(list(config.omit_classes))
    if config.keep_classes:
        samples = samples.keep_classes(list(config.keep_classes))
    if config.subset is not None:
        samples = samples.subset(config.subset, seed, stratified=config.stratified)
    samples = samples.keep_fraction(config.keep_fraction, seed, stratified=config.stratified)
    if config.drop_labels > 0:  # last, so that it is a share of the samples that are trained on
        samples = samples.drop_labels(config.drop_labels, seed)
    if train.mask is not None and not any(_has_loss(part) for part in samples.parts()):
        raise DataError(f"no training sample of '{train.name}' has a loss; the mask leaves none after the selection.")
    judged = Samples.all_of(test)
    if config.transfer is not None:
        samples, held_out = add_transfer_rows(config, samples, held_out)
    if config.special_classes:
        samples, held_out, judged = select_special_classes(config, samples, held_out, judged)
    return Data(config, samples.balance() if config.balanced else samples, held_out, judged)


def _has_loss(samples: Samples) -> bool:
    has_loss = samples.source.valid(samples.ids)  # [n] or [n, position]
    return has_loss is None or bool(has_loss.any())
