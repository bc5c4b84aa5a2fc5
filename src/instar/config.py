"""The settings of a run: frozen values that are written to the run folder and read back unchanged.

An unknown key is an error that suggests the nearest known key. Settings hold no output paths, devices or tensors, so
the same configuration with the same data is the same run.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import (
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidatorFunctionWrapHandler,
    field_validator,
    model_validator,
)

from instar.checks import Count, Natural, NonNegative, Positive, Seed, Temperature
from instar.compute.precision import Precision
from instar.config_base import Config as Config  # noqa: PLC0414 (imported from here)
from instar.config_errors import validate as validate  # noqa: PLC0414 (imported from here)
from instar.importing import TypedName
from instar.values import count_values

Resize = Literal["crop", "squash", "letterbox"]
"""How an image gets another aspect ratio; see `instar.data.image_form.ImageForm`."""

# one branch is checked, so that an error is about what was meant; tags in brackets are left out of its sentence
ImageSize = Annotated[
    Annotated[Count, Tag("(number)")] | Annotated[tuple[Count, Count], Tag("(pair)")],
    Discriminator(lambda value: "(number)" if isinstance(value, int | float | str) else "(pair)"),
]
"""One number for height and width, or (height, width)."""


START_FROM_TEACHER = "teacher"
"""Value of `start` for initial weights from layers of the teacher."""


class DataConfig(Config):
    """The data set of a run, and which of its samples the student learns from."""

    # a class may be called 3
    model_config = ConfigDict(coerce_numbers_to_str=True)

    source: str = Field(
        description='"digits", a Hugging Face Hub id, a local folder in the Hub layout, a CSV, JSON or Parquet file, '
        'package.module:function, or "arrays"'
    )
    source_arguments: dict[str, Any] = Field(
        default_factory=dict, description="keyword arguments of a source package.module:function"
    )
    input_column: str | None = Field(None, description="column of the inputs; needed only if it is ambiguous")
    input_columns: tuple[str, ...] = Field(
        (),
        description="columns of numbers, or of lists of numbers, that a network is called with by keyword; or two "
        "columns of texts that are pairs",
    )
    label_column: str | None = Field(None, description="column of the labels; needed only if it is ambiguous")
    columns: tuple[str, ...] = Field(
        (), description="columns of numbers, lists of numbers or texts beside the inputs, which only a teacher may read"
    )
    leave_out: tuple[str, ...] = Field(
        (), description="columns of a table that are no inputs, such as ids, and what is known only after the label"
    )
    column_types: dict[str, Literal["number", "word", "boolean", "date"]] = Field(
        default_factory=dict, description="types of columns of a table; needed only if they are ambiguous"
    )
    image_size: ImageSize | None = Field(
        None,
        description="size of images: one number, or (height, width); none: their own, or one for all if sizes differ",
    )
    resize: Resize | None = Field(
        None,
        description="crop: resize the shorter side, and crop the centre; squash: change the aspect ratio; letterbox: "
        "resize the longer side, and fill up with black; none: crop to a number, squash to a pair",
    )
    channels: Literal[1, 3] | None = Field(
        None, description="1: grey images; 3: RGB images; none: RGB if any image has colour"
    )
    on_error: Literal["refuse", "skip"] = Field(
        "refuse",
        description="refuse data with images or recordings that cannot be decoded, or with instructions that have no "
        "completion or are too long; or skip those and count them",
    )
    inputs: Literal["pixels", "numbers", "tokens"] | None = Field(
        None, description="meaning of input arrays: pixels, numbers or tokens; needed only if it is ambiguous"
    )
    layout: Literal["CHW", "HWC", "HW"] | None = Field(
        None, description="axes of image arrays: CHW (channels, height, width), HWC, or HW (no channels)"
    )
    labels: Literal["classes", "numbers"] | None = Field(
        None,
        description="classes: each distinct label is a class; numbers: labels are quantities (regression), which a "
        "model predicts in their own unit; needed only if the labels are ambiguous",
    )
    unlabelled: int | str | None = Field(None, description="the label that marks an unlabelled sample, such as -1")
    classes: tuple[str, ...] = Field(
        (),
        description="names of all classes, in order; needed only if the labels do not contain every class, or to name "
        "the labels 0, 1, ...",
    )
    length: Count = Field(35, description="tokens per window of text")
    stream: bool = Field(
        True, description="read text in order and carry a recurrent network's state between windows; false: shuffle"
    )
    tokenizer: str | None = Field(
        None, description="folder or Hub id of a Transformers tokenizer; none: the words of the training split"
    )
    truncation: Literal["refuse", "left", "right"] = Field(
        "refuse",
        description="instructions longer than `length`: refuse them, or cut the beginning of prompts (left) or the end "
        "of completions (right)",
    )
    packing: bool = Field(
        False, description="put several instructions into a window of `length` tokens, without attention between them"
    )
    states: Natural = Field(
        3, le=1000, description="classes per recorded word: the word is cut into equal parts; 0: a class per recording"
    )
    sample_rate: Count | None = Field(
        None,
        ge=4000,
        description="sampling rate in Hz that recordings are resampled to; none: their own",
    )
    test_where: str | None = Field(
        None, description="column=value: use the rows with this value, from all splits, only as the test set"
    )
    test: float | None = Field(
        None, gt=0, lt=1, description="share of each class of train to draw as the test set, if there is no test split"
    )
    validation: float = Field(0.1, ge=0, lt=1, description="share of the training split held out for validation")
    split_seed: Seed = Field(0, description="seed of the validation split and of random selections of samples")
    train_on_all: bool = Field(False, description="train on the validation samples too, for a final result")
    subset: Count | None = Field(None, description="number of training samples to keep, chosen at random")
    keep_fraction: float = Field(1.0, gt=0, le=1, description="share of the training samples to keep")
    omit_classes: tuple[str, ...] = Field((), description="classes to remove from the training samples")
    keep_classes: tuple[str, ...] = Field((), description="classes to keep in the training samples; remove all others")
    stratified: bool = Field(False, description="draw validation, test and subsets with the share of each class")
    balanced: bool = Field(False, description="draw each class equally often in each epoch; rare samples repeat")
    drop_labels: float = Field(0.0, ge=0, le=1, description="share of the training samples to train without labels")
    transfer: str | None = Field(
        None,
        description="rows without labels beside the training samples: munge, smearing, naive-bayes, marginals, a table "
        "of rows, or package.module:function",
    )
    transfer_rows: Count | None = Field(
        None, description="number of these rows; none: all of a table, or 10 times the training samples"
    )
    transfer_seed: Seed = Field(0, description="seed of the rows that `transfer` makes")
    transfer_alone: bool = Field(False, description="train on the rows of `transfer` in place of the training samples")
    special_classes: tuple[str, ...] = Field(
        (), description="draw half of each epoch from these classes, and half from all others (the rest)"
    )
    rest: Literal["labelled", "dustbin", "unlabelled"] = Field(
        "labelled", description="labels of the rest: their own, one common dustbin class, or none"
    )

    @field_validator("source", "transfer", mode="wrap")
    @classmethod
    def _keep_typed_names(cls, value: Any, handler: ValidatorFunctionWrapHandler) -> Any:
        found = handler(value)  # a plain text, of which nobody could tell whether it was typed
        return value if isinstance(value, TypedName) else found

    @field_validator("source_arguments", mode="before")
    @classmethod
    def _refuse_arguments_that_json_cannot_hold(cls, arguments: Any) -> Any:
        count_values(arguments)
        return arguments

    @model_validator(mode="after")
    def _require_column_and_value(self) -> Self:
        if self.test_where is not None and not all(self.test_where.partition("=")):
            raise ValueError(f"test_where must have the form column=value, got '{self.test_where}'")
        return self

    @model_validator(mode="after")
    def _refuse_columns_of_two_kinds(self) -> Self:
        if self.input_column is not None and self.input_columns:
            raise ValueError("input_column names one input and input_columns several; give one of the two")
        named = [*filter(None, (self.input_column, self.label_column)), *self.input_columns, *self.columns]
        if twice := next((name for name in (*self.input_columns, *self.columns) if named.count(name) > 1), None):
            raise ValueError(f"a column is an input, the label or beside them, and '{twice}' is named twice")
        return self

    @model_validator(mode="after")
    def _require_special_classes_for_the_rest(self) -> Self:
        if self.rest != "labelled" and not self.special_classes:
            raise ValueError(f"rest '{self.rest}' needs special_classes, got none")
        if self.balanced and self.special_classes:
            raise ValueError("balanced and special_classes both say how often classes are drawn; give one of the two")
        return self


class ModelConfig(Config):
    """The network and its arguments."""

    name: str = Field(
        description="a model family (mlp, cnn, resnet, wide-resnet, preact-resnet, densenet, ban-resnet, vgg, lstm, "
        "character-lstm, frame-net, linear, bag, text-lstm, text-transformer, tree, forest, boosting, "
        "estimator, nearest), transformers:FOLDER_OR_HUB_ID, timm:NAME, or package.module:Class"
    )
    arguments: dict[str, Any] = Field(default_factory=dict, description="keyword arguments of the model")

    @field_validator("arguments", mode="before")
    @classmethod
    def _refuse_arguments_that_json_cannot_hold(cls, arguments: Any) -> Any:
        count_values(arguments)
        return arguments


class TrainingConfig(Config):
    """How a network is trained. The defaults suit small images; change them with `--set training.NAME=VALUE`."""

    epochs: Count = Field(30, le=1_000_000, description="passes over the training samples")
    batch_size: Count = Field(128, description="samples per batch")
    micro_batches: Count = Field(1, description="number of parts that each batch is split into (gradient accumulation)")
    optimiser: Literal["sgd", "adamw"] = Field("adamw", description="sgd or adamw")
    learning_rate: Positive = Field(1e-3, description="peak learning rate")
    momentum: float = Field(0.9, ge=0, lt=1, description="momentum of sgd; Nesterov momentum when above 0")
    weight_decay: NonNegative = Field(0.0, description="weight decay of all weights; decoupled for adamw")
    schedule: Literal["constant", "step", "cosine", "linear", "plateau"] = Field(
        "cosine", description="learning rate schedule: constant, step, cosine, linear or plateau"
    )
    warmup_epochs: NonNegative = Field(0.0, description="epochs of linear warm-up to the peak learning rate")
    milestones: tuple[NonNegative, ...] = Field(
        (), description="epochs at which `step` multiplies the learning rate by factor"
    )
    factor: Positive = Field(0.1, description="factor by which `step` and `plateau` multiply the learning rate")
    least_fall: NonNegative = Field(
        0.0,
        description="`plateau` lowers the learning rate unless validation perplexity falls this far below the best",
    )
    gradient_clip: Positive | None = Field(None, description="largest norm of the gradient of all weights")
    max_norm: Positive | None = Field(None, description="largest norm of a unit's incoming weights")
    ema: float = Field(0.0, ge=0, lt=1, description="decay of the moving average of the weights; 0: no average")
    precision: Precision = Field("float32", description="arithmetic of the student: float32, float32-fast, bfloat16")
    teacher_precision: Precision = Field(
        "float32", description="arithmetic of the teacher: float32, float32-fast, bfloat16"
    )
    memory_format: Literal["auto", "contiguous", "channels_last"] = Field(
        "auto", description="memory layout of images; auto: channels_last for networks with convolutions"
    )
    compile: bool = Field(
        False, description="compile the network (torch.compile); pays off after about ten epochs on a GPU"
    )
    patience: int = Field(
        0,
        ge=0,
        description="stop after this many validations without a lower NLL, and restore the best weights (possibly the "
        "initial ones); 0 turns this off",
    )
    evaluate_every: Count = Field(1, description="epochs between validations")
    checkpoint_seconds: NonNegative = Field(20.0, description="seconds between checkpoints")
    log_every: Count = Field(50, description="steps between lines of metrics.jsonl")
    gradients_every: int = Field(
        0, ge=0, description="steps between measurements of the gradient of each loss term; 0 turns this off"
    )

    @model_validator(mode="after")
    def _refuse_empty_micro_batches(self) -> Self:
        if self.micro_batches > self.batch_size:
            raise ValueError(f"micro_batches must be at most batch_size ({self.batch_size}), got {self.micro_batches}")
        return self

    @model_validator(mode="after")
    def _refuse_compiled_gradients(self) -> Self:
        # a measurement runs the backward pass twice more, and compiled code overwrites what the pass needs
        if self.gradients_every and self.compile:
            raise ValueError(f"gradients_every must be 0 when compile is true, got {self.gradients_every}")
        return self


class StoreConfig(Config):
    """The target store of a run: where it is, and what it keeps of the teacher's targets."""

    folder: str | None = Field(None, description="a target store, or a folder of several; none: in the run folder")
    keep: str = Field("all", description="classes to store per sample: all, top:K or sample:N")
    dtype: Literal["float32", "float16", "bfloat16"] = Field("float16", description="number type of stored values")
    temperature: Temperature | None = Field(
        None, description="temperature of stored probabilities (top:K and sample:N); none: that of the objective"
    )
    seed: Seed = Field(0, description="seed of the classes that sample:N draws")


