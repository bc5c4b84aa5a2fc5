"""The sound of recordings: kept of the test split, sample by sample, and no part of the data that are learnt from."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from instar.config import DataConfig
from instar.data import Recordings, Source, hub, load_data
from instar.data.opening import open_data
from instar.data.recordings import read_recordings, recorder
from instar.errors import DataError

LENGTHS = (500, 700, 360, 900, 520, 640)


def noise(samples: int, seed: int, channels: int = 1) -> np.ndarray:
    found = np.random.default_rng(seed).integers(-32768, 32768, (samples, channels), dtype=np.int16)
    return found[:, 0] if channels == 1 else found


TRAIN = [noise(length, at) for at, length in enumerate(LENGTHS)]
TEST = [noise(length, 10 + at) for at, length in enumerate(LENGTHS)]


@pytest.fixture
def folder(tmp_path: Path, write_recordings: Callable[..., Path], empty_cache: Path) -> Path:
    return write_recordings(tmp_path / "data", {"train": TRAIN, "test": TEST})


def sound_of(source: Source) -> Recordings:
    return source.columns["sound"]


def assert_same(sound: Recordings, waves: list[np.ndarray]) -> None:
    assert len(sound) == len(waves)
    for number, wave in enumerate(waves):
        np.testing.assert_array_equal(sound.wave(number), wave)


@pytest.mark.parametrize("settings", [{}, {"subset": 2}, {"states": 1}, {"image_size": (8, 8)}])
def test_the_sound_of_test_samples_is_that_of_the_files_and_there_is_none_of_train(
    folder: Path, settings: dict[str, Any]
) -> None:
    data = load_data(folder, validation=0, **settings)
    sound = sound_of(data.test.source)
    assert_same(sound, TEST)
    assert (sound.rate, sound.waves.dtype) == (8000, np.int16)
    assert "sound" not in data.train.source.columns


def test_it_is_mapped_and_cannot_be_changed(folder: Path) -> None:
    waves = sound_of(load_data(folder).test.source).waves
    assert isinstance(waves, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        waves[0] = 0


def test_it_is_that_of_the_rows_that_are_held_out(folder: Path) -> None:
    data = load_data(folder, test_where="speaker=bob", validation=0)
    assert_same(sound_of(data.test.source), [TRAIN[1], TRAIN[4], TEST[1], TEST[4]])


def test_where_validation_is_the_test_it_is_of_validation(
    tmp_path: Path, write_recordings: Callable[..., Path]
) -> None:
    folder = write_recordings(tmp_path / "data", {"train": TRAIN, "validation": TEST})
    assert_same(sound_of(load_data(folder).test.source), TEST)
    folder = write_recordings(tmp_path / "three", {"train": TRAIN[:2], "validation": TRAIN[2:], "test": TEST})
    data = load_data(folder)
    assert data.validation is not None
    assert "sound" not in data.validation.source.columns
    assert_same(sound_of(data.test.source), TEST)


def test_channels_are_averaged_and_what_is_too_loud_is_cut(
    tmp_path: Path, write_recordings: Callable[..., Path]
) -> None:
    both = noise(600, 0, channels=2)
    folder = write_recordings(tmp_path / "data", {"train": TRAIN, "test": [both]})
    mean = both.astype(float).mean(1)
    assert np.abs(sound_of(load_data(folder).test.source).wave(0) - mean).max() <= 0.5
    with recorder(tmp_path, "loud") as record:
        record(np.array([-3.0, -1.0, 0.25, 1.0, 3.0], np.float32), 16000)
    loud = read_recordings(tmp_path, "loud")
    assert loud is not None
    assert (loud.wave(0).tolist(), loud.rate) == ([-32768, -32768, 8192, 32767, 32767], 16000)


def test_the_fingerprint_does_not_hear_it(folder: Path) -> None:
    source = load_data(folder).test.source
    assert replace(source, columns={}).fingerprint() == source.fingerprint()


def test_sound_that_is_missing_from_the_copy_is_decoded_again(
    folder: Path, empty_cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fingerprint = load_data(folder).test.source.fingerprint()
    (copy,) = empty_cache.iterdir()
    for path in copy.glob("*-waves.*"):
        path.unlink()
    source = load_data(folder).test.source
    assert_same(source.columns["sound"], TEST)
    assert source.fingerprint() == fingerprint
    assert "test-waves.npz is missing" in capsys.readouterr().err


def test_only_recordings_are_decoded_again_for_it(folder: Path, empty_cache: Path) -> None:
    config = DataConfig(source=str(folder))
    hub.load_hub(config)
    older = hub._cache_key(config.source, open_data(config.source), None, None, None)
    assert older not in [path.name for path in empty_cache.iterdir()]


def test_those_that_have_room_are_chosen_in_order_and_each_once() -> None:
    waves = np.arange(16, dtype=np.int16)
    sound = Recordings(waves, np.array([0, 3, 11, 13, 16]), 8000)
    chosen, some = sound.choose([2, 0, 1, 2, 3], max_bytes=14)  # 4 + 6 bytes; 16 more have no room, nor 6
    assert (chosen, some.rate) == ([2, 0], 8000)
    assert_same(some, [waves[11:13], waves[:3]])
    chosen, some = sound.choose([1, 3], max_bytes=6)
    assert chosen == [3]
    assert_same(some, [waves[13:]])
    chosen, some = sound.choose([1], max_bytes=6)
    assert (chosen, len(some), some.waves.dtype) == ([], 0, np.int16)


def test_every_sample_has_a_sound_or_none_has() -> None:
    sound = Recordings(np.zeros(4, np.int16), np.array([0, 4]), 8000)
    with pytest.raises(DataError, match=r"^'x' has 2 inputs but 1 rows of the column 'sound'\.$"):
        Source("x", torch.zeros(2, 3), torch.zeros(2, dtype=torch.int64), ("a",), columns={"sound": sound})
