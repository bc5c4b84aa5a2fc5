"""`instar targets`: describes a target store, verifies it, and merges shares."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from instar.checks import Natural, checked
from instar.compute.accelerator import make_accelerator
from instar.compute.execution import Execution
from instar.config import DataConfig, validate
from instar.data.dataset import Data
from instar.data.loader import Loader
from instar.data.samples import Samples
from instar.data.source import Source
from instar.data.views.notation import as_view
from instar.data.views.view import View
from instar.errors import ConfigError, DataError, StoreError
from instar.procedures.label import describe
from instar.seeds import generator
from instar.stages.arguments import as_data
from instar.stages.given_teacher import choose_teacher, only_parts
from instar.targets.manifest import ALL_IDS, PartDescription
from instar.targets.shards import link
from instar.targets.sparse import SparseTargets
from instar.targets.store import TargetStore
from instar.targets.stored_part import StoredPart
from instar.targets.targets import Targets
from instar.teachers.foreign import names_a_foreign_teacher
from instar.teachers.given import GivenPredictions
from instar.teachers.reordered import reorder_classes
from instar.teachers.teacher import Teacher
from instar.training.scoring import BATCH_SIZE

MAX_PROBABILITY_DIFFERENCES = {"float32": 1e-4, "float16": 2e-3, "bfloat16": 2e-2}
"""Largest difference of a probability through rounding, of the dtype and of sums in another order."""


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
    return Verified(str(found.path), size, *_label_again(found, resolved, loaded, rows, seed, trust=trust), "")


def _label_again(
    store: TargetStore, teacher: Teacher, data: Data, rows: int, seed: int, *, trust: bool
) -> tuple[int, float, str]:
    """Return the number of rows, the largest difference of a probability, and its part, id and view."""
    count, worst, where = 0, 0.0, "everywhere"
    for name, part in store.manifest.parts.items():
        stored, views = store.part(name), as_view(part.views, trust=trust)
        chosen = torch.randperm(part.rows, generator=generator(seed, name))[:rows]
        count += len(chosen)
        for view in range(part.num_views):
            # row v * samples + i is view v of the sample with the i-th smallest id
            at = chosen[chosen // part.samples == view].sort().values - view * part.samples
            ids = at if stored.ids is None else stored.ids[at]
            if len(ids):
                source = _find_source(data, part, store)
                differences = _measure_differences(teacher, stored, source, views, ids, view)
                differences = differences.nan_to_num(nan=torch.inf)  # NaN must not pass as a small difference
                if float(differences.max()) >= worst:  # "or equal", so that a place is named also where all agree
                    worst, where = float(differences.max()), f"{name}, id {int(ids[differences.argmax()])}, view {view}"
        if worst > MAX_PROBABILITY_DIFFERENCES[part.dtype]:
            raise StoreError(f"'{store.path}' differs from its teacher by {worst:.2g} in a probability ({where}).")
    return count, worst, where


def _find_source(data: Data, part: PartDescription, store: TargetStore) -> Source:
    # by content and not by name: the same data may be called otherwise here, and another split may have them
    splits = [samples for samples in (data.train, data.validation, data.test) if samples is not None]
    for samples in splits:
        if samples.source.fingerprint() == part.fingerprint:
            return samples.source
    raise StoreError(
        f"'{store.path}' was made from '{part.source}' (fingerprint {part.fingerprint[:8]}), and the data have "
        + ", ".join(f"'{samples.source.name}' ({samples.source.fingerprint()[:8]})" for samples in splits)
        + "."
    )


def _measure_differences(
    teacher: Teacher, stored: StoredPart, source: Source, views: View, ids: Tensor, view: int
) -> Tensor:
    part = stored.part
    of_all = torch.arange(part.samples) if stored.ids is None else stored.ids
    samples, partners = Samples(source, ids), Samples(source, of_all)
    loader = Loader(
        samples,
        BATCH_SIZE,
        seed=0,  # in_order draws nothing, and the views have the seed of the store
        views=views,
        num_views=part.num_views,
        view_seed=part.view_seed,
        device=make_accelerator().device,
        partners=partners,
    )
    return torch.cat(
        [
            _measure_batch(stored, stored.targets(batch.ids.cpu(), view), teacher.targets(batch), batch.ids.cpu(), view)
            for batch in loader.in_order(view)
        ]
    )


def _measure_batch(stored: StoredPart, kept: Targets, live: Targets, ids: Tensor, view: int) -> Tensor:
    temperature = stored.part.temperature or 1.0  # logits hold at any; probabilities at 1 are the plainest measure
    predicted = live.log_probs(temperature).cpu()
    if kept.num_classes != predicted.shape[-1]:  # a manifest that was changed and sealed again
        raise StoreError(
            f"the store has predictions of {kept.num_classes} classes, and its teacher predicts {predicted.shape[-1]}."
        )
    # what a record holds is compared: all probabilities, the largest and the rest, or the drawn classes
    if not isinstance(kept, SparseTargets):
        difference = (kept.log_probs(temperature).exp() - predicted.exp()).abs().amax(-1)
    elif kept.rest is not None:
        # at the stored classes, not the teacher's own largest: ties may be broken otherwise
        rest = predicted.scatter(-1, kept.ids, -torch.inf).logsumexp(-1, keepdim=True)
        difference = (kept.kept - torch.cat([predicted.gather(-1, kept.ids), rest], -1).exp()).abs().amax(-1)
    else:  # the same draws again; rounding may move a draw across the edge between two classes
        again = stored.record.decode(stored.record.encode_values(predicted, stored.part.draws(ids, view)))
        assert isinstance(again, SparseTargets)
        # two draws may differ through rounding; more than two count as a difference
        moved = (again.ids != kept.ids).double().mean(-1) - 2 / kept.ids.shape[-1]
        difference = torch.maximum(moved.clamp(min=0), (again.entropy - kept.entropy).abs().double())
    return difference.reshape(len(ids), -1).amax(1).double()  # over the positions of a sample


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
