"""Labelling by a teacher: its targets are written to a target store, shard by shard, by any number of processes."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
import xxhash
from torch import Tensor

from instar.compute.inputs import Inputs
from instar.config import StoreConfig, validate
from instar.data.batch import Batch
from instar.data.columns.held import INPUTS
from instar.data.dataset import Data
from instar.data.loader import Loader
from instar.errors import ConfigError, MismatchError, NonFiniteError, StoreError, say
from instar.models.failures import refuse_failure
from instar.models.normalised import Normalised
from instar.models.probe import probe_functions
from instar.runs.environment import package_version
from instar.targets.manifest import ALL_IDS, MANIFEST_FILE, Manifest, PartDescription, TeacherDescription, read_manifest
from instar.targets.records import Keep, Record
from instar.targets.shards import rows_per_shard
from instar.targets.store import Piece, TargetStore, checksum_of_ids
from instar.targets.targets import Targets
from instar.teachers.teacher import Teacher, query
from instar.training.progress import ProgressBar

MAX_PENDING_BYTES = 32 << 20
"""Targets that are encoded as records at once, because encoding each small batch by itself would be slow."""


@dataclass(frozen=True)
class Labelling:
    """What goes into a store.

    Args:
        teacher: the teacher, on the device of the loaders.
        answering: its description in the manifest.
        data: data that hold the samples.
        loaders: samples and views of each part of the store.
        choices: what each part stores.
        shard_rows: rows of a shard; None: the default.
    """

    teacher: Teacher
    answering: TeacherDescription
    data: Data
    loaders: Mapping[str, Loader]
    choices: Mapping[str, StoreConfig]
    shard_rows: int | None = None

    @cached_property
    def manifest(self) -> Manifest:
        """The manifest of the store, without its shards; the teacher is queried about two samples of each part.

        Raises:
            MismatchError: when the teacher has other classes than the data, or does not hold at the temperature.
            ConfigError: when views are endless, or more classes are to be stored than there are.
        """
        parts = {name: self._part(loader, self.choices[name]) for name, loader in self.loaders.items()}
        return Manifest(
            version=package_version(),
            teacher=self.answering,
            data=self.data.config.model_dump(mode="json"),
            classes=self.data.classes,
            parts=parts,
        )

    def _part(self, loader: Loader, choice: StoreConfig) -> PartDescription:
        origin, samples = loader.origin, loader.samples
        if origin.num_views is None:
            raise ConfigError(
                f"a target store holds a number of views, and '{origin.views}' are endless; say how many (num_views)."
            )
        batch = next(loader.in_order()).part(0, 2)
        with refuse_failure("teacher", batch.column(INPUTS)):
            answers = self.teacher.targets(batch)
        if answers.num_classes != samples.num_classes:
            raise MismatchError(
                f"the teacher has {answers.num_classes} classes, and '{samples.source.name}' has {samples.num_classes}."
            )
        keep = Keep.parse(choice.keep)
        # the logits of all classes give every temperature; an average of probabilities, or some classes, only one
        holds_at_any = keep.kind == "all" and answers.holds_at_any_temperature
        temperature = None if holds_at_any else choice.temperature or 1.0
        record = Record(keep, choice.dtype, samples.num_classes, temperature)
        # the positions of the source, because a batch may leave out those at its end
        positions = (samples.source.positions,) if samples.source.positions else record.values_of(answers).shape[1:-1]
        is_whole = len(samples) == len(samples.source)
        return PartDescription(
            source=samples.source.name,
            fingerprint=samples.source.fingerprint(),
            samples=len(samples),
            ids=ALL_IDS if is_whole else checksum_of_ids(samples.ids),
            views=str(origin.views),
            view_seed=origin.seed,
            num_views=origin.num_views,
            keep=str(keep),
            dtype=choice.dtype,
            temperature=temperature,
            draw_seed=choice.seed if keep.kind == "sample" else 0,
            positions=tuple(positions),
            rows_per_shard=rows_per_shard(record.width * math.prod(positions), self.shard_rows),
        )

    def start(self, folder: Path) -> TargetStore:
        """Make the folder of the store, or resume one that was begun.

        Raises:
            StoreError: when the folder holds something else.
        """
        parts = self.manifest.parts
        ids = {name: self.loaders[name].samples.ids for name, part in parts.items() if part.ids != ALL_IDS}
        return TargetStore.start(folder, self.manifest, ids)

    def start_among(self, folder: Path) -> TargetStore:
        """Make or resume the store in a folder of stores, under a name that hashes everything it is made from.

        A folder that is a store itself is that store.
        """
        if (folder / MANIFEST_FILE).is_file():
            return self.start(folder)

        if folder.is_file():
            raise StoreError(f"'{folder}' is a file; targets must be online, memory, store or a folder of stores.")
        for manifest in sorted(folder.glob(f"*/{MANIFEST_FILE}")):  # by what it holds, whatever its name
            with suppress(StoreError):  # a damaged store is passed over
                if not read_manifest(manifest.parent).other_plan(self.manifest):
                    return self.start(manifest.parent)
        plan = repr(self.manifest.plan()).encode()
        # the name is for people; the hash tells stores of one teacher apart, and lets two processes make the same one
        name = Path(self.answering.names[0]).name if len(self.answering.names) == 1 else self.answering.combine
        return self.start(folder / f"{name[:40]}-{xxhash.xxh3_64_hexdigest(plan)}")

    def complete(self, store: TargetStore, title: str, *, share: tuple[int, int] = (1, 1), show: bool = True) -> None:
        """Query the teacher for the missing shards of a store, and wait for those that other processes are making.

        Args:
            store: result of `start`.
            title: title of the progress bar.
            share: (i, n) makes only every n-th shard, beginning with the i-th, and waits for no other.
            show: show progress on stderr.

        Raises:
            NonFiniteError: names the samples for which the teacher predicts no probabilities; other shards are kept.
            StoreError: when the disk has too little room.
        """
        number, of = share
        missing = [piece for piece in store.missing() if piece.number % of == number - 1]
        if not missing and store.complete:
            return
        store.refuse_full_disk(missing)  # now, and not after hours of labelling
        bad: dict[Piece, list[int]] = {}
        rows = sum(len(store.manifest.parts[piece.part].shard_rows(piece.index)) for piece in missing)
        with store.claims() as claims, ProgressBar(title, rows, show=show and bool(missing)) as bar:
            told = False
            while missing:
                made = False
                for piece in missing:
                    with claims.taken(piece) as is_mine:
                        if is_mine:
                            made = True
                            records, unanswered = self._records(store, piece, bar)
                            if unanswered:  # all others are still made, so that one error names all bad samples
                                bad[piece] = unanswered
                            else:
                                store.write(piece, records)
                # a process that was killed leaves its shard unclaimed and missing, so it is tried again
                missing = [piece for piece in missing if piece not in bad and not store.has(piece)]
                if missing and not made:
                    if show and not told:
                        say(f"another process makes {missing[0].name}; waiting for it.")
                    told = True
                    time.sleep(0.1)
        if bad:
            raise NonFiniteError(self._describe(bad, store))
        if not store.missing():
            store.finish()

    def _records(self, store: TargetStore, piece: Piece, bar: ProgressBar) -> tuple[Tensor, list[int]]:
        """Return the records of a shard, `[rows, width]`, and the ids of samples without probabilities."""
        # row number of sample place s in view v: v * samples + s
        part, loader = store.manifest.parts[piece.part], self.loaders[piece.part]
        record = part.record(store.num_classes)
        rows = part.shard_rows(piece.index)
        records = torch.empty(len(rows), part.width(store.num_classes), dtype=torch.uint8)
        unanswered: list[int] = []
        for view, ids, values in self._answers(loader, record, rows, bar):
            found = record.encode_values(values, part.draws(ids, view)).reshape(len(ids), -1)
            places = loader.samples.places(ids.cpu())  # a stream is read in an order of its own
            records[view * len(loader.samples) + places - rows.start] = found.cpu()
            # not finite for NaN and +inf, and for logits that are -inf for every class
            is_answer = values.logsumexp(-1).isfinite()  # [n] or [n, positions]
            longest = is_answer.shape[1] if is_answer.dim() == 2 else None
            if (valid := loader.samples.source.valid(ids.cpu(), longest)) is not None:
                is_answer |= ~valid.to(is_answer.device)  # padding may have any prediction
            is_answer = is_answer.view(len(ids), -1).all(1)
            if not is_answer.all():
                unanswered += ids[~is_answer].tolist()
        return records, unanswered

    def _answers(
        self, loader: Loader, record: Record, rows: range, bar: ProgressBar
    ) -> Iterator[tuple[int, Tensor, Tensor]]:
        """Query rows of a part; yield many at a time: the view, the ids, and what is stored, `[n, ..., classes]`."""
        samples = len(loader.samples)
        for view in range(rows.start // samples, -(-rows.stop // samples)):  # a shard may span several views
            first = view * samples
            stretch = max(rows.start - first, 0), min(rows.stop - first, samples)
            batches = loader.in_order(view, *stretch, trim=False)
            labelled: list[tuple[Batch, Targets]] = []
            size = 0
            for batch in batches:
                answers = query(self.teacher, batch)
                labelled.append((batch, answers))
                size += batch.labels.numel() * record.num_classes * 4  # bytes of float32
                bar.advance(len(batch))
                if size >= MAX_PENDING_BYTES:
                    yield view, *_together(record, labelled)
                    labelled, size = [], 0
            if labelled:
                yield view, *_together(record, labelled)

    def _describe(self, bad: Mapping[Piece, list[int]], store: TargetStore) -> str:
        by_source: dict[str, set[int]] = {}
        for piece, found in bad.items():
            by_source.setdefault(store.manifest.parts[piece.part].source, set()).update(found)
        described = []
        for source, ids in by_source.items():
            names = ", ".join(map(str, sorted(ids)[:20])) + (", ..." if len(ids) > 20 else "")
            described.append(f"{len(ids)} samples of '{source}' (ids {names})")
        return (
            f"the teacher answered with NaN or without any probability about {' and '.join(described)}; {len(bad)} of "
            f"{len(store.pieces())} shards were not written, the others are kept."
        )


def _together(record: Record, labelled: list[tuple[Batch, Targets]]) -> tuple[Tensor, Tensor]:
    """Return the ids of several batches, and what is stored of their targets."""
    batches, answers = zip(*labelled, strict=True)
    return torch.cat([batch.ids for batch in batches]), record.values_of(answers[0].joined(answers[1:]))


def describe_teacher(
    teacher: Teacher,
    names: tuple[str, ...],
    combine: str,
    precision: str,
    columns: Mapping[str, Inputs],
    left_out: int = 0,
) -> TeacherDescription:
    """Return the description of a teacher for a manifest, with a few of its logits for some samples.

    Args:
        teacher: the teacher.
        names: its names in a configuration.
        combine: average of several teachers.
        precision: precision of its logits.
        columns: raw values `[n, ...]` of some samples by the name of the column.
        left_out: number of training samples that were given no prediction.
    """
    networks = [network for network in teacher.modules() if isinstance(network, Normalised)]
    statistics: list[dict[str, Any]] = [
        {name: getattr(network, name).flatten().tolist() for name in ("mean", "std")} for network in networks
    ]
    return validate(
        TeacherDescription,
        {
            "names": names,
            "combine": combine,
            "fingerprint": teacher.fingerprint(),
            "precision": precision,
            "normalisation": statistics,
            "functions": probe_functions("teacher", teacher.modules(), columns),
            "left_out": left_out,
        },
    )
