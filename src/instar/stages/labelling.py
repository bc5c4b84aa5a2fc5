"""Labelling by a teacher: its targets are written to a target store, shard by shard, by any number of processes."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import xxhash
from torch import Tensor

from instar.config import StoreConfig
from instar.data.columns.held import INPUTS
from instar.data.dataset import Data
from instar.data.loader import Loader
from instar.errors import ConfigError, MismatchError, NonFiniteError, StoreError, say
from instar.models.failures import refuse_failure
from instar.models.normalised import reader_in
from instar.runs.environment import package_version
from instar.stages.shard_records import make_records
from instar.stages.stored_layers import describe_stored_layers, hash_tokens
from instar.targets.claims import Piece
from instar.targets.layout import RowLayout
from instar.targets.manifest import ALL_IDS, MANIFEST_FILE, Manifest, PartDescription, TeacherDescription, read_manifest
from instar.targets.records import Keep, Record, number_of_values
from instar.targets.shards import checksum_of_ids, rows_per_shard
from instar.targets.store import TargetStore
from instar.teachers.stored import MAX_HASHED_TEXTS
from instar.teachers.teacher import Teacher
from instar.training.progress import ProgressBar


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
        layers: layers of the teacher whose outputs are stored beside the targets of the training samples.
    """

    teacher: Teacher
    answering: TeacherDescription
    data: Data
    loaders: Mapping[str, Loader]
    choices: Mapping[str, StoreConfig]
    shard_rows: int | None = None
    layers: tuple[str, ...] = ()

    @cached_property
    def manifest(self) -> Manifest:
        """The manifest of the store, without its shards; the teacher is queried about two samples of each part.

        Raises:
            MismatchError: when the teacher has other classes than the data, or does not hold at the temperature.
            ConfigError: when views are endless, or more classes are to be stored than there are.
        """
        parts = {name: self._part(name, self.choices[name]) for name in self.loaders}
        return Manifest(
            version=package_version(),
            teacher=self.answering,
            data=self.data.config.model_dump(mode="json"),
            classes=self.data.classes,
            parts=parts,
        )

    def layers_of(self, part: str) -> tuple[str, ...]:
        """Return the layers that a part keeps; students learn from the training samples alone."""
        return self.layers if part == "train" else ()

    def _part(self, name: str, choice: StoreConfig) -> PartDescription:
        loader = self.loaders[name]
        origin, samples = loader.origin, loader.samples
        if origin.num_views is None:
            raise ConfigError(
                f"a target store holds a number of views, and '{origin.views}' are endless; say how many (num_views)."
            )
        batch = next(loader.in_order()).part(0, 2)
        with refuse_failure("teacher", batch.column(INPUTS)):
            answer = self.teacher.answer(batch, self.layers_of(name))
        answers = answer.targets
        if answers.num_classes != samples.num_classes:
            raise MismatchError(
                f"the teacher has {answers.num_classes} classes, and '{samples.source.name}' has {samples.num_classes}."
            )
        keep = Keep.parse(choice.keep)
        # the logits of all classes give every temperature; an average of probabilities, or some classes, only one
        holds_at_any = keep.kind == "all" and answers.holds_at_any_temperature
        temperature = None if holds_at_any else choice.temperature or 1.0
        number = number_of_values(keep) if samples.source.task.predicts_numbers else choice.dtype
        record = Record(keep, number, samples.num_classes, temperature)
        # the positions of the source, because a batch may leave out those at its end
        positions = (samples.source.positions,) if samples.source.positions else record.values_of(answers).shape[1:-1]
        is_whole = len(samples) == len(samples.source)
        layers = describe_stored_layers(answer.features, self.teacher, loader, batch)
        few = samples.ids[:MAX_HASHED_TEXTS]
        networks = self.teacher.modules() if layers else []
        return PartDescription(
            source=samples.source.name,
            fingerprint=samples.source.fingerprint(),
            samples=len(samples),
            ids=ALL_IDS if is_whole else checksum_of_ids(samples.ids),
            views=str(origin.views),
            view_seed=origin.seed,
            num_views=origin.num_views,
            keep=str(keep),
            dtype=number,
            temperature=temperature,
            draw_seed=choice.seed if keep.kind == "sample" else 0,
            positions=tuple(positions),
            layers=layers,
            tokens=hash_tokens(reader_in(networks[0]), samples.source, few) if networks else {},
            rows_per_shard=rows_per_shard(RowLayout(record, tuple(positions), layers).width, self.shard_rows),
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
                            records, unanswered = self._make_records(store, piece, bar)
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

    def _make_records(self, store: TargetStore, piece: Piece, bar: ProgressBar) -> tuple[Tensor, list[int]]:
        part = store.manifest.parts[piece.part]
        rows = part.shard_rows(piece.index)
        return make_records(self.teacher, self.loaders[piece.part], part, rows, bar.advance)

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
