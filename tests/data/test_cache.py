"""The cache of decoded data: used when it is whole and of these data, and never otherwise."""

import errno
import fcntl
import json
import os
import select
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import datasets
import numpy as np
import pytest
import torch
from PIL import Image as Pictures

from instar.config import DataConfig
from instar.data import cache, decoded, hub, images
from instar.data.hub import load_hub
from instar.data.opening import open_data
from instar.errors import DataError, RunError
from instar.runs.checksums import seal


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path / "grey", shade=10)
    return tmp_path / "grey"


def write(folder: Path, shade: int) -> None:
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=["a", "b"])})
    images = [Pictures.new("L", (6, 6), shade + step) for step in range(4)]
    rows = datasets.Dataset.from_dict({"image": images, "label": [0, 1, 0, 1]}, features=features)
    folder.mkdir(exist_ok=True)
    for split in ("train", "test"):
        rows.to_parquet(folder / f"{split}-00000-of-00001.parquet")


def load(folder: Path, image_size: tuple[int, int] | None = None, **options: int) -> list[int]:
    train, _, _ = load_hub(DataConfig(source=str(folder), image_size=image_size), **options)
    return train.inputs[:, 0, 0, 0].tolist()


def never(*_: object) -> None:
    raise AssertionError("decoded again")


def entries(cache: Path) -> list[str]:
    return sorted(path.name for path in cache.iterdir()) if cache.exists() else []


