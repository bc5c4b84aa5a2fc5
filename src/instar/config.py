"""Everything that decides what a run does, as frozen values that round-trip through a run folder.

Unknown keys are errors that name the nearest known one. Nothing here holds paths of outputs, devices or tensors: the
same configuration and the same data are the same run.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, Self, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator, model_validator

from instar.checks import Count, NonNegative, Positive, Seed, Temperature
from instar.compute.precision import Precision
from instar.errors import ConfigError, nearest
from instar.paths import local_path
from instar.values import MAX_LEVELS, count_values, from_yaml

MAX_FILE_BYTES = 1 << 20
"""Of a configuration file; more is none."""


class Config(BaseModel):
    """A frozen set of settings; unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _a_number_is_no_truth_value(cls, value: Any, info: ValidationInfo) -> Any:
        # YAML reads `yes` and `on` as true, and true would be 1
        kind = str(cls.model_fields[str(info.field_name)].annotation)
        if (
            isinstance(value, bool) or (isinstance(value, list | tuple) and any(isinstance(v, bool) for v in value))
        ) and ("bool" not in kind and "Any" not in kind):
            raise ValueError(f"a truth value is not allowed here, got {value}")
        return value


class DataConfig(Config):
    """Which samples a run learns from."""

    source: str = Field(description='"digits", a Hugging Face Hub id, a local folder in the Hub layout, or "arrays"')
    input_column: str | None = Field(None, description="column of the inputs, where it is ambiguous")
    label_column: str | None = Field(None, description="column of the labels, where it is ambiguous")
    image_size: tuple[Count, Count] | None = Field(None, description="resize images to (height, width)")
    inputs: Literal["pixels", "numbers", "tokens"] | None = Field(
        None, description="what arrays of inputs hold, where several readings are possible: pixels, numbers or tokens"
    )
    layout: Literal["CHW", "HWC", "HW"] | None = Field(
        None, description="axes of images in arrays: CHW (channels, height, width), HWC, or HW without channels"
    )
    labels: Literal["classes"] | None = Field(
        None, description="classes: each distinct label is a class, where another reading is possible"
    )
    unlabelled: int | str | None = Field(None, description="the label that stands for no label, such as -1 or -100")
    classes: tuple[str, ...] = Field(
        (), description="names of all classes in order, for labels that do not show all of them"
    )
    length: Count = Field(35, description="positions of a window of text")
    stream: bool = Field(
        True, description="read text in order, so that a recurrent network goes on from window to window; else shuffled"
    )
    tokenizer: str | None = Field(
        None, description="folder or Hub id of a Transformers tokenizer; none: the words of the train split"
    )
    states: Count = Field(3, le=1000, description="classes of a recorded word: its equal parts, one after the other")
    test_where: str | None = Field(
        None, description="column=value: the rows that have it, of all splits, are the test set, and in no other"
    )
    validation: float = Field(0.1, ge=0, lt=1, description="share of train that is set aside for choices")
    split_seed: Seed = Field(0, description="seed of the validation split and of every random selection of samples")
    train_on_all: bool = Field(False, description="train on train and validation together, for a final number")
    subset: Count | None = Field(None, description="keep this many random training samples")
    keep_fraction: float = Field(1.0, gt=0, le=1, description="keep this share of the training samples")
    omit_classes: tuple[str, ...] = Field((), description="leave these classes out of the training samples")
    keep_classes: tuple[str, ...] = Field((), description="leave all other classes out of the training samples")
    drop_labels: float = Field(0.0, ge=0, le=1, description="share of training samples whose label is hidden")
    special_classes: tuple[str, ...] = Field(
        (), description="half of every epoch is of these classes, and half is drawn from all others, the rest"
    )
    rest: Literal["labelled", "dustbin", "unlabelled"] = Field(
        "labelled", description="beside special classes, the rest keeps its labels, is one class more, or has no labels"
    )

    @model_validator(mode="after")
    def _test_where_names_a_column_and_a_value(self) -> Self:
        if self.test_where is not None and not all(self.test_where.partition("=")):
            raise ValueError(f"test_where must have the form column=value, got '{self.test_where}'")
        return self

    @model_validator(mode="after")
    def _a_rest_is_beside_something(self) -> Self:
        if self.rest != "labelled" and not self.special_classes:
            raise ValueError(f"rest '{self.rest}' needs special_classes, got none")
        return self


