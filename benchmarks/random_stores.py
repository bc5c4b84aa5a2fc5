"""Target stores of random predictions, of any size, without a teacher and without data.

A few thousand predictions are drawn, and each row of a shard holds some of them by a second draw. So all bytes are
written, and the expected content of any row can be computed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from instar.runs.environment import package_version
from instar.seeds import Draws, generator
from instar.targets import (
    DenseTargets,
    Keep,
    Manifest,
    PartDescription,
    Record,
    SparseTargets,
    Targets,
    TargetStore,
    TeacherDescription,
)
from instar.targets.shards import rows_per_shard
from measure import seconds

DRAWN_ANSWERS, ANSWERS_PER_DRAW = 4096, 512


@dataclass(frozen=True)
class RandomStore:
    """A store of random predictions, to be written.

    Args:
        folder: folder of the store.
        num_classes: number of classes.
        keep: "all" or "top:K", in float16.
        samples: number of rows.
        positions: shape of the positions of a sample.
    """

    folder: Path
    num_classes: int
    keep: str
    samples: int
    positions: tuple[int, ...] = ()

    @cached_property
    def record(self) -> Record:
        """Layout of a prediction."""
        return Record(Keep.parse(self.keep), "float16", self.num_classes, None if self.keep == "all" else 1.0)

    def manifest(self) -> Manifest:
        """Return the manifest of the store."""
        part = PartDescription(
            source="random",
            fingerprint="random",
            samples=self.samples,
            keep=self.keep,
            temperature=self.record.temperature,
            positions=self.positions,
            rows_per_shard=rows_per_shard(self.record.width * math.prod(self.positions)),
        )
        return Manifest(
            version=package_version(),
            teacher=TeacherDescription(names=("random",), fingerprint="random"),
            data={},
            classes=tuple(map(str, range(self.num_classes))),
            parts={"train": part},
        )

    @cached_property
    def answers(self) -> Tensor:
        """Records of the drawn predictions, uint8 `[DRAWN_ANSWERS, width]`."""
        random, found = generator(0, "answers"), []
        # in parts, because 4,096 rows of 128,000 classes are 2 GB
        for _ in range(0, DRAWN_ANSWERS, ANSWERS_PER_DRAW):
            values = torch.randn(ANSWERS_PER_DRAW, self.num_classes, generator=random).mul_(4).log_softmax(-1)
            found.append(self.record.encode_values(values, Draws(0, torch.arange(ANSWERS_PER_DRAW), 0)))
        return torch.cat(found)

    def places(self, shard: int, rows: int) -> Tensor:
        """Return the indices of the predictions in the rows of a shard, int64 `[rows, positions]`."""
        return torch.randint(DRAWN_ANSWERS, (rows, math.prod(self.positions)), generator=generator(0, "shard", shard))

    def write(self) -> tuple[TargetStore, float]:
        """Write the store; return it with the seconds of writing, without those of drawing.

        Raises:
            StoreError: when the disk has too little room; nothing is written then.
        """
        store = TargetStore.start(self.folder, self.manifest(), {})
        store.refuse_full_disk(store.missing())
        part = store.manifest.parts["train"]
        writing = 0.0
        for piece in store.pieces():
            rows = len(part.shard_rows(piece.index))
            records = self.answers.index_select(0, self.places(piece.index, rows).flatten()).view(rows, -1)
            writing += seconds(lambda piece=piece, records=records: store.write(piece, records))
        return store, writing + seconds(store.finish)

    def prove(self, store: TargetStore, rows: int = 8) -> None:
        """Compare the content of some random rows with the expected content."""
        part = store.part("train")
        for id_ in torch.randint(self.samples, (rows,), generator=generator(0, "proof")):
            shard, place = divmod(int(id_), part.part.rows_per_shard)
            held = self.places(shard, len(part.part.shard_rows(shard)))[place]
            found, expected = part.targets(id_[None], 0), self.record.decode(self.answers[held])
            for mine, theirs in zip(numbers(found), numbers(expected), strict=True):
                assert torch.equal(mine.flatten(), theirs.flatten()), f"row {id_} holds something else"


def numbers(targets: Targets) -> tuple[Tensor, ...]:
    """Return the tensors that targets consist of."""
    if isinstance(targets, SparseTargets):
        return targets.ids, targets.kept, targets.entropy
    assert isinstance(targets, DenseTargets)
    return (targets.values,)
