"""Shards: safetensors files, mapped behind each other without reading them."""

import gc
import os
import resource
import sys
import time

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from instar.errors import StoreError
from instar.targets.shards import (
    PAGE_BYTES,
    hash_records,
    map_shards,
    read_checksum,
    read_records,
    rows_per_shard,
    write_shard,
)

WIDTH = 4096
ROWS = PAGE_BYTES // WIDTH  # of the smallest shard that another can lie behind


def some(rows, width=WIDTH, seed=0):
    return torch.randint(256, (rows, width), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


def written(folder, *sizes):
    """Write shards with these numbers of rows; return their paths and all records."""
    records = [some(rows, seed=seed) for seed, rows in enumerate(sizes)]
    paths = [folder / f"train-{index:05d}.safetensors" for index in range(len(sizes))]
    for path, rows in zip(paths, records, strict=True):
        write_shard(path, rows)
    return paths, torch.cat(records)


@pytest.mark.parametrize("sizes", [[1], [ROWS], [ROWS, 1], [2 * ROWS, 2 * ROWS, 3], [ROWS, 3 * ROWS, ROWS]], ids=str)
def test_shards_that_are_mapped_are_the_records_behind_each_other(tmp_path, sizes):
    paths, records = written(tmp_path, *sizes)
    found = map_shards(paths, sizes, WIDTH)
    assert torch.equal(found, records)
    index = torch.randperm(len(records), generator=torch.Generator().manual_seed(0))
    assert torch.equal(found.index_select(0, index), records[index])


@pytest.mark.parametrize("width", [4, 8, 20, 132, 1000, 1088, 4096, 200192, 1 << 27])
@pytest.mark.parametrize("wanted", [None, 1, 1000, 70000])
def test_a_shard_ends_at_a_page_and_has_the_rows_that_were_wanted_or_few_more(width, wanted):
    rows = rows_per_shard(width, wanted)
    least = next(rows for rows in range(1, PAGE_BYTES + 1) if rows * width % PAGE_BYTES == 0)
    usual = min(65536, max(1, (64 << 20) // width))
    assert rows * width % PAGE_BYTES == 0
    assert 0 <= rows - (wanted or usual) < least


def test_a_shard_is_a_safetensors_file(tmp_path):
    (path,), records = written(tmp_path, 5)
    assert torch.equal(load_file(path)["rows"], records)
    with safe_open(path, framework="pt") as file:
        assert file.metadata() == {"checksum": hash_records(records)}
    assert path.read_bytes()[PAGE_BYTES:] == records.numpy().tobytes()
    assert [found.name for found in tmp_path.iterdir()] == [path.name]


def test_its_checksum_is_that_of_its_bytes(tmp_path):
    (path,), records = written(tmp_path, 5)
    assert read_checksum(path, 5, WIDTH) == hash_records(records) == hash_records(read_records(path, 5, WIDTH))
    assert hash_records(records.view(10, -1)) == hash_records(records)


@pytest.mark.parametrize("bit", [0, 12345, 5 * WIDTH * 8 - 1])
def test_one_bit_changes_the_checksum(tmp_path, bit):
    (path,), records = written(tmp_path, 5)
    content = bytearray(path.read_bytes())
    content[PAGE_BYTES + bit // 8] ^= 1 << bit % 8
    path.write_bytes(content)
    assert hash_records(read_records(path, 5, WIDTH)) != hash_records(records)


def test_a_missing_shard_is_named(tmp_path):
    paths, _ = written(tmp_path, ROWS, 3)
    paths[1].unlink()
    for ask in (lambda: map_shards(paths, [ROWS, 3], WIDTH), lambda: read_checksum(paths[1], 3, WIDTH)):
        with pytest.raises(StoreError, match=r"train-00001\.safetensors' is missing; run the label command again"):
            ask()


@pytest.mark.parametrize("change", [-1, 1, -3 * WIDTH])
def test_a_shard_of_another_size_is_named_with_both(tmp_path, change):
    paths, _ = written(tmp_path, ROWS, 3)
    size = paths[1].stat().st_size
    os.truncate(paths[1], size + change)
    sentence = rf"train-00001\.safetensors' has {size + change:,} bytes instead of {size:,}; delete it, and run"
    for ask in (lambda: map_shards(paths, [ROWS, 3], WIDTH), lambda: read_checksum(paths[1], 3, WIDTH)):
        with pytest.raises(StoreError, match=sentence):
            ask()


def test_what_is_as_long_and_no_safetensors_file_is_damaged(tmp_path):
    (path,), _ = written(tmp_path, 5)
    path.write_bytes(bytes(path.stat().st_size))
    with pytest.raises(StoreError, match=r"train-00000\.safetensors' is damaged: .*\."):
        read_checksum(path, 5, WIDTH)


def test_records_of_another_shape_are_refused_and_both_are_named(tmp_path):
    (path,), _ = written(tmp_path, 6)
    with pytest.raises(StoreError, match=rf"has records of shape \[6, {WIDTH}\], expected \[3, {2 * WIDTH}\]"):
        read_checksum(path, 3, 2 * WIDTH)


def test_a_shard_that_is_written_again_replaces_the_first_and_leaves_its_mapping(tmp_path):
    (path,), records = written(tmp_path, 5)
    before = read_records(path, 5, WIDTH)
    write_shard(path, some(5, seed=9))
    assert torch.equal(before, records)
    assert torch.equal(read_records(path, 5, WIDTH), some(5, seed=9))


def test_a_mapping_lives_as_long_as_any_tensor_of_it(tmp_path):
    paths, records = written(tmp_path, ROWS, ROWS, 3)
    whole = map_shards(paths, [ROWS, ROWS, 3], WIDTH)
    view, turned = whole[ROWS - 2 : ROWS + 2], whole.view(-1, 2)[-1]
    for path in paths:
        path.unlink()
    del whole
    gc.collect()
    others = [torch.zeros(1 << 20, dtype=torch.uint8).fill_(7) for _ in range(20)]  # would take the place
    assert torch.equal(view.index_select(0, torch.tensor([3, 0])), records[[ROWS + 1, ROWS - 2]])
    assert torch.equal(turned, records.view(-1, 2)[-1])
    del others


@pytest.mark.skipif(sys.platform != "linux", reason="mappings are listed in /proc")
def test_a_mapping_ends_with_its_last_tensor_and_after_a_refusal(tmp_path):
    def mappings():
        with open("/proc/self/maps") as file:
            return sum(str(tmp_path) in line for line in file)

    paths, _ = written(tmp_path, ROWS, ROWS, 3)
    whole = map_shards(paths, [ROWS, ROWS, 3], WIDTH)
    assert mappings() == 3
    part = whole[:1]
    del whole
    gc.collect()
    assert mappings() == 3
    del part
    gc.collect()
    assert mappings() == 0
    with pytest.raises(StoreError):
        map_shards(paths, [ROWS, ROWS, 4], WIDTH)
    gc.collect()
    assert mappings() == 0


def test_opening_reads_nothing(tmp_path):
    width, rows = 65536, 20000  # 1.3 GB each, which the file system need not hold
    paths = [tmp_path / f"{index}.safetensors" for index in range(3)]
    for path in paths:
        path.touch()
        os.truncate(path, PAGE_BYTES + rows * width)
    with paths[2].open("rb+") as file:
        file.seek(-3, os.SEEK_END)
        file.write(b"end")
    unit = 1 if sys.platform == "darwin" else 1024
    peak, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter()
    records = map_shards(paths, [rows] * 3, width)
    found = records.index_select(0, torch.tensor([3 * rows - 1, rows, 0]))
    assert time.perf_counter() - start < 2
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak) * unit < 100e6
    assert records.numel() > 3.9e9
    assert bytes(found[0, -3:].tolist()) == b"end"
    assert found[1:].count_nonzero() == 0