class ModelConfig(Config):
    """Which network, with which arguments."""

    name: str = Field(
        description="a family of instar.models (mlp, cnn, resnet, wide-resnet, preact-resnet, densenet, ban-resnet, "
        "lstm, character-lstm, frame-net), transformers:FOLDER or a Hub id, or package.module:Class"
    )
    arguments: dict[str, Any] = Field(default_factory=dict, description="keyword arguments of its constructor")

    @field_validator("arguments", mode="before")
    @classmethod
    def _arguments_can_be_kept(cls, arguments: Any) -> Any:
        count_values(arguments)  # they are written as JSON, and read again
        return arguments


class TrainingConfig(Config):
    """How a model is fitted. Defaults suit small images; change them by `--set training.name=value`."""

    epochs: Count = Field(30, le=1_000_000, description="passes over the training samples")
    batch_size: Count = Field(128, description="the most samples in a batch")
    micro_batches: Count = Field(1, description="split each batch in this many parts (gradient accumulation)")
    optimiser: Literal["sgd", "adamw"] = Field("adamw", description="sgd or adamw")
    learning_rate: Positive = Field(1e-3, description="the peak rate")
    momentum: float = Field(0.9, ge=0, lt=1, description="of sgd, with Nesterov's correction when above 0")
    weight_decay: NonNegative = Field(0.0, description="of all weights; decoupled for adamw")
    schedule: Literal["constant", "step", "cosine", "linear", "plateau"] = Field(
        "cosine", description="of the learning rate: constant, step, cosine, linear or plateau"
    )
    warmup_epochs: NonNegative = Field(0.0, description="rise linearly to the peak rate over this many epochs")
    milestones: tuple[NonNegative, ...] = Field((), description="epochs at which `step` multiplies the rate by factor")
    factor: Positive = Field(0.1, description="of the `step` and `plateau` schedules")
    least_fall: NonNegative = Field(
        0.0,
        description="`plateau` lowers the rate after a validation whose perplexity is not this far below the best",
    )
    gradient_clip: Positive | None = Field(None, description="largest norm of the whole gradient")
    max_norm: Positive | None = Field(None, description="largest norm of the incoming weights of a unit")
    ema: float = Field(0.0, ge=0, lt=1, description="decay of the average of the weights that is kept; 0 keeps none")
    precision: Precision = Field("float32", description="arithmetic of the student: float32, float32-fast, bfloat16")
    teacher_precision: Precision = Field("float32", description="arithmetic of the teacher")
    memory_format: Literal["auto", "contiguous", "channels_last"] = Field(
        "auto", description="auto: channels_last for networks with convolutions"
    )
    compile: bool = Field(False, description="compile the network (torch.compile): pays after some ten epochs on a GPU")
    patience: int = Field(
        0,
        ge=0,
        description="end after this many validations without a lower NLL, with the weights of the lowest, of which the "
        "initial ones may be; 0 never does",
    )
    evaluate_every: Count = Field(1, description="epochs between validations")
    checkpoint_seconds: NonNegative = Field(20.0, description="seconds between checkpoints")
    log_every: Count = Field(50, description="steps between lines of metrics.jsonl")
    gradients_every: int = Field(
        0, ge=0, description="steps between measurements of the two terms of the gradient; 0 measures none"
    )

    @model_validator(mode="after")
    def _micro_batches_fit(self) -> Self:
        if self.micro_batches > self.batch_size:
            raise ValueError(f"micro_batches must be at most batch_size ({self.batch_size}), got {self.micro_batches}")
        return self

    @model_validator(mode="after")
    def _gradients_are_measured_uncompiled(self) -> Self:
        # compiled code writes over what it kept for its backward pass, and measuring takes two more
        if self.gradients_every and self.compile:
            raise ValueError("gradients_every needs compile to be false, got compile true")
        return self


