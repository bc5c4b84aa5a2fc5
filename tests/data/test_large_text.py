"""Text that is larger than memory: its tokens are mapped, and windows are made when they are taken."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.hash_by_hand import hash_by_hand

from instar.analysis.scores import UNLABELLED
from instar.config import DataConfig
from instar.data import Loader, Samples, Source, decoded, load_data, stored
from instar.data.text import cut_windows

TOKENS = {"small": 600_000, "large": 12_000_000}
WORDS = ["<eos>", "a", "b"]


def never(*_: object) -> bytes:
    raise AssertionError("read again")


def write_tokens(folder: Path, tokens: np.ndarray) -> dict:
    for split in ("train", "test"):
        np.save(folder / f"{split}-tokens.npy", tokens)
    files = {f"{split}-tokens.npy": {"checksum": split} for split in ("train", "test")}
    return {"splits": ["train", "test"], "classes": WORDS, "files": files, "end": 0}


def windows_by_hand(tokens: np.ndarray, length: int, end: int) -> tuple[np.ndarray, np.ndarray]:
    count = -(-len(tokens) // length) * length
    inputs, labels = np.zeros(count, dtype=np.int32), np.full(count, UNLABELLED, dtype=np.int64)
    inputs[: len(tokens)], labels[: len(tokens)] = [end, *tokens[:-1]], tokens
    return inputs.reshape(-1, length), labels.reshape(-1, length)


# 16,352 int32 and a header of 128 bytes end at the end of a page of every usual size
@pytest.mark.parametrize("count", [1, 7, 16_351, 16_352, 16_353, 50_000])
@pytest.mark.parametrize("length", [1, 5, 35, 40_000])
def test_mapped_windows_are_those_of_all_tokens_in_memory(tmp_path: Path, count: int, length: int) -> None:
    tokens = np.random.default_rng(count).integers(0, 3, count, dtype=np.int32)
    holds = write_tokens(tmp_path, tokens)
    mapped = decoded.read(tmp_path, holds, DataConfig(source="text", length=length), 0)["train"]
    held = cut_windows("text", tokens, tuple(WORDS), 0, length)
    inputs, labels = windows_by_hand(tokens, length, 0)
    for source in (mapped, held):
        assert np.array_equal(source.inputs.numpy(), inputs)
        assert source.inputs.dtype == torch.int32
        assert np.array_equal(Samples.all_of(source).labels.numpy(), labels)
        assert Samples.all_of(source).labels.dtype == torch.int64
        assert source.fingerprint() == hash_by_hand(source)
    assert np.array_equal(np.load(tmp_path / "train-tokens.npy"), tokens)  # the ends of windows are not in the file


def test_batches_have_the_windows_of_their_samples(tmp_path: Path) -> None:
    tokens = np.random.default_rng(0).integers(0, 3, 1003, dtype=np.int32)
    holds = write_tokens(tmp_path, tokens)
    inputs, labels = windows_by_hand(tokens, 10, 0)
    for stream in (True, False):
        config = DataConfig(source="text", length=10, stream=stream)
        samples = Samples.all_of(decoded.read(tmp_path, holds, config, 0)["train"])
        rest, share = samples.split(0.1, seed=0)
        for some in (samples, rest, share, rest.drop_labels(0.5, seed=1)):
            loader = Loader(some, 4, seed=2)
            for batch in (loader.batch(0), loader.batch(5), next(loader.in_order(trim=False))):
                at = batch.ids.tolist()
                assert np.array_equal(batch.inputs.numpy(), inputs[at])
                assert batch.labels.dtype == torch.int64
                wanted = labels[at]
                if some.own_labels is not None:
                    wanted = some.own_labels[some.places(batch.ids)].numpy()
                assert np.array_equal(batch.labels.numpy(), wanted)


def write_zeros(folder: Path, count: int) -> dict:
    """Two texts of `count` and a tenth as many tokens, in sparse files, which take no space and read as zeros."""
    folder.mkdir()
    holds = write_tokens(folder, np.zeros(1, dtype=np.int32))
    for split, number in (("train", count), ("test", count // 10)):
        with (folder / f"{split}-tokens.npy").open("wb") as file:
            np.lib.format.write_array_header_1_0(file, {"descr": "<i4", "fortran_order": False, "shape": (number,)})
            file.truncate(file.tell() + 4 * number)
    return holds


USE = """
import ctypes
import sys
from pathlib import Path
from instar.config import DataConfig
from instar.data import Loader, dataset, decoded

def use(folder, holds, stream):
    config = DataConfig(source="text", length=512, stream=stream)
    sources = decoded.read(Path(folder), holds, config, 0)
    data = dataset._select(config, sources["train"], None, sources["test"])
    described = data.describe()
    data.fingerprints()
    loader = Loader(data.train, 32, seed=0)
    for step in (0, 1, 100, loader.steps_per_epoch, 2 * loader.steps_per_epoch - 1):
        loader.batch(step)
    next(Loader(data.test, 32, seed=0).in_order())
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # what glibc keeps of freed buffers is not the text's
    if trim:
        trim(0)
    status = Path("/proc/self/status").read_text()
    memory = int(next(line for line in status.splitlines() if line.startswith("RssAnon")).split()[1]) / 1e3
    return described, memory  # MB, without mapped files

for folder, holds in {folders!r}:
    for stream in (True, False):
        print(*use(folder, holds, stream), sep="; memory ")
"""


def test_memory_does_not_grow_with_the_text(tmp_path: Path) -> None:
    if not Path("/proc/self/status").exists():
        pytest.skip("memory of a process is read from /proc")
    folders = [(str(tmp_path / name), write_zeros(tmp_path / name, count)) for name, count in TOKENS.items()]
    program = USE.replace("{folders!r}", repr(folders))
    found = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout
    lines = [line.split("; memory ") for line in found.splitlines()]
    assert lines[-1][0].startswith("'text': 21,094 train, 2,344 validation and 2,344 test samples; 3 classes")
    small, _, *large = (float(memory) for _, memory in lines)
    assert max(large) - small < 10  # MB; 380 when all windows were made at once


def test_what_is_known_of_a_text_is_kept_for_every_length(
    tmp_path: Path, empty_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stored, "MIN_STORED_BYTES", 0)
    (tmp_path / "text").mkdir()
    for split in ("train", "test"):
        (tmp_path / "text" / f"{split}.txt").write_text("a rose is a rose\nis a rose\n" * 20)
    first = [load_data(tmp_path / "text", length=length) for length in (3, 5)]
    wanted = [hash_by_hand(one.train.source) for one in first]
    described = [one.describe() for one in first]
    assert [one.train.source.fingerprint() for one in first] == wanted
    assert len(set(wanted)) == 2
    monkeypatch.setattr(Source, "_hash_content", never)
    monkeypatch.setattr(Samples, "parts", never)
    again = [load_data(tmp_path / "text", length=length) for length in (3, 5)]
    assert [one.train.source.fingerprint() for one in again] == wanted
    assert [one.describe() for one in again] == described
