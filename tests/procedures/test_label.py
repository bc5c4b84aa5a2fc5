"""What labelling keeps when it cannot go on, and what it asks for again."""

import errno
import os
from collections import namedtuple
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from instar.data import load_data
from instar.errors import InstarError, NonFiniteError, StoreError
from instar.procedures.distill import distill
from instar.procedures.label import label
from instar.procedures.target_stores import verify_targets
from instar.teachers import Ensemble, Module

DIGITS = load_data("digits", subset=500)
VIEWS = {"views": "Shift(1)", "num_views": 5, "show": False}
SHARDS = {"keep": "top:5", "dtype": "float32", "shard_rows": 1}  # of 2,048 rows
Usage = namedtuple("Usage", "total used free")


def network(outputs: int = 10, inputs: int = 64, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Flatten(), nn.Linear(inputs, outputs))


class Ill(Module):
    """Says `value` about some ids in one view, until it is mended."""

    value, ids, view, asked = float("nan"), (), 0, 0

    def targets(self, batch: Any) -> Any:
        answers = super().targets(batch)
        self.asked += len(batch) if len(batch) > 2 else 0
        if len(batch) > 2 and batch.view == self.view and batch.origin.samples.source is DIGITS.train.source:
            answers.values[torch.isin(batch.ids, torch.tensor(self.ids, dtype=torch.int64)), 0] = self.value
        return answers


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.glob("[!.]*"))}


def stamps(folder: Path) -> dict[str, tuple[int, int]]:
    return {path.name: (path.stat().st_ino, path.stat().st_mtime_ns) for path in folder.glob("*-*.safetensors")}


def test_a_complete_store_is_not_asked_for_again(tmp_path: Path) -> None:
    teacher = Ill(network())
    label(DIGITS, teacher, out=tmp_path / "store", **VIEWS)
    before, asked = stamps(tmp_path / "store"), teacher.asked
    assert asked == 5 * 500 + 120 + 597 + 120, "each view of each sample once, and at first the validation samples"
    assert label(DIGITS, teacher, out=tmp_path / "store", **VIEWS).complete
    assert teacher.asked == asked
    assert stamps(tmp_path / "store") == before


def test_a_disk_with_too_little_room_is_refused_before_a_shard_is_written(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda path: Usage(10**9, 10**9 - 100_000, 100_000))
    with pytest.raises(
        StoreError, match=r"store' needs 0\.4 MB more, but the disk has 0\.1 MB; free some space, or store"
    ):
        label(DIGITS, network(), out=tmp_path / "store", **VIEWS, **SHARDS)
    assert not list((tmp_path / "store").glob("*-*.safetensors"))


def test_a_share_needs_room_for_its_own_shards_alone(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda path: Usage(10**9, 10**9 - 150_000, 150_000))
    label(DIGITS, network(), out=tmp_path / "store", share=(1, 4), **VIEWS, **SHARDS)  # one shard of 131,072 bytes


