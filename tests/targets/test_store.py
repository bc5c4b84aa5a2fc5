"""Target stores: resumed, verified to the bit, and read by id and view."""

import math
import shutil
import types

import pytest
import torch

from instar.errors import StoreError
from instar.seeds import Draws
from instar.targets import DenseTargets, Manifest, PartDescription, TargetStore, TeacherDescription
from instar.targets.manifest import ALL_IDS
from instar.targets.shards import PAGE_BYTES, checksum_of_ids, ids_file, link, rows_per_shard

CLASSES = tuple(f"class {index}" for index in range(512))
IDS = torch.tensor([1, 4, 5, 30, 31, 77])


def part(samples=20, ids=None, keep="all", temperature=None, positions=(), num_views=2, **changed):
    """Return a part with the smallest possible shards, 64 rows of all classes."""
    described = {"source": "numbers", "fingerprint": "f" * 32, "samples": samples, "num_views": num_views}
    plain = PartDescription(rows_per_shard=1, keep=keep, temperature=temperature, positions=positions, **described)
    rows = rows_per_shard(plain.width(len(CLASSES)), 1)
    checked = ALL_IDS if ids is None else checksum_of_ids(ids)
    return plain.model_copy(update={"rows_per_shard": rows, "ids": checked, **changed})


def plan(**parts):
    answering = TeacherDescription(names=("runs/teacher",), fingerprint="a" * 32)
    return Manifest(version="0", teacher=answering, data={}, classes=CLASSES, parts=parts)


def answers(part, ids, view):
    """Return targets that differ for each id and view."""
    shape = (len(ids), *part.positions, len(CLASSES))
    noise = torch.arange(math.prod(shape[1:])).mul(7).remainder(13).view(shape[1:])
    return DenseTargets((noise + 0.1 * (ids.view(-1, *[1] * len(shape[1:])) + 3) * (view + 1) * noise.sin()).float())


def made(folder, ids=None, **parts):
    """Return a complete store; `ids` are those of parts with only some samples."""
    ids = ids or {}
    store = TargetStore.start(folder, plan(**parts), ids)
    for piece in store.missing():
        described = store.manifest.parts[piece.part]
        of_part = ids.get(piece.part, torch.arange(described.samples))
        record, rows = described.record(len(CLASSES)), []
        for row in described.shard_rows(piece.index):
            view, at = divmod(row, described.samples)
            said = answers(described, of_part[[at]], view)
            rows.append(record.encode(said, Draws(0, of_part[[at]], view)).reshape(1, -1))
        store.write(piece, torch.cat(rows))
    store.finish()
    return store


def flip(path, at):
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("keep", ["all", "top:5", "sample:7"])
@pytest.mark.parametrize("positions", [(), (3,)], ids=str)
def test_targets_are_found_by_id_and_view(tmp_path, keep, positions):
    described = part(400, keep=keep, temperature=None if keep == "all" else 2.0, positions=positions)
    made(tmp_path / "store", train=described)
    store = TargetStore(tmp_path / "store")
    assert store.complete
    ids = torch.tensor([399, 0, 17, 17, 200])
    for view in (0, 1):
        record = described.record(len(CLASSES))
        expected = record.decode(record.encode(answers(described, ids, view), Draws(0, ids, view)))
        found = store.part("train").targets(ids, view)
        for name in ("values",) if keep == "all" else ("ids", "kept", "entropy"):
            torch.testing.assert_close(getattr(found, name), getattr(expected, name))
        assert found.num_classes == len(CLASSES)
        assert found.temperature == described.temperature


def test_a_part_of_some_samples_is_read_by_their_ids(tmp_path):
    described = part(len(IDS), IDS)
    stored = made(tmp_path / "store", {"train": IDS}, train=described).part("train")
    assert stored.rows(torch.tensor([77, 1, 30]), 0).tolist() == [5, 0, 3]
    assert stored.rows(torch.tensor([77, 1, 30]), 1).tolist() == [11, 6, 9]
    assert stored.unknown(torch.tensor([0, 1, 2, 31, 77, 78, 1000])).tolist() == [0, 2, 78, 1000]
    assert len(stored.unknown(IDS.flip(0))) == 0
    ids = torch.tensor([31, 4])
    expected = answers(described, ids, 1).log_probs(1.0)
    torch.testing.assert_close(stored.targets(ids, 1).log_probs(1.0), expected, rtol=0, atol=0.05)


def test_a_part_of_all_samples_knows_the_ids_of_its_source(tmp_path):
    stored = made(tmp_path / "store", train=part(20)).part("train")
    assert stored.rows(torch.tensor([19, 0]), 0).tolist() == [19, 0]
    assert stored.rows(torch.tensor([19, 0]), 1).tolist() == [39, 20]
    assert stored.unknown(torch.tensor([0, 19, 20, 500])).tolist() == [20, 500]