class StoreConfig(Config):
    """What is kept of a teacher's answers, and where."""

    folder: str | None = Field(None, description="folder of target stores, or one itself; none: in the run folder")
    keep: str = Field("all", description="classes that are kept: all, top:K or sample:N")
    dtype: Literal["float32", "float16", "bfloat16"] = Field("float16", description="of what is kept")
    temperature: Temperature | None = Field(
        None, description="at which the answers are kept, where they cannot hold at any; none: that of the objective"
    )
    seed: Seed = Field(0, description="of the classes that are drawn")


class RunConfig(Config):
    """One run: data, model, teacher, objective, views and training."""

    data: DataConfig
    model: ModelConfig
    start: str | None = Field(
        None, description="run folder whose weights are the initial ones; its last layer is fitted to the classes"
    )
    teachers: tuple[str, ...] = Field((), description="run folders, or names of teachers given as Python objects")
    combine: Literal["geometric", "arithmetic"] = Field("geometric", description="how several teachers are averaged")
    objective: str = Field("HardLabels()", description="weighted sum of terms")
    views: str = Field("Identity()", description="augmentation of the training samples")
    num_views: Count | None = Field(None, description="views per sample, used in turn; none: a new one each epoch")
    view_seed: Seed | None = Field(None, description="seed of the views; none: that of the run")
    targets: Literal["online", "memory", "store"] = Field(
        "online",
        description="ask the teacher at each step; or once per (sample, view) before the first, and keep its answers "
        "in memory, or on disk in a target store",
    )
    store: StoreConfig = Field(default_factory=StoreConfig)
    training: TrainingConfig = Field(default_factory=TrainingConfig)
    correct_prior: bool = Field(
        False, description="give special classes their share of the training samples back, once the model is trained"
    )
    judge_test: bool = Field(
        True, description="judge the model on the test split at its end; false: on validation alone, as a trial is"
    )
    seed: Seed = Field(0, description="of initial weights, order, dropout and views")

    @model_validator(mode="after")
    def _kept_views_are_finite(self) -> Self:
        if self.targets != "online" and self.views != "Identity()" and self.num_views is None:
            raise ValueError(
                f"targets '{self.targets}' needs num_views when views augment; endless views cannot be kept, "
                "got num_views none"
            )
        return self

    @model_validator(mode="after")
    def _a_store_is_asked_for(self) -> Self:
        if self.correct_prior and not self.data.special_classes:
            raise ValueError("correct_prior needs data.special_classes, got none")
        if self.targets != "store" and self.store != StoreConfig():
            raise ValueError(f"settings of a store need targets 'store', got '{self.targets}'")
        return self


def default_settings() -> dict[str, Any]:
    """Return the value of every setting that nobody has named, as JSON values.

    >>> default_settings()["training"]["epochs"]
    30
    """
    unnamed = RunConfig(data=DataConfig(source=""), model=ModelConfig(name=""))
    return unnamed.model_dump(mode="json")


C = TypeVar("C", bound=BaseModel)