class RunConfig(Config):
    """All settings of one run: data, model, teacher, objective, views and training."""

    data: DataConfig
    model: ModelConfig
    start: str | None = Field(
        None,
        description="run folder to take initial weights from, with the last layer fitted to the classes of this run; "
        "teacher: take them from layers of the teacher",
    )
    start_layers: dict[str, str | None] = Field(
        default_factory=dict,
        description="with start `teacher`: layers of the student, each with the layer of the teacher that it starts "
        "from, or null for new weights; other layers start from those of the same name",
    )
    teachers: tuple[str, ...] = Field(
        (), description="run folders, package.module:Name, or names of objects given in Python"
    )
    combine: Literal["geometric", "arithmetic"] = Field("geometric", description="how to average several teachers")
    objective: str = Field("HardLabels()", description="loss: a weighted sum of terms")
    views: str = Field("Identity()", description="augmentation of the training samples")
    num_views: Count | None = Field(None, description="views per sample, used in turn; none: a new view each epoch")
    view_seed: Seed | None = Field(None, description="seed of the views; none: the seed of the run")
    targets: Literal["online", "memory", "store"] = Field(
        "online",
        description="when to query the teacher: at each step (online), or once per view before training, with its "
        "targets kept in memory (memory) or on disk (store)",
    )
    store: StoreConfig = Field(default_factory=StoreConfig)
    training: TrainingConfig = Field(default_factory=TrainingConfig)
    reader: str = Field("AsIs()", description="how the model reads inputs, such as Pixels(32) to resize images")
    correct_prior: bool = Field(
        False,
        description="after training, shift the logits to the share that special or balanced classes have in the data",
    )
    judge_test: bool = Field(
        True, description="evaluate on the test split after training; false: only on validation, as in a tuning trial"
    )
    seed: Seed = Field(0, description="seed of initial weights, sample order, dropout and views")

    @model_validator(mode="after")
    def _refuse_to_keep_endless_views(self) -> Self:
        if self.targets != "online" and self.views != "Identity()" and self.num_views is None:
            raise ValueError(
                f"targets '{self.targets}' needs num_views when views augment, because endless views cannot be stored; "
                "got num_views none"
            )
        return self

    @property
    def start_folder(self) -> str | None:
        """The run folder to take initial weights from; None if there is none."""
        return None if self.start == START_FROM_TEACHER else self.start

    @model_validator(mode="after")
    def _refuse_settings_without_effect(self) -> Self:
        if self.start_layers and self.start != START_FROM_TEACHER:
            raise ValueError(f"start_layers needs start '{START_FROM_TEACHER}', got {self.start!r}")
        if self.correct_prior and not (self.data.special_classes or self.data.balanced):
            raise ValueError("correct_prior needs data.special_classes or data.balanced, got neither")
        if self.targets != "store" and self.store != StoreConfig():
            raise ValueError(f"the settings of store need targets 'store', got '{self.targets}'")
        return self


def default_settings() -> dict[str, Any]:
    """Return the default of every setting, as JSON values.

    >>> default_settings()["training"]["epochs"]
    30
    """
    unnamed = RunConfig(data=DataConfig(source=""), model=ModelConfig(name=""))  # the settings without a default
    return unnamed.model_dump(mode="json")
