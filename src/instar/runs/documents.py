"""Schemas of all JSON documents that Instar reads back, and the function that reads them.

Unknown keys are allowed, because newer versions may write them. A key with a default was not written by some older
version; reading it where it is missing raises an error (`Fields`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, field_validator, model_validator

from instar.config import validate
from instar.errors import MAX_VALUE_CHARACTERS, ConfigError, RunError, without_middle
from instar.runs.files import parse_json, unsealed

Fingerprint = str | list[str] | dict[str, str | None] | None
"""Hash of one thing, hashes of several, or by name; None: it was not taken."""

NonNegativeInteger = Annotated[int, Field(ge=0, lt=1 << 62)]
Proportion = Annotated[FiniteFloat, Field(ge=0, le=1)]
Ends = Annotated[list[float], Field(min_length=2, max_length=2)]
"""Lower and upper end of an interval."""


class Document(BaseModel):
    """A JSON object with typed keys; unknown keys are allowed."""

    # strict: a number as text is damage, and nothing to convert
    model_config = ConfigDict(extra="allow", frozen=True, strict=True, validate_default=True)

    checksum: str | None = Field(None, description="hash of all other keys; none in files of older versions")


class ModelSettings(Document):
    """The network of a run."""

    name: str
    arguments: dict[str, Any]


class TrainingSettings(Document):
    """The training settings that the report reads."""

    epochs: NonNegativeInteger = 0


class RunSettings(Document):
    """The settings of a run that readers need; a command that resumes the run validates all of them as `RunConfig`."""

    data: dict[str, Any] = Field(default_factory=dict)
    model: ModelSettings | None = None
    teachers: list[str] = Field(default_factory=list)
    combine: str = ""
    objective: str = ""
    training: TrainingSettings | None = None
    seed: int = 0


class FunctionProbe(BaseModel):
    """A few logits of a network for the first training inputs, to detect another function of the same weights.

    >>> one, other = FunctionProbe(logits=[1.0, 2.0], tolerance=0.01), FunctionProbe(logits=[1.0, 2.1], tolerance=0.01)
    >>> one.matches(one), one.matches(other)
    (True, False)
    """

    model_config = ConfigDict(extra="allow", frozen=True, strict=True)

    logits: list[FiniteFloat]
    tolerance: Annotated[FiniteFloat, Field(ge=0, description="of rounding, relative to the largest logit")]

    def matches(self, other: FunctionProbe) -> bool:
        """Return whether both differ only by rounding."""
        largest = max(map(abs, self.logits), default=0.0)
        # the machine that rounds more coarsely decides; 1e-6 is for logits that are all 0
        allowed = max(self.tolerance, other.tolerance) * largest + 1e-6
        pairs = zip(self.logits, other.logits, strict=False)
        return len(self.logits) == len(other.logits) and all(abs(mine - theirs) <= allowed for mine, theirs in pairs)


def find_other_function(mine: Mapping[str, FunctionProbe], theirs: Mapping[str, FunctionProbe]) -> str | None:
    """Return the first name that both have and whose functions differ; None: there is none."""
    return next((name for name in mine if name in theirs and not mine[name].matches(theirs[name])), None)


class RunFile(Document):
    """`config.json` of a run."""

    format: int
    config: RunSettings
    fingerprints: dict[str, Fingerprint]
    functions: dict[str, FunctionProbe] = Field(
        default_factory=dict, description="by name, of the given network and of those of the teacher"
    )

    @field_validator("fingerprints")
    @classmethod
    def _has_hashes_of_data_by_split(cls, found: dict[str, Fingerprint]) -> dict[str, Fingerprint]:
        if not isinstance(found.get("data") or {}, dict):
            raise ValueError("the fingerprints of the data are not an object")
        return found


class EnvironmentFile(Document):
    """`environment.json` of a run."""

    versions: dict[str, Any] | None = None
    machine: dict[str, Any] | None = None
    command: str | None = None
    commit: str | None = None
    date: str | None = None


class Metrics(Document):
    """Metrics of a model on one split."""

    samples: Annotated[int, Field(ge=1)] | None = None
    errors: NonNegativeInteger | None = None
    error: Proportion | None = None
    error_interval: Ends | None = None
    nll: float | None = None
    ece: float | None = None
    class_errors: dict[str, list[int]] | None = None
    balanced_error: Proportion | None = None
    balanced_error_interval: Ends | None = None
    macro_f1: Proportion | None = None
    macro_f1_interval: Ends | None = None
    average_precision: Proportion | None = None
    average_precision_interval: Ends | None = None
    top_5_error: Proportion | None = None
    top_5_error_interval: Ends | None = None
    perplexity: float | None = None
    words: Annotated[int, Field(ge=1)] | None = None
    word_errors: NonNegativeInteger | None = None
    word_error: float | None = None
    agreement: float | None = None
    kl_to_teacher: float | None = None
    teacher_error: float | None = None

    @model_validator(mode="after")
    def _refuse_more_errors_than_samples(self) -> Metrics:

        if self.samples is not None and self.errors is not None and self.errors > self.samples:
            raise ValueError(f"errors must be at most samples ({self.samples}), got {self.errors}")
        return self


class ResultFile(Document):
    """`result.json` of a run."""

    metrics: Metrics | None
    validation: Metrics | None = None
    parameters: NonNegativeInteger | None = None
    steps: NonNegativeInteger | None = None
    seconds: float | None = None
    rate: NonNegativeInteger | None = Field(None, description="sampling rate of recordings in Hz")
    notes: list[str] = Field(default_factory=list, description="sentences about values that could not be measured")
    files: dict[str, str] = Field(default_factory=dict, description="checksums of the other files of the run")


class ModelFile(Document):
    """`model.json` of a run: how to build the network that the weights belong to."""

    name: str
    arguments: dict[str, Any]
    input_shape: list[NonNegativeInteger] | dict[str, list[NonNegativeInteger]] = Field(
        description="shape of one raw input, or of several by name"
    )
    classes: list[str] = Field(min_length=1)
    needs_network: bool = Field(False, description="whether the network cannot be built from its name")
    reader: str = Field("AsIs()", description="how the model reads inputs")
    dtype: str | dict[str, str] | None = Field(None, description="type of the raw inputs, such as uint8 for pixels")
    knowledge: dict[str, Any] | None = Field(
        None, description="what the reader has learnt from training samples; of a run, it is in reader.json"
    )


class ReaderFile(Document):
    """`reader.json` of a run whose reader has learnt something from training samples, such as words."""

    knowledge: dict[str, Any]


class TokenizerFile(Document):
    """`tokenizer_files.json` of a run of a language model: the tokenizer that its data were read with."""

    tokenizer: dict[str, str]


class ExportedModel(ModelFile):
    """How to build the network of an export, with the configuration and the tokenizer of a model of Transformers."""

    transformers: dict[str, Any] | None = None
    tokenizer: dict[str, str] | None = None


class ExportHeader(Document):
    """Header of an exported safetensors file."""

    format: int
    model: ExportedModel
    inputs: dict[str, Any] = Field(default_factory=dict)


class HubFile(Document):
    """`config.json` of an exported folder in the layout of the Hub."""

    sha256: str


class Latency(Document):
    """Latency of a prediction in milliseconds: median and interval."""

    median: FiniteFloat
    low: FiniteFloat
    high: FiniteFloat


class CostFile(Document):
    """`cost.json` of a run."""

    latency: dict[str, Latency] = Field(default_factory=dict)
    teacher: dict[str, Latency] = Field(default_factory=dict)
    threads: int | None = None
    device: str | None = None
    multiply_adds: NonNegativeInteger | None = None
    peak_bytes: NonNegativeInteger | None = None


class MetricsLine(Document):
    """One line of `metrics.jsonl`."""

    step: NonNegativeInteger
    kind: str = ""
    epoch: FiniteFloat | None = None


class CheckpointHeader(Document):
    """Header of a checkpoint."""

    step: NonNegativeInteger
    seconds: Annotated[FiniteFloat, Field(ge=0)]
    run: str | None = Field(None, description="identity of the run that the checkpoint belongs to")
    names: list[str] | None = Field(None, description="names of all tensors of the checkpoint")
    lines: NonNegativeInteger | None = Field(None, description="number of lines of metrics.jsonl up to the step")


DOCUMENTS: dict[str, type[Document]] = {
    "config.json": RunFile,
    "environment.json": EnvironmentFile,
    "result.json": ResultFile,
    "model.json": ModelFile,
    "reader.json": ReaderFile,
    "tokenizer_files.json": TokenizerFile,
    "cost.json": CostFile,
}
"""Schemas of the JSON files of a run folder, by file name."""

D = TypeVar("D", bound=Document)


def read_document(path: Path, kind: type[D], *, sealed: bool = False) -> D:
    """Read a JSON document, validate it against its schema, and verify its checksum.

    Args:
        path: path of the file.
        kind: schema of the document.
        sealed: refuse a file without a checksum; otherwise accept it, because older versions wrote none.

    Raises:
        RunError: when the file is missing, not JSON, does not fit the schema, or was changed; names file and key.
    """
    content = parse_json(path)
    found = as_document(content, kind, path)  # before the checksum, because its error names the key
    unsealed(path, content, sealed=sealed)
    return found


def as_document(content: Any, kind: type[D], where: Path | str) -> D:
    """Validate JSON values against the schema of a document.

    Raises:
        RunError: when they do not fit; names the key.

    >>> as_document({"step": -1}, MetricsLine, "metrics.jsonl")
    Traceback (most recent call last):
    instar.errors.RunError: 'metrics.jsonl' is damaged: 'step': input should be greater than or equal to 0, got -1.
    """
    if not isinstance(content, dict):
        raise RunError(f"'{where}' is damaged: it must contain a JSON object.")
    try:
        return validate(kind, content)
    except ConfigError as error:
        raise RunError(f"'{where}' is damaged: {without_middle(str(error), MAX_VALUE_CHARACTERS)}") from None
    except RecursionError:
        raise RunError(f"'{where}' is damaged: its values are nested too deeply.") from None


class Fields(dict[str, Any]):
    """A dictionary of a document's values that raises an error with the file's name for a missing key.

    Args:
        values: values by key; nested dictionaries become `Fields` too.
        path: path of the file.
        inside: dotted keys of the enclosing dictionaries, with a final dot.

    >>> Fields({"model": {}}, Path("config.json"))["model"]["name"]
    Traceback (most recent call last):
    instar.errors.RunError: 'config.json' is damaged: 'model.name' is missing.
    """

    def __init__(
        self, values: Mapping[str, Any] | Iterable[tuple[str, Any]] = (), path: Path = Path(), inside: str = ""
    ) -> None:  # `dataclasses.asdict` passes only the values
        super().__init__(values)
        for key, value in self.items():
            if isinstance(value, dict):
                self[key] = Fields(value, path, f"{inside}{key}.")
        self._path, self._inside = path, inside

    def __missing__(self, key: str) -> Any:
        raise RunError(f"'{self._path}' is damaged: '{self._inside}{key}' is missing.")