def test_shards_are_those_of_all_parts_in_turn(tmp_path):
    train, test = part(400), part(IDS.numel(), IDS, keep="top:5", temperature=1.0)
    store = made(tmp_path / "store", {"test": IDS}, train=train, test=test)
    assert train.num_shards == math.ceil(800 / train.rows_per_shard) > 1
    names = [f"train-{index:05d}.safetensors" for index in range(train.num_shards)] + ["test-00000.safetensors"]
    assert [piece.name for piece in store.pieces()] == names
    assert [piece.number for piece in store.pieces()] == list(range(len(names)))
    assert sum(shard.rows for shard in store.manifest.parts["train"].shards) == 800
    assert store.check() == 800 * train.width(512) + 12 * test.width(512)


def test_every_bit_is_checked(tmp_path):
    store = made(tmp_path / "store", train=part(400))
    last = store.file(store.pieces()[-1])
    for at in (PAGE_BYTES, last.stat().st_size - 1):
        flip(last, at)
        with pytest.raises(StoreError, match=rf"the shard '.*{last.name}' has changed since it was written: its check"):
            TargetStore(tmp_path / "store").check()
        flip(last, at)
    assert TargetStore(tmp_path / "store").check() == store.check()


def test_ids_are_checked(tmp_path):
    made(tmp_path / "store", {"train": IDS}, train=part(len(IDS), IDS))
    flip(ids_file(tmp_path / "store", "train"), -8)
    with pytest.raises(
        StoreError, match=r"train\.ids\.safetensors' has changed since it was written; delete it, and run"
    ):
        TargetStore(tmp_path / "store").check()


@pytest.mark.parametrize("size", [None, -8, 8])
def test_missing_or_truncated_ids_are_named_and_written_again(tmp_path, size):
    store = made(tmp_path / "store", {"train": IDS}, train=part(len(IDS), IDS))
    path = ids_file(tmp_path / "store", "train")
    content = path.read_bytes()
    path.unlink()
    if size:
        path.write_bytes((content + bytes(8))[: len(content) + size])
    with pytest.raises(StoreError, match=r"train\.ids\.safetensors' (is missing|has [\d,]+ bytes instead of [\d,]+); "):
        TargetStore(tmp_path / "store").part("train")
    TargetStore.start(tmp_path / "store", plan(train=part(len(IDS), IDS)), {"train": IDS})
    assert path.read_bytes() == content
    assert TargetStore(tmp_path / "store").check() == store.check()


def test_a_missing_shard_is_named_when_its_part_is_opened(tmp_path):
    store = made(tmp_path / "store", train=part(400))
    store.file(store.pieces()[1]).unlink()
    assert [piece.index for piece in store.missing()] == [1]
    with pytest.raises(StoreError, match=r"train-00001\.safetensors' is missing"):
        TargetStore(tmp_path / "store").part("train")


def test_an_incomplete_store_is_refused_with_the_number_of_missing_shards(tmp_path):
    store = TargetStore.start(tmp_path / "store", plan(train=part(400)), {})
    number = len(store.pieces())
    with pytest.raises(StoreError, match=rf"is not complete: {number} of {number} shards are missing; run its label"):
        store.part("train")
    piece = store.pieces()[0]
    described = store.manifest.parts["train"]
    store.write(piece, torch.zeros(described.rows_per_shard, described.width(512), dtype=torch.uint8))
    assert not store.complete
    with pytest.raises(StoreError, match=rf"is not complete: {number - 1} of {number} shards are missing"):
        TargetStore(tmp_path / "store").part("train")
    with pytest.raises(StoreError, match=r"train-00001\.safetensors' is missing"):
        store.finish()
    assert not TargetStore(tmp_path / "store").complete


def test_a_full_disk_is_refused_before_the_first_shard(tmp_path, monkeypatch):
    store = TargetStore.start(tmp_path / "store", plan(train=part(400)), {})
    needed = sum(
        PAGE_BYTES + len(store.manifest.parts["train"].shard_rows(piece.index)) * 1024 for piece in store.pieces()
    )
    free = types.SimpleNamespace(free=needed)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: free)
    store.refuse_full_disk(store.missing())
    free.free = needed - 1_000_000
    sentence = f"needs {needed / 1e6:,.1f} MB more, but the disk has {needed / 1e6 - 1:,.1f} MB; free some space, or"
    with pytest.raises(StoreError, match=sentence):
        store.refuse_full_disk(store.missing())


def test_linked_files_are_equal_and_replace_existing_ones(tmp_path):
    source, target = tmp_path / "one", tmp_path / "other"
    source.write_bytes(b"new")
    target.write_bytes(b"old")
    link(source, target)
    assert target.read_bytes() == b"new"
    assert sorted(found.name for found in tmp_path.iterdir()) == ["one", "other"]
