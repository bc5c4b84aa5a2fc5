"""Arrays in the cache that are larger than memory open at once, and never change."""

import time
from pathlib import Path

import numpy as np
import pytest
import torch

from instar.config import DataConfig
from instar.data import Samples, decoded
from instar.data.mapping import map_array
from instar.errors import DataError

BYTES = 200 * 10**9
SHAPE = (3, 224, 224)


@pytest.fixture
def large_copy(tmp_path: Path) -> Path:
    """A decoded copy of 200 GB: sparse files, which take no space and read as zeros."""
    count = BYTES // (3 * 224 * 224)
    for split in ("train", "test"):
        with (tmp_path / f"{split}.npy").open("wb") as file:
            header = {"descr": "|u1", "fortran_order": False, "shape": (count, *SHAPE)}
            np.lib.format.write_array_header_1_0(file, header)
            try:
                file.truncate(file.tell() + count * 3 * 224 * 224)
            except OSError as error:
                pytest.skip(f"this file system has no sparse files of 200 GB ({error.strerror})")
        np.save(tmp_path / f"{split}-labels.npy", np.arange(count) % 2)
    return tmp_path


def test_a_set_above_the_size_of_memory_opens_in_a_tenth_of_a_second(large_copy: Path) -> None:
    files = {f"{split}.npy": {"checksum": split} for split in ("train", "test")}
    holds = {"splits": ["train", "test"], "classes": ["a", "b"], "files": files}
    started = time.process_time()
    found = decoded.read(large_copy, holds, DataConfig(source="large"), decoded.MAX_LOADED_BYTES)
    assert time.process_time() - started < 0.1
    assert found["train"].inputs.nbytes > BYTES - 200_000
    assert not found["train"].inputs[[0, len(found["train"]) // 2, -1]].any()
    part = Samples.all_of(found["train"]).select(torch.tensor([5, 7])).inputs()
    assert part.shape == (2, *SHAPE)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("shape", [(0, 2), (5,), (3, 4, 2)])
def test_a_mapped_array_is_that_of_numpy_and_can_be_written(tmp_path: Path, shape: tuple[int, ...], order: str) -> None:
    array = np.asarray(np.random.default_rng(0).standard_normal(shape), order=order)
    np.save(tmp_path / "a.npy", array)
    found = map_array(tmp_path / "a.npy")
    assert found.dtype == array.dtype
    np.testing.assert_array_equal(found, array)
    if found.size:
        torch.from_numpy(found).zero_()
        assert not found.any()
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy"), array)


def test_a_system_that_refuses_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.save(tmp_path / "a.npy", np.ones(3))

    # a mapping that is neither private nor shared is refused by every system
    monkeypatch.setattr("instar.data.mapping._FLAGS", 0)
    with pytest.raises(DataError, match=r"a\.npy' \(0\.0 GB\) cannot be mapped: Invalid argument\. Allow it with"):
        map_array(tmp_path / "a.npy")
