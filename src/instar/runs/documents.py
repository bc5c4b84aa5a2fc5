"""The shape of every JSON document that Instar reads back, and the one function that reads one.

Keys that are not named here are let through, because folders outlive versions. Where a key may be missing, a version
wrote such documents without it; whoever needs it gets a sentence (`Fields`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, model_validator

from instar.config import validate
from instar.errors import ConfigError, RunError
from instar.runs.files import parse_json, unsealed

LONGEST_REASON = 300
"""Characters of what is wrong with a document: it may echo what a stranger wrote."""

Count = Annotated[int, Field(ge=0, lt=1 << 62)]
Share = Annotated[FiniteFloat, Field(ge=0, le=1)]


class Document(BaseModel):
    """A JSON object with named keys of named types; others may be there."""

    model_config = ConfigDict(extra="allow", frozen=True, strict=True, validate_default=True)

    checksum: str | None = Field(None, description="of all other keys; none where a version wrote none")


class ModelSettings(Document):
    """Which network a run has."""

    name: str
    arguments: dict[str, Any]


class TrainingSettings(Document):
    """What the report reads of it."""

    epochs: Count = 0


class RunSettings(Document):
    """What a run was asked for. A verb that takes it up again looks at all of it as `RunConfig`."""

    data: dict[str, Any] = Field(default_factory=dict)
    model: ModelSettings | None = None
    teachers: list[str] = Field(default_factory=list)
    combine: str = ""
    objective: str = ""
    training: TrainingSettings | None = None
    seed: int = 0


class RunFile(Document):
    """`config.json` of a run."""

    format: int
    config: RunSettings
    fingerprints: dict[str, Any]


class EnvironmentFile(Document):
    """`environment.json` of a run."""

    versions: dict[str, Any] | None = None
    machine: dict[str, Any] | None = None
    command: str | None = None
    commit: str | None = None
    date: str | None = None


class Metrics(Document):
    """How good a model is on one split."""

    samples: Annotated[int, Field(ge=1)] | None = None
    errors: Count | None = None
    error: Share | None = None
    error_interval: list[float] | None = Field(None, min_length=2, max_length=2)
    nll: float | None = None
    ece: float | None = None
    class_errors: dict[str, list[int]] | None = None
    perplexity: float | None = None
    words: Annotated[int, Field(ge=1)] | None = None
    word_errors: Count | None = None
    word_error: float | None = None
    agreement: float | None = None
    kl_to_teacher: float | None = None
    teacher_error: float | None = None

    @model_validator(mode="after")
    def _errors_are_among_the_samples(self) -> Metrics:
        if self.samples is not None and self.errors is not None and self.errors > self.samples:
            raise ValueError(f"errors must be at most samples ({self.samples}), got {self.errors}")
        return self


class ResultFile(Document):
    """`result.json` of a run."""

    metrics: Metrics | None
    validation: Metrics | None = None
    parameters: Count | None = None
    steps: Count | None = None
    seconds: float | None = None
    rate: Count | None = Field(None, description="samples a second of recordings")
    notes: list[str] = Field(default_factory=list, description="what could not be measured")
    files: dict[str, str] = Field(default_factory=dict, description="checksums of the other files of the run")


class ModelFile(Document):
    """`model.json` of a run: how to build the network of the weights."""

    name: str
    arguments: dict[str, Any]
    input_shape: list[Count]
    classes: list[str] = Field(min_length=1)
    needs_network: bool = Field(False, description="the network was a Python object, and its name does not make it")


class ExportedModel(ModelFile):
    """How to build the network of an export; that of Transformers has its own description."""

    transformers: dict[str, Any] | None = None


class ExportHeader(Document):
    """What stands beside the tensors of an export."""

    format: int
    model: ExportedModel
    inputs: dict[str, Any] = Field(default_factory=dict)


class HubFile(Document):
    """`config.json` of an export to a folder in the layout of the Hub."""

    sha256: str


class Latency(Document):
    """Milliseconds of an answer."""

    median: FiniteFloat
    low: FiniteFloat
    high: FiniteFloat


class CostFile(Document):
    """`cost.json` of a run."""

    latency: dict[str, Latency] = Field(default_factory=dict)
    threads: int | None = None
    device: str | None = None
    multiply_adds: Count | None = None
    peak_bytes: Count | None = None


class MetricsLine(Document):
    """A line of `metrics.jsonl`."""

    step: Count
    kind: str = ""
    epoch: FiniteFloat | None = None


class CheckpointHeader(Document):
    """What stands beside the tensors of a checkpoint."""

    step: Count
    seconds: Annotated[FiniteFloat, Field(ge=0)]
    run: str | None = Field(None, description="identity of the run that it belongs to")
    names: list[str] | None = Field(None, description="of all its tensors")
    lines: Count | None = Field(None, description="of metrics.jsonl, up to its step")


DOCUMENTS: dict[str, type[Document]] = {
    "config.json": RunFile,
    "environment.json": EnvironmentFile,
    "result.json": ResultFile,
    "model.json": ModelFile,
    "cost.json": CostFile,
}
"""Those of a run folder, by name."""

D = TypeVar("D", bound=Document)


def read_document(path: Path, kind: type[D], *, sealed: bool = False) -> D:
    """Read a JSON document of a known shape, and compare its checksum.

    Args:
        path: of the file.
        kind: its shape.
        sealed: refuse a file without a checksum; otherwise it may be from before there were any.

    Raises:
        RunError: when it is missing, no JSON, of another shape, or not as it was written; names file and key.
    """
    content = parse_json(path)
    found = as_document(content, kind, path)
    unsealed(path, content, sealed=sealed)
    return found


def as_document(content: Any, kind: type[D], where: Path | str) -> D:
    """Return JSON values as a document of a known shape.

    Raises:
        RunError: when they have another; names the key.

    >>> as_document({"step": -1}, MetricsLine, "metrics.jsonl")
    Traceback (most recent call last):
    instar.errors.RunError: 'metrics.jsonl' is damaged: 'step': input should be greater than or equal to 0, got -1.
    """
    if not isinstance(content, dict):
        raise RunError(f"'{where}' is damaged: it holds no keys and values.")
    try:
        return validate(kind, content)
    except ConfigError as error:
        raise RunError(f"'{where}' is damaged: {_shortened(str(error))}") from None
    except RecursionError:
        raise RunError(f"'{where}' is damaged: its values are nested too deeply.") from None


def _shortened(sentence: str) -> str:
    return sentence if len(sentence) <= LONGEST_REASON else f"{sentence[:LONGEST_REASON]} ..."


class Fields(dict[str, Any]):
    """The values of a document as a dictionary, in which a missing key is an error that names the file.

    Args:
        values: by key; dictionaries among them become such as well.
        path: of the file.
        inside: keys that lead here, each with a dot.

    >>> Fields({"model": {}}, Path("config.json"))["model"]["name"]
    Traceback (most recent call last):
    instar.errors.RunError: 'config.json' is damaged: 'model.name' is missing.
    """

    def __init__(
        self, values: Mapping[str, Any] | Iterable[tuple[str, Any]] = (), path: Path = Path(), inside: str = ""
    ) -> None:  # the values alone where `dataclasses.asdict` copies them
        super().__init__(
            (key, Fields(value, path, f"{inside}{key}.") if isinstance(value, dict) else value)
            for key, value in dict(values).items()
        )
        self._path, self._inside = path, inside

    def __missing__(self, key: str) -> Any:
        raise RunError(f"'{self._path}' is damaged: '{self._inside}{key}' is missing.")