def test_the_second_time_nothing_is_decoded(folder: Path, empty_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = load_hub(DataConfig(source=str(folder)))[0]
    monkeypatch.setattr(images, "pixels_of", never)
    second = load_hub(DataConfig(source=str(folder)))[0]
    assert second.fingerprint() == first.fingerprint()
    assert len(entries(empty_cache)) == 1


def test_other_data_in_the_same_folder_are_decoded_again(folder: Path, empty_cache: Path) -> None:
    assert load(folder) == [10, 11, 12, 13]
    write(folder, shade=90)
    assert load(folder) == [90, 91, 92, 93]
    assert len(entries(empty_cache)) == 2


def test_every_option_of_decoding_has_a_copy_of_its_own(folder: Path, empty_cache: Path) -> None:
    load(folder)
    load(folder, image_size=(3, 3))
    assert len(entries(empty_cache)) == 2
    assert load_hub(DataConfig(source=str(folder), image_size=(3, 3)))[0].inputs.shape == (4, 1, 3, 3)
    assert load_hub(DataConfig(source=str(folder)))[0].inputs.shape == (4, 1, 6, 6)


def test_copies_of_images_keep_their_names(folder: Path, empty_cache: Path) -> None:
    load(folder)
    assert entries(empty_cache) == [hub._cache_key(str(folder), open_data(str(folder)), None, None, None)]


@pytest.mark.parametrize("error", [KeyboardInterrupt(), ValueError("broken picture")])
def test_a_copy_that_was_interrupted_is_not_taken_for_whole(
    folder: Path, empty_cache: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    whole, seen = images.pixels_of, []

    def interrupted(*arguments):
        seen.append(1)
        if len(seen) == 6:  # in the middle of the second split
            raise error
        return whole(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(images, "pixels_of", interrupted)
        with pytest.raises((KeyboardInterrupt, DataError)):
            load(folder)
    assert entries(empty_cache) == []
    assert load(folder) == [10, 11, 12, 13]


def test_what_a_killed_process_left_is_not_taken_for_whole(folder: Path, empty_cache: Path) -> None:
    load(folder)
    (name,) = entries(empty_cache)
    copy = empty_cache / name
    copy.rename(empty_cache / f".{name}.{os.getpid()}.partial")
    (empty_cache / f".{name}.{os.getpid()}.partial" / "complete.json").unlink()
    assert load(folder) == [10, 11, 12, 13]
    assert entries(empty_cache) == [name]


def test_another_process_may_finish_first(folder: Path, empty_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    decode = decoded.decode

    def late(*arguments):
        monkeypatch.setattr(decoded, "decode", decode)
        with monkeypatch.context() as patch:
            patch.setattr(os, "getpid", lambda: 1)
            load(folder)  # the other process
        return decode(*arguments)

    monkeypatch.setattr(decoded, "decode", late)
    assert load(folder) == [10, 11, 12, 13]
    assert len(entries(empty_cache)) == 1


DECODE_SLOWLY = """
import sys, time
from pathlib import Path
from instar.config import DataConfig
from instar.data import decoded
from instar.data.hub import load_hub
from instar.runs import locks

locks._SILENT_SECONDS = 0
decode = decoded.decode

def slowly(*arguments):
    with open(sys.argv[2], "a") as log:
        print("decoded", file=log)
    deadline = time.monotonic() + 60
    while not Path(sys.argv[3]).exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    return decode(*arguments)

decoded.decode = slowly
print(load_hub(DataConfig(source=sys.argv[1]))[0].inputs[:, 0, 0, 0].tolist())
"""


def test_one_process_decodes_and_the_others_wait(folder: Path, empty_cache: Path, tmp_path: Path) -> None:
    log, ending = tmp_path / "log", tmp_path / "ending"
    open_data(str(folder))  # the library prepares its own copy, so that the processes differ in nothing else
    command = [sys.executable, "-c", DECODE_SLOWLY, str(folder), str(log), str(ending)]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    streams = [process.stderr for process in processes]
    ready, _, _ = select.select(streams, [], [], 60)  # one of them says that it waits
    line = ready[0].readline()
    ending.touch()
    found = [process.communicate(timeout=60) for process in processes]
    assert line == "instar: another process is decoding the same data; waiting until it ends.\n"
    assert [out for out, _ in found] == ["[10, 11, 12, 13]\n"] * 2
    assert log.read_text() == "decoded\n"
    assert len(entries(empty_cache)) == 1


def test_a_lock_of_a_dead_process_holds_nobody_up(folder: Path, empty_cache: Path) -> None:
    load(folder)
    (name,) = entries(empty_cache)
    shutil.rmtree(empty_cache / name)
    (empty_cache / f".{name}.lock").touch()
    assert load(folder) == [10, 11, 12, 13]
    assert entries(empty_cache) == [name]


def test_without_locks_every_process_decodes(folder: Path, empty_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "lockf", refuse)
    assert load(folder) == [10, 11, 12, 13]


def test_a_full_disk_is_a_sentence(folder: Path, empty_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(np, "save", full)
    with pytest.raises(RunError, match=r"the disk has no space left to write '.*'; free some space"):
        load(folder)
    assert entries(empty_cache) == []


def test_large_data_are_mapped_and_read_the_same(folder: Path, empty_cache: Path) -> None:
    held = load_hub(DataConfig(source=str(folder)))[0]
    mapped = load_hub(DataConfig(source=str(folder)), max_loaded_bytes=0)[0]
    assert torch.equal(mapped.inputs, held.inputs)
    mapped.inputs[0] = 0  # as a careless caller might; the copy on disk must not change
    assert torch.equal(load_hub(DataConfig(source=str(folder)), max_loaded_bytes=0)[0].inputs, held.inputs)


def test_the_cache_is_where_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INSTAR_CACHE", "/elsewhere")
    assert cache.cache_folder() == Path("/elsewhere")
    monkeypatch.delenv("INSTAR_CACHE")
    monkeypatch.setenv("HOME", "/home/ada")
    assert cache.cache_folder() == Path("/home/ada/.cache/instar")


def flip(path: Path, bit: int) -> None:
    content = bytearray(path.read_bytes())
    content[bit // 8] ^= 1 << bit % 8
    path.write_bytes(content)


def files(cache: Path) -> list[Path]:
    (name,) = entries(cache)
    return sorted((cache / name).iterdir())


def damage_every_file(cache: Path) -> Iterator[str]:
    """Damage each file in each way, one at a time, and say how."""
    for path in files(cache):
        content = path.read_bytes()
        for bit in (8 * len(content) // 2, 8 * len(content) - 1):
            flip(path, bit)
            yield f"bit {bit} of {path.name}"
        for damaged in (b"", content[:-1]):
            path.write_bytes(damaged)
            yield f"{len(damaged)} of {len(content)} bytes of {path.name}"
        path.unlink()
        yield f"no {path.name}"


@pytest.mark.parametrize("max_loaded_bytes", [decoded.MAX_LOADED_BYTES, 0])
def test_a_damaged_copy_heals(
    folder: Path, empty_cache: Path, capsys: pytest.CaptureFixture[str], max_loaded_bytes: int
) -> None:
    right = load_hub(DataConfig(source=str(folder)), max_loaded_bytes=max_loaded_bytes)
    assert capsys.readouterr().err == ""
    for how in damage_every_file(empty_cache):
        found = load_hub(DataConfig(source=str(folder)), max_loaded_bytes=max_loaded_bytes)
        assert [one and one.fingerprint() for one in found] == [one and one.fingerprint() for one in right], how
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("instar: the decoded copy '"), how
        assert line.endswith("; the data are decoded again."), how
    assert load(folder) == [10, 11, 12, 13]
    assert (capsys.readouterr().err, len(entries(empty_cache))) == ("", 1)


def test_a_copy_from_before_there_were_checksums_is_decoded_again(
    folder: Path, empty_cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    load(folder)
    path = next(path for path in files(empty_cache) if path.name == "complete.json")
    path.write_text(json.dumps({"splits": ["train", "test"], "classes": ["a", "b"]}))
    assert load(folder) == [10, 11, 12, 13]
    assert "(it has no checksums)" in capsys.readouterr().err


@pytest.mark.parametrize("content", ["[]", "null", "3", '{"files": {}}', "{" * 5000, '{"checksum": 1}'])
def test_a_copy_described_by_anything_heals(folder: Path, empty_cache: Path, content: str) -> None:
    load(folder)
    next(path for path in files(empty_cache) if path.name == "complete.json").write_text(content)
    assert load(folder) == [10, 11, 12, 13]


def test_a_large_file_is_read_for_its_checksum_where_it_was_touched(
    folder: Path, empty_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load(folder, max_loaded_bytes=0)
    path = next(path for path in files(empty_cache) if path.name == "train.npy")
    written = path.stat().st_mtime_ns
    hashed: list[str] = []
    monkeypatch.setattr(cache, "hash_file", lambda path, whole=cache.hash_file: hashed.append(path.name) or whole(path))
    load(folder, max_loaded_bytes=0)
    assert hashed == []
    os.utime(path)
    load(folder, max_loaded_bytes=0)
    load(folder, max_loaded_bytes=0)
    assert (hashed, path.stat().st_mtime_ns) == (["train.npy"], written)


@pytest.mark.parametrize(
    "holds",
    [
        {},
        {"files": 3},
        {"files": {}, "splits": ["train", "test"], "classes": ["a", "b"]},
        {"files": {"/etc/hostname": {}}, "image_size": 6},
        {"files": {}, "image_size": "large"},
        {"files": {}, "splits": ["../other"], "classes": ["a"]},
    ],
)
def test_a_whole_copy_of_another_form_is_decoded_again(
    folder: Path, empty_cache: Path, holds: dict[str, object]
) -> None:
    before = load(folder)
    (copy,) = empty_cache.iterdir()
    (copy / cache.CONTENT_FILE).write_text(json.dumps(seal(holds)))  # as another version may write it
    assert load(folder) == before


def test_leftovers_of_dead_processes_are_removed_and_those_of_live_ones_stay(folder: Path, empty_cache: Path) -> None:
    for number, name in enumerate((".mnist-0.1.partial", ".mnist-0.2.partial")):
        (empty_cache / name).mkdir(parents=True)
        (empty_cache / name / "train.npy").write_bytes(b"half" * number)
    held = os.open(empty_cache / ".mnist-0.2.partial", os.O_RDONLY)  # as the process does that writes there
    fcntl.flock(held, fcntl.LOCK_EX)
    load(folder)
    os.close(held)
    assert [name for name in entries(empty_cache) if name[0] == "."] == [".mnist-0.2.partial"]


def test_a_cache_that_cannot_be_written_is_told(folder: Path, empty_cache: Path) -> None:
    empty_cache.write_text("a file where the folder should be")
    with pytest.raises(DataError, match=r"decoded data cannot be written to '.*': File exists; set INSTAR_CACHE to a"):
        load(folder)