def validate(kind: type[C], values: Mapping[str, Any]) -> C:
    """Make a `kind` from nested `values`.

    Raises:
        ConfigError: one sentence with the field, what was expected and what was found.

    >>> validate(TrainingConfig, {"epocs": 3})
    Traceback (most recent call last):
    instar.errors.ConfigError: 'epocs' is not a setting; did you mean 'epochs'?
    """
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        owner = _owner(kind, first["loc"][:-1])
        raise ConfigError(f"'{where}' is not a setting; {nearest(str(first['loc'][-1]), owner.model_fields)}")
    if first["type"] == "missing":
        raise ConfigError(f"'{where}' is needed, and was not given.")
    message = first["msg"].removeprefix("Value error, ")
    if first["type"] == "value_error":  # a sentence of our own, which names the fields and values it is about
        raise ConfigError(f"'{where}': {message}." if where else f"{message}.")
    if not where:
        raise ConfigError(f"{message}.")
    raise ConfigError(f"'{where}': {message[0].lower()}{message[1:]}, got {first['input']!r}.")


def _owner(kind: type[BaseModel], path: tuple[int | str, ...]) -> type[BaseModel]:
    """Return the configuration class that lies at `path` inside `kind`."""
    for name in map(str, path):
        if name in kind.model_fields:  # others are a number in a list, or a key of a dictionary
            kind = next(_configs_in(kind.model_fields[name].annotation), kind)
    return kind


def _configs_in(annotation: Any) -> Iterator[type[Config]]:
    """Yield the configuration classes that an annotation names, however deep."""
    if isinstance(annotation, type) and issubclass(annotation, Config):
        yield annotation
    for part in get_args(annotation):
        yield from _configs_in(part)


def read_yaml(path: str | Path) -> dict[str, Any]:
    """Read a configuration file.

    Raises:
        ConfigError: when the file is missing, too large, no YAML, or not a mapping.
    """
    path = local_path(path, "config")
    try:
        with path.open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
        if len(content) > MAX_FILE_BYTES:
            raise ValueError(f"it has more than {MAX_FILE_BYTES >> 20} MiB")
        values = from_yaml(content.decode())
    except OSError as error:
        raise ConfigError(f"the configuration file '{path}' cannot be read: {error.strerror}.") from None
    except ValueError as error:
        raise ConfigError(f"the configuration file '{path}' is not YAML: {error}.") from None
    if not isinstance(values, dict):
        raise ConfigError(f"the configuration file '{path}' must hold keys and values, got {type(values).__name__}.")
    return values


def parse_assignment(text: str) -> tuple[list[str], Any]:
    """Split `a.b=value` into its path and its value, read as YAML.

    >>> parse_assignment("training.epochs=3")
    (['training', 'epochs'], 3)
    """
    key, separator, value = text.partition("=")
    if not separator or not all(key.split(".")) or key.count(".") > MAX_LEVELS:
        raise ConfigError(f"'{text}' must have the form name=value.")
    try:
        return key.split("."), from_yaml(value)
    except ValueError as error:
        raise ConfigError(f"the value of '{key}' cannot be read: {error}, got '{value}'.") from None


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Return `base` with the values of `over` laid on it, level by level.

    >>> merge({"a": {"b": 1, "c": 2}}, {"a": {"b": 3}})
    {'a': {'b': 3, 'c': 2}}
    """
    merged = dict(base)
    for key, value in over.items():
        below = merged.get(key)
        merged[key] = merge(below, value) if isinstance(below, Mapping) and isinstance(value, Mapping) else value
    return merged


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested values under dotted names.

    >>> flatten({"a": {"b": 1}, "c": 2})
    {'a.b': 1, 'c': 2}
    """
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Return in words where two nested settings differ; nothing where they do not.

    >>> differences({"a": {"b": 1, "c": 2}}, {"a": {"b": 1, "c": 3}})
    'a.c was 2, now 3'
    """
    was, found = flatten(before), flatten(now)
    keys = [key for key in sorted(was.keys() | found.keys()) if was.get(key) != found.get(key)]
    return "; ".join(f"{key} was {_short(was.get(key))}, now {_short(found.get(key))}" for key in keys)


def _short(value: Any, most: int = 200) -> str:
    text = repr(value)
    return text if len(text) <= most else f"{text[:most]}..."
