"""The manifest of a target store: which teacher predicted which samples and views, and which files hold that."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator
from torch import Tensor

from instar.compute.precision import Precision
from instar.config import Config, validate
from instar.errors import ConfigError, RunError, StoreError
from instar.nested import differences
from instar.runs.checksums import CHECKSUM
from instar.runs.documents import FunctionProbe, find_other_function
from instar.runs.files import parse_json, unsealed
from instar.seeds import Draws, derive
from instar.targets.layout import RowLayout, StoredLayer
from instar.targets.records import Keep, Number, Record

STORE_FORMAT = 3
"""Version of the manifest's format; format 1 had no checksum of the manifest, and format 2 no layers."""

MANIFEST_FILE = "manifest.json"
ALL_IDS = "all"

# a manifest may come from a stranger: without these bounds it could ask for endless loops over files that do not exist
MAX_SHARDS = 100_000
MAX_PART_ROWS = 1 << 40
MAX_LAYERS = 1000

# files are named after their part, so a name must not be a path to somewhere else
PartName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$", max_length=100)]


class Shard(Config):
    """One file of a part."""

    name: str
    rows: int
    checksum: str


class PartDescription(Config):
    """Targets of some samples of one source, all in the same views.

    Row `view * samples + i` belongs to the sample with the i-th smallest id.
    """

    source: str = Field(description="name of the source, for people")
    fingerprint: str = Field(description="fingerprint of the source")
    samples: int = Field(ge=1, le=MAX_PART_ROWS)
    ids: str = Field(ALL_IDS, description="checksum of the file of ids; 'all': all ids of the source")
    views: str = "Identity()"
    view_seed: int = 0
    num_views: int = Field(1, ge=1, le=MAX_PART_ROWS)
    keep: str = "all"
    dtype: Number = "float16"
    temperature: float | None = Field(None, gt=0, description="the only valid temperature; none: any temperature")
    draw_seed: int = Field(0, description="seed of the drawn classes")
    positions: tuple[Annotated[int, Field(ge=1, le=1 << 24)], ...] = Field(
        (), max_length=4, description="shape of the positions of a sample"
    )
    layers: tuple[StoredLayer, ...] = Field(
        (),
        max_length=MAX_LAYERS,
        description="hidden layers whose outputs are stored beside the targets",
    )
    tokens: dict[str, str] = Field(
        default_factory=dict, description="by name, hashes of what the teacher reads of a few texts, if layers are kept"
    )
    rows_per_shard: int = Field(ge=1, le=MAX_PART_ROWS)
    shards: tuple[Shard, ...] | None = Field(None, description="none until all shards are written")

    @model_validator(mode="after")
    def _shards_and_layers_can_be_found(self) -> Self:
        if self.num_shards > MAX_SHARDS:
            raise ValueError(f"a part must have at most {MAX_SHARDS:,} shards, got {self.num_shards:,}")
        if len({layer.name for layer in self.layers}) < len(self.layers):
            raise ValueError("a part must have each layer once")
        return self

    @property
    def rows(self) -> int:
        """Number of rows of all shards."""
        return self.samples * self.num_views

    @property
    def num_shards(self) -> int:
        """Number of shards."""
        return -(-self.rows // self.rows_per_shard)  # rounded up, in whole numbers: a float has 53 bits

    def shard_rows(self, index: int) -> range:
        """Return the rows of a shard."""
        return range(index * self.rows_per_shard, min((index + 1) * self.rows_per_shard, self.rows))

    def record(self, num_classes: int) -> Record:
        """Return the layout of the record of an example."""
        return Record(Keep.parse(self.keep), self.dtype, num_classes, self.temperature)

    def layout(self, num_classes: int) -> RowLayout:
        """Return the layout of a row, which has a record for each position of its sample, and then its layers."""
        return RowLayout(self.record(num_classes), self.positions, self.layers)

    def width(self, num_classes: int) -> int:
        """Return the bytes of a row."""
        return self.layout(num_classes).width

    def draws(self, ids: Tensor, view: int) -> Draws:
        """Return the random numbers that decide which classes of these samples are drawn."""
        # by id and view: a shard that is made again, or by another process, has the same bytes
        return Draws(derive(self.draw_seed, "drawn targets"), ids, view)

    def shows(self) -> str:
        """Describe the stored views."""
        return describe_views(self.views, self.view_seed, self.num_views)


def shard_name(part: str, index: int) -> str:
    """Return the name of the file of a shard.

    >>> shard_name("train", 3)
    'train-00003.safetensors'
    """
    return f"{part}-{index:05d}.safetensors"


def describe_views(views: str, seed: int, number: int | None) -> str:
    """Describe the views that a model sees of each sample."""
    if views == "Identity()":
        return "the samples as they are"
    return f"{number or 'endless'} views '{views}' of seed {seed}"


class TeacherDescription(Config):
    """The teacher that labelled a store, and the precision that it was queried in."""

    names: tuple[str, ...] = Field(description="run folders, or types of Python objects")
    combine: Literal["geometric", "arithmetic"] = Field("geometric", description="how several teachers were averaged")
    fingerprint: str = Field(description="fingerprint of the teacher, with the weights of all its members")
    precision: Precision = "float32"
    functions: dict[str, FunctionProbe] = Field(
        default_factory=dict, description="by number, a few logits of each network; older stores have none"
    )
    normalisation: tuple[dict[str, list[float]], ...] = Field((), description="mean and std of the inputs, per network")
    left_out: int = Field(0, ge=0, description="training samples that were given no prediction, which runs leave out")


class Manifest(Config):
    """Description of a store. The store is complete when every part lists its shards."""

    format: int = STORE_FORMAT
    version: str = Field(description="version of Instar that made the store")
    teacher: TeacherDescription
    data: dict[str, Any] = Field(description="selection of the samples, as in the configuration of a run")
    classes: tuple[str, ...]
    parts: dict[PartName, PartDescription]

    @model_validator(mode="after")
    def _shards_are_those_of_the_plan(self) -> Self:
        # shards are mapped by these names and rows: another name could open any file, and other rows would shift all
        # rows behind them
        for name, part in self.parts.items():
            found = None if part.shards is None else [(shard.name, shard.rows) for shard in part.shards]
            wanted = ((shard_name(name, index), len(part.shard_rows(index))) for index in range(part.num_shards))
            if found is not None and found != list(wanted):
                raise ValueError(
                    f"the shards of part '{name}' must be {shard_name(name, 0)} and so on, with the rows of the plan, "
                    f"got {str(found)[:200]}"
                )
        return self

    @property
    def complete(self) -> bool:
        """Whether all shards are written."""
        return all(part.shards is not None for part in self.parts.values())

    def plan(self) -> dict[str, Any]:
        """Return what the targets depend on: everything except the shards, the paths and the version."""
        # names and data say where teacher and samples were found; their fingerprints say what they are
        found = self.model_dump(
            mode="json", exclude={"version": True, "data": True, "teacher": {"names", "functions", "left_out"}}
        )
        for part in found["parts"].values():
            del part["shards"]
            if not part["layers"]:  # as in stores that are older than layers, so that their fingerprints stay
                del part["layers"], part["tokens"]
        # one number for all formats, because a store's fingerprint hashes its plan, and must outlive a new format
        return found | {"format": 1}

    def other_plan(self, other: Manifest) -> str:
        """Describe how another plan differs; empty if it does not. Paths are not compared."""
        mine, theirs = self.plan(), other.plan()
        for part in (*mine["parts"].values(), *theirs["parts"].values()):
            del part["source"]  # only a name; the fingerprint is compared
            for layer in part.get("layers", ()):
                del layer["channels_last"]  # how a machine lays images out, which resuming on another one may not do
        if found := differences(mine, theirs):
            return found
        # equal fingerprints mean equal weights, and another activation function has no weights
        name = find_other_function(self.teacher.functions, other.teacher.functions)
        return f"{name} has the same weights and computes other logits" if name else ""


def read_manifest(folder: Path) -> Manifest:
    """Read the manifest of a store.

    Raises:
        StoreError: when there is none, or it is damaged or of a newer format.
    """
    path = folder / MANIFEST_FILE
    if not path.is_file():
        raise StoreError(f"'{folder}' is not a target store: it has no {MANIFEST_FILE}.")
    try:
        content = parse_json(path)
        # before the fields are checked: those that a newer format has added would be called unknown settings
        found = content.get("format") if isinstance(content, Mapping) else None
        if isinstance(found, int) and found > STORE_FORMAT:
            raise StoreError(
                f"'{folder}' was written in store format {found}, and this version of Instar reads up to "
                f"{STORE_FORMAT}; upgrade Instar."
            )
        is_object = isinstance(content, dict)
        manifest = validate(Manifest, {k: v for k, v in content.items() if k != CHECKSUM} if is_object else content)
        unsealed(path, content, sealed=manifest.format > 1)
        for part in manifest.parts.values():
            part.record(len(manifest.classes))  # refuses a `keep` that means nothing or wants too many classes
        return manifest
    except (RunError, ConfigError, TypeError) as error:
        raise StoreError(f"the manifest of '{folder}' is damaged: {error}") from None
