"""`instar targets`: describes a target store, verifies it, and merges shares."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torch import nn

from instar.checks import Natural, checked
from instar.compute.accelerator import make_accelerator
from instar.compute.execution import Execution
from instar.config import DataConfig, validate
from instar.data.dataset import Data
from instar.errors import ConfigError, DataError, StoreError
from instar.procedures.label import describe
from instar.stages.arguments import as_data
from instar.stages.given_teacher import choose_teacher, only_parts
from instar.stages.relabelling import label_again
from instar.targets.manifest import ALL_IDS
from instar.targets.shards import link
from instar.targets.store import TargetStore
from instar.teachers.foreign import names_a_foreign_teacher
from instar.teachers.given import GivenPredictions
from instar.teachers.reordered import reorder_classes


@dataclass(frozen=True)
class Verified:
    """The result of a verification.

    Args:
        store: folder of the store.
        bytes: size in bytes of the records, all with the checksums of the manifest.
        rows: number of rows that the teacher labelled again.
        difference: largest difference of a probability between the store and the teacher; None if the teacher was not
            available.
        where: part, id and view of the largest difference.
        note: why the teacher did not label again; empty otherwise.
    """

    store: str
    bytes: int
    rows: int
    difference: float | None
    where: str
    note: str

    def as_dict(self) -> dict[str, Any]:
        """Return the values for JSON."""
        return asdict(self)

    def __str__(self) -> str:
        whole = f"{self.store}: {self.bytes / 1e6:,.1f} MB of records, all checksums match"
        if self.difference is None:
            return f"{whole}\nnot compared with the teacher: {self.note}"
        found = f"probabilities differ by at most {self.difference:.2g} ({self.where})"
        return f"{whole}\n{self.rows} rows labelled again: {found}"


def targets_info(store: str | Path | TargetStore) -> dict[str, Any]:
    """Return the manifest of a store, with its size in bytes and the number of missing shards."""
    found = store if isinstance(store, TargetStore) else TargetStore(store)
    content = found.manifest.model_dump(mode="json")
    # thousands of checksums say nothing to a reader
    for name, part in content["parts"].items():
        del part["shards"]
        described = found.manifest.parts[name]
        layout = described.layout(found.num_classes)
        for shown, layer in zip(part["layers"], described.layers, strict=True):
            shown["bytes"] = described.rows * layout.bytes_of(layer)
    size = sum(map(found.bytes_of, found.pieces()))
    if found.first_look is not None:  # just labelled by this process
        content["first_look"] = found.first_look
    counts = {"bytes": size, "shards": len(found.pieces()), "missing": len(found.missing())}
    return {"store": str(found.path), "fingerprint": found.fingerprint, **counts, **content}


def describe_targets(store: str | Path) -> str:
    """Return a description of a store in words."""
    found = TargetStore(store)
    manifest, missing = found.manifest, len(found.missing())
    origin = manifest.teacher
    names = f" ({origin.combine} mean)" if len(origin.names) > 1 else ""
    return "\n".join(
        [
            f"teacher: {', '.join(origin.names)}{names}, fingerprint {origin.fingerprint[:8]}, {origin.precision}",
            describe(found),
            *([f"{origin.left_out:,} training samples have no prediction"] if origin.left_out else []),
            f"{missing} shards are missing; run the label command again." if missing else "complete",
        ]
    )


@checked
def verify_targets(
    store: str | Path | TargetStore,
    *,
    teacher: Any = None,
    data: Data | str | Sequence[Any] | DataConfig | None = None,
    rows: Natural = 256,
    seed: int = 0,
    network: nn.Module | str | None = None,
    trust: bool = False,
    **parts: Any,
) -> Verified:
    """Compare every checksum, and let the teacher label random rows of each part again.

    Args:
        store: folder of the store.
        teacher: teacher that labelled the data; None takes the run folders in the manifest.
        data: data that it labelled; None takes those of the manifest.
        rows: number of rows of each part to label again; 0 compares checksums only.
        seed: seed of the choice of rows.
        network: network of a teacher's run folder that needs it, as in `distill`.
        trust: allow model classes outside `instar.models` in the teachers' run folders.
        parts: `teacher_arguments`, `teacher_weights`, `teacher_reader` and `teacher_classes`, as in `distill`.

    Raises:
        StoreError: if a file is missing or has changed, the teacher is another one, or its targets differ by more than
            rounding.
    """
    teacher = only_parts("verify_targets", teacher, parts)
    found = store if isinstance(store, TargetStore) else TargetStore(store)
    size = found.check()  # every byte, also of stores that are too large to be compared when they are opened
    manifest = found.manifest
    recorded = teacher is None
    if recorded and rows:
        names = [name for name in manifest.teacher.names if not names_a_foreign_teacher(name)]
        missing = [name for name in names if not os.path.exists(name)]
        # a store outlives its teacher, and its checksums are worth something without it
        if missing:
            return Verified(str(found.path), size, 0, None, "", f"'{missing[0]}' is not a folder here; give a teacher")
        teacher = list(manifest.teacher.names)
    if not rows:
        return Verified(str(found.path), size, 0, None, "", "rows is 0")
    spec: Any = data if data is not None else validate(DataConfig, manifest.data)
    try:
        _, resolved = choose_teacher(teacher, manifest.teacher.combine, network=network, trust=trust)
        if isinstance(resolved, GivenPredictions):  # which are hashed with the samples that they are about
            spec = as_data(spec, trust=trust)
            resolved = resolved.match(spec.splits)
    except (ConfigError, DataError) as error:
        # what makes a teacher by its name may be gone, or nobody may trust it here
        if recorded and any(map(names_a_foreign_teacher, manifest.teacher.names)):
            return Verified(str(found.path), size, 0, None, "", str(error).rstrip("."))
        raise
    # first the order and then the hash, because the fingerprint of a reordered teacher covers its order
    resolved = reorder_classes(resolved, manifest.classes)
    if resolved.fingerprint() != manifest.teacher.fingerprint:
        raise StoreError(
            f"'{found.path}' holds targets of a teacher with fingerprint {manifest.teacher.fingerprint[:8]}, but the "
            f"given teacher has {resolved.fingerprint()[:8]}."
        )
    loaded = as_data(spec, trust=trust)
    # in the arithmetic of the labelling, or rounding would count as a difference
    resolved.prepare(Execution(make_accelerator().device, manifest.teacher.precision))
    return Verified(str(found.path), size, *label_again(found, resolved, loaded, rows, seed, trust=trust), "")


def merge_targets(stores: Sequence[str | Path], out: str | Path) -> TargetStore:
    """Put the shards of several shares of one store into one folder, as links if the file system allows it.

    Args:
        stores: folders that were labelled with the same command, except for `share`.
        out: folder; new, one of the stores, or that of an unfinished merge.

    Raises:
        StoreError: if they are shares of different stores, or a shard is in none of them.
    """
    found = [TargetStore(store) for store in stores]
    if not found:
        raise ConfigError("merge needs at least one store.")
    first = found[0]
    for other in found[1:]:
        other.refuse_other(first.manifest, f"'{first.path}'")
    # a manifest without shards is that of a store in the making; finish() lists them
    parts = {name: part.model_copy(update={"shards": None}) for name, part in first.manifest.parts.items()}
    ids = {name: first.ids(name) for name, part in parts.items() if part.ids != ALL_IDS}
    merged = TargetStore.start(out, first.manifest.model_copy(update={"parts": parts}), ids, f"'{first.path}'")
    # shards have checksums of their own, so links are as safe as copies
    for piece in merged.missing():
        holder = next((store for store in found if store.has(piece)), None)
        if holder is not None:
            link(holder.file(piece), merged.file(piece))
    missing = merged.missing()
    if missing:  # an unfinished merge stays, and the next one adds the shards that it finds
        names = ", ".join(piece.name for piece in missing[:5]) + (", ..." if len(missing) > 5 else "")
        raise StoreError(
            f"{len(missing)} of {len(merged.pieces())} shards are in none of the stores ({names}). The others are in "
            f"'{merged.path}'; label the missing shares, then merge again."
        )
    merged.finish()
    return merged