def test_a_disk_that_fills_up_loses_no_shard_that_is_whole(tmp_path: Path, monkeypatch) -> None:
    straight = label(DIGITS, network(), out=tmp_path / "straight", **VIEWS, **SHARDS)
    teacher, left, fsync = Ill(network()), iter(range(4)), os.fsync  # ids, manifest and two shards

    def full(file: int) -> None:
        if next(left, None) is None:
            raise OSError(errno.ENOSPC, "No space left on device")
        fsync(file)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(
        InstarError, match=r"the disk has no space left to write '.*'; free some space and run the same com"
    ):
        label(DIGITS, teacher, out=tmp_path / "store", **VIEWS, **SHARDS)
    monkeypatch.setattr(os, "fsync", fsync)
    kept = stamps(tmp_path / "store")
    assert 0 < len(kept) < len(straight.pieces())
    assert not list((tmp_path / "store").glob(".*.partial"))
    with pytest.raises(StoreError, match=r"is not complete: \d of 4 shards are missing; run its label command again"):
        verify_targets(tmp_path / "store")
    label(DIGITS, teacher, out=tmp_path / "store", **VIEWS, **SHARDS)
    assert kept.items() <= stamps(tmp_path / "store").items()
    shards = [name for name in bytes_of(straight.path) if "-" in name]
    assert all((tmp_path / "store" / name).read_bytes() == (straight.path / name).read_bytes() for name in shards)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_samples_without_an_answer_are_listed_and_only_their_shards_are_made_again(tmp_path, value: float) -> None:
    teacher = Ill(network())
    ids = DIGITS.train.ids[[3, 400]].tolist()
    teacher.value, teacher.ids, teacher.view = value, tuple(ids), 1  # rows 503 and 900, of the first shard of two
    with pytest.raises(
        NonFiniteError,
        match=r"answered with NaN or without any probability about 2 samples of 'digits \(train\)' "
        rf"\(ids {ids[0]}, {ids[1]}\)"
        r"; 1 of 4 shards were not written, the others are kept",
    ):
        label(DIGITS, teacher, out=tmp_path / "store", **VIEWS, **SHARDS)
    kept = stamps(tmp_path / "store")
    assert sorted(kept) == ["test-00000.safetensors", "train-00001.safetensors", "validation-00000.safetensors"]
    with pytest.raises(StoreError, match="is not complete: 1 of 4 shards are missing"):
        distill(DIGITS, tmp_path / "store", "mlp", out=tmp_path / "run")
    teacher.ids, teacher.asked = (), 0
    store = label(DIGITS, teacher, out=tmp_path / "store", **VIEWS, **SHARDS)
    assert teacher.asked == 2048 + 120, "the missing shard, and the validation samples at the first look"
    assert kept.items() <= stamps(tmp_path / "store").items()
    straight = label(DIGITS, teacher, out=tmp_path / "straight", **VIEWS, **SHARDS)
    assert torch.equal(store.part("train").records, straight.part("train").records)


def test_samples_without_an_answer_are_named_with_their_source(tmp_path: Path) -> None:
    class Iller(Module):
        def targets(self, batch: Any) -> Any:
            answers = super().targets(batch)
            if len(batch) > 2:
                answers.values[torch.isin(batch.ids, torch.tensor([ill["train"], ill["test"]]))] = float("nan")
            return answers

    known = set(DIGITS.train.ids.tolist()) | set(DIGITS.validation.ids.tolist())
    ill = {"train": int(DIGITS.train.ids[-1]), "test": min(set(range(len(DIGITS.test))) - known)}
    assert ill["train"] >= len(DIGITS.test)
    with pytest.raises(NonFiniteError) as found:
        label(DIGITS, Iller(network()), out=tmp_path / "store", **VIEWS)
    assert (
        f"2 samples of 'digits (train)' with NaN or without any probability (ids {ill['test']}, {ill['train']})"
        not in str(found)
    )
    assert "'digits (test)'" in str(found)


def test_drawn_classes_are_those_of_the_seed(tmp_path: Path) -> None:
    def drawn(name: str, **changes: Any) -> Tensor:
        settings = {"keep": "sample:3", "views": "Identity()", "show": False} | changes
        return label(DIGITS, network(), out=tmp_path / name, **settings).part("train").records

    first = drawn("first")
    assert torch.equal(first, drawn("again"))
    assert torch.equal(first, drawn("smaller", batch_size=50))
    assert not torch.equal(first, drawn("other", seed=1))


def test_an_arithmetic_mean_of_folders_is_recorded_with_its_temperature(tmp_path: Path) -> None:
    stores = [label(DIGITS, network(seed=k), out=tmp_path / str(k), dtype="float32", **VIEWS) for k in range(2)]
    several = [store.path for store in stores]
    store = label(DIGITS, several, out=tmp_path / "mean", combine="arithmetic", dtype="float32", temperature=3, **VIEWS)
    assert store.manifest.teacher.combine == "arithmetic"
    assert store.manifest.teacher.names == tuple(map(str, several))
    parts = {name: (part.keep, part.temperature) for name, part in store.manifest.parts.items()}
    assert parts == {"train": ("all", 3.0), "validation": ("all", 1.0), "test": ("all", 1.0)}
    again = Ensemble([network(seed=0), network(seed=1)], "arithmetic")
    ids = DIGITS.train.ids
    found = [store.part("train").targets(ids, 4).log_probs(3.0)]
    found += [one.part("train").targets(ids, 4).log_probs(3.0).exp() for one in stores]
    torch.testing.assert_close(found[0].exp(), (found[1] + found[2]) / 2)
    with pytest.raises(StoreError, match="holds targets of a teacher with fingerprint"):
        verify_targets(store, teacher=again)
    assert verify_targets(store).difference < 1e-6
