"""Recordings of spoken words: what is decoded, how frames are labelled, and what is refused."""

import io
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
import soundfile
import torch

from instar.config import DataConfig
from instar.data import UNLABELLED, Loader, Samples, hub, load_data
from instar.data.log_mel import log_mel
from instar.data.sound import decode_sound
from instar.data.speech import state_labels, state_names
from instar.errors import ConfigError, DataError

BYTES = {"bytes": datasets.Value("binary"), "path": datasets.Value("string")}
WORD = datasets.ClassLabel(names=["yes", "no"])


def load_hub(source, **options):
    return hub.load_hub(DataConfig(source=source, **options))


def noise(samples: int, seed: int = 0) -> np.ndarray:
    """Sound that 16 bits hold exactly."""
    return np.random.default_rng(seed).integers(-9000, 9000, samples) / 32768


def coded(wave: np.ndarray, rate: int = 8000, kind: str = "FLAC") -> dict[str, Any]:
    buffer = io.BytesIO()
    soundfile.write(buffer, wave, rate, format=kind, subtype="FLOAT" if kind == "WAV" else None)
    return {"bytes": buffer.getvalue(), "path": None}


def write(folder: Path, split: str, recordings: list[Any], words: list[Any], feature: Any = BYTES) -> None:
    """Write one split, with the type of its recordings declared only: encoding them is no work of ours."""
    features = datasets.Features({"audio": BYTES, "word": WORD})
    rows = datasets.Dataset.from_dict({"audio": recordings, "word": words}, features=features)
    folder.mkdir(exist_ok=True)
    rows.cast_column("audio", feature).to_parquet(folder / f"{split}-00000-of-00001.parquet")


def write_both(folder: Path, recordings: list[Any], feature: Any = BYTES) -> Path:
    for split in ("train", "test"):
        write(folder, split, recordings, [at % 2 for at in range(len(recordings))], feature)
    return folder


def refused(folder: Path, recordings: list[Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        load_hub(str(write_both(folder, recordings)))


@pytest.mark.parametrize("feature", [BYTES, datasets.Audio(), datasets.Audio(decode=False)])
def test_recordings_become_frames_that_are_labelled_with_states(tmp_path: Path, feature: Any) -> None:
    waves = [noise(700), noise(1000, 1), noise(360, 2), noise(500, 3)]
    write(tmp_path, "train", [coded(wave) for wave in waves], [1, 0, None, 1], feature)
    write(tmp_path, "test", [coded(waves[0])], [0], feature)
    train, validation, test = load_hub(str(tmp_path))
    assert train.classes == test.classes == ("yes/1", "yes/2", "yes/3", "no/1", "no/2", "no/3")
    assert (train.inputs.shape, train.inputs.dtype) == ((4, 11, 40), torch.float32)
    assert (validation, train.task.is_stream) == (None, False)
    assert train.lengths.tolist() == [7, 11, 3, 4]
    for frames, wave, length in zip(train.inputs, waves, train.lengths, strict=True):
        expected = torch.from_numpy(log_mel(wave, 8000))
        torch.testing.assert_close(frames[:length], expected, rtol=1e-5, atol=1e-5)
        assert (frames[length:] == frames[length - 1]).all()
    assert train.labels.tolist() == [
        [3, 3, 3, 4, 4, 5, 5, -1, -1, -1, -1],
        [0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2],
        [-1] * 11,
        [3, 3, 4, 5, -1, -1, -1, -1, -1, -1, -1],
    ]


def test_all_splits_reach_as_far_as_the_longest_recording(tmp_path: Path) -> None:
    write(tmp_path, "train", [coded(noise(500))], [0])
    write(tmp_path, "test", [coded(noise(1200))], [0])
    train, _, test = load_hub(str(tmp_path))
    assert train.inputs.shape == test.inputs.shape == (1, 13, 40)


def test_the_second_time_nothing_is_decoded(tmp_path: Path, empty_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_both(tmp_path / "data", [coded(noise(500)), coded(noise(700))])
    first = load_hub(str(tmp_path / "data"))[0]
    monkeypatch.setattr("instar.data.decoded_recordings.decode_sound", None)
    assert load_hub(str(tmp_path / "data"))[0].fingerprint() == first.fingerprint()
    other = load_hub(str(tmp_path / "data"), states=2)[0]  # decided when it is read
    assert other.classes == ("yes/1", "yes/2", "no/1", "no/2")
    assert len(list(empty_cache.iterdir())) == 1


@pytest.mark.parametrize("kind", ["FLAC", "WAV"])
def test_samples_are_those_that_were_written_and_channels_are_averaged(kind: str) -> None:
    both = np.stack([noise(300), noise(300, 1)], axis=1)
    sound = decode_sound(coded(both, 16000, kind))
    assert (sound.rate, sound.channels, sound.wave.shape, sound.wave.dtype) == (16000, 2, (300,), np.float32)
    np.testing.assert_allclose(sound.wave, both.mean(1), atol=1e-7)


def test_recordings_may_be_files_beside_the_table(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", noise(500), 8000)
    assert len(decode_sound({"bytes": None, "path": str(tmp_path / "a.wav")}).wave) == 500


@pytest.mark.parametrize(
    ("length", "states", "expected"),
    [
        (6, 3, [0, 0, 1, 1, 2, 2]),
        (7, 3, [0, 0, 0, 1, 1, 2, 2]),
        (3, 3, [0, 1, 2]),
        (2, 3, [0, 1]),
        (1, 3, [0]),
        (5, 1, [0] * 5),
    ],
)
def test_frames_are_shared_out_among_states(length: int, states: int, expected: list[int]) -> None:
    found = state_labels(torch.tensor([2]), torch.tensor([length]), states, 8)[0]
    assert found.tolist() == [2 * states + state for state in expected] + [UNLABELLED] * (8 - length)


def test_states_differ_by_at_most_one_frame_and_never_go_back() -> None:
    lengths = torch.arange(3, 60)
    labels = state_labels(torch.zeros_like(lengths), lengths, 3, 60)
    for row, length in zip(labels, lengths.tolist(), strict=True):
        assert (row[:length].diff() >= 0).all()
        counts = row[:length].bincount(minlength=3)
        assert counts.max() - counts.min() <= 1


def test_names_of_states_are_in_the_order_of_their_numbers() -> None:
    assert state_names(("a", "b"), 3) == ("a/1", "a/2", "a/3", "b/1", "b/2", "b/3")
    assert state_names(("a",), 1) == ("a/1",)


def test_a_recording_of_one_sample_is_named_and_one_shorter_than_a_window_is_a_frame(tmp_path: Path) -> None:
    message = r"train, row 1: it is too short: expected at least 2 samples, found 1; test, row 1: it is too short: "
    refused(tmp_path / "one", [coded(noise(500)), coded(noise(1))], message)
    refused(tmp_path / "none", [coded(noise(0), kind="WAV")], r"train, row 0: .* expected at least 2 samples, found 0;")
    train = load_hub(str(write_both(tmp_path / "two", [coded(noise(2))])))[0]
    assert (train.lengths.tolist(), train.labels.tolist()) == ([1], [[0]])


def test_another_rate_is_named_with_its_row(tmp_path: Path) -> None:
    recordings = [coded(noise(500)), coded(noise(500)), coded(noise(900), rate=16000)]
    message = (
        r"recording 2 of '.*' \(train\) has a sampling rate of 16000 Hz, the first has 8000 Hz\. Set "
        r"data\.sample_rate=8000 to resample all to one rate\.$"
    )
    refused(tmp_path / "within", recordings, message)
    write(tmp_path / "across", "train", recordings[:1], [0])
    write(tmp_path / "across", "test", recordings[2:], [0])
    with pytest.raises(
        DataError, match=r"recording 0 of '.*' \(test\) has a sampling rate of 16000 Hz, the first has 8000 Hz"
    ):
        load_hub(str(tmp_path / "across"))


def test_a_rate_that_the_column_asks_for_is_that_of_the_recordings(tmp_path: Path) -> None:
    recordings = [coded(noise(500))] * 2
    load_hub(str(write_both(tmp_path / "same", recordings, datasets.Audio(sampling_rate=8000))))
    folder = write_both(tmp_path / "other", recordings, datasets.Audio(sampling_rate=16000))
    message = (
        r"recording 0 of '.*' \(train\) has a sampling rate of 8000 Hz, but its column asks for 16000 Hz; set "
        r"data\.sample_rate=16000 to resample the recordings, or cast the column to Audio\(\) to use them as they "
        r"are\.$"
    )
    with pytest.raises(DataError, match=message):
        load_hub(str(folder))


def test_recordings_without_a_test_split_are_split(empty_cache: Path) -> None:
    features = datasets.Features({"audio": BYTES, "word": datasets.Value("string")})
    columns = {"audio": [coded(noise(500 + 80 * at)) for at in range(10)], "word": ["yes", "no"] * 5}
    data = load_data(datasets.Dataset.from_dict(columns, features=features), label_column="word", validation=0)
    assert (len(data.train), len(data.test), data.test.source.columns) == (8, 2, {})
    assert sorted([*data.train.source.lengths.tolist(), *data.test.source.lengths.tolist()]) == list(range(4, 14))


def test_a_rate_too_low_for_the_bands_is_refused(tmp_path: Path) -> None:
    message = r"recording 0 of '.*' \(train\) has a sampling rate of 2000 Hz; expected at least 4000 Hz\.$"
    refused(tmp_path, [coded(noise(500), rate=2000)], message)


@pytest.mark.parametrize(
    ("recording", "reason"),
    [
        ({"bytes": b"no sound", "path": None}, "Format not recognised"),
        ({"bytes": coded(noise(5000))["bytes"][:3000], "path": None}, ".+"),
        ({"bytes": None, "path": "nowhere.wav"}, "the file does not exist"),
        ({"bytes": None, "path": None}, "a value is missing"),
        ({"bytes": b"", "path": None}, "a value is missing"),
        (None, "a value is missing"),
        (coded(np.array([0.0, np.nan, 1.0] * 100), kind="WAV"), "it has NaN or infinite samples"),
    ],
)
def test_what_cannot_be_decoded_is_named_by_its_row(tmp_path: Path, recording: Any, reason: str) -> None:
    file = "'.*nowhere.wav'" if recording and recording["path"] else "row 1"
    message = (
        rf"^2 recordings of column 'audio' of '.*' cannot be decoded \(train, {file}: {reason}; test, {file}: "
        rf"{reason}\)\. Mend them, or set data\.on_error=skip to leave them out\.$"
    )
    refused(tmp_path, [coded(noise(500)), recording], message)


def test_nothing_is_left_of_what_was_refused(tmp_path: Path, empty_cache: Path) -> None:
    refused(tmp_path / "data", [coded(noise(500)), coded(noise(1))], "too short")
    assert list(empty_cache.iterdir()) == []


def test_a_missing_package_is_told_with_how_to_install_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "soundfile", None)
    message = r"^recordings need the package soundfile: pip install 'instar\[speech\]'\.$"
    refused(tmp_path, [{"bytes": b"sound", "path": None}], message)


def test_several_columns_of_recordings_need_a_name(tmp_path: Path) -> None:
    features = datasets.Features({"audio": BYTES, "other": BYTES, "word": WORD})
    columns = {"audio": [coded(noise(500))], "other": [coded(noise(700))], "word": [0]}
    for split in ("train", "test"):
        datasets.Dataset.from_dict(columns, features=features).to_parquet(tmp_path / f"{split}.parquet")
    with pytest.raises(
        DataError, match=r"several possible input columns \(audio, other\); choose one with input_column"
    ):
        load_hub(str(tmp_path))
    assert load_hub(str(tmp_path), input_column="other")[0].lengths.tolist() == [7]


def test_a_batch_reaches_as_far_as_its_longest_recording(tmp_path: Path) -> None:
    write_both(tmp_path, [coded(noise(samples)) for samples in (500, 1200, 600)])
    source = load_hub(str(tmp_path))[0]
    batch = next(Loader(Samples.all_of(source).select(torch.tensor([0, 2])), 2, seed=0).in_order())
    assert (batch.inputs.shape, batch.mask.sum(1).tolist(), batch.count()) == ((2, 6, 40), [4, 6], 10)


def test_all_words_may_be_listed_although_classes_are_states(tmp_path: Path) -> None:
    words = ("no", "yes", "maybe")
    data = load_data(write_both(tmp_path, [coded(noise(500))] * 4), validation=0, states=2, classes=words)
    assert data.classes == ("no/1", "no/2", "yes/1", "yes/2", "maybe/1", "maybe/2")
    assert data.train.labels[:2, 0].tolist() == [2, 0]
    assert load_data(data.config).fingerprints() == data.fingerprints()


def test_states_are_a_setting_that_belongs_to_the_source(tmp_path: Path) -> None:
    data = load_data(write_both(tmp_path, [coded(noise(500))] * 4), validation=0.5, states=2)
    assert data.classes == ("yes/1", "yes/2", "no/1", "no/2")
    assert (len(data.train), len(data.validation), len(data.test)) == (2, 2, 4)
    with pytest.raises(ConfigError, match="'states' is a setting of the source and cannot be changed"):
        data.select(states=3)


@pytest.fixture(scope="module")
def spoken_digits(spoken_digits_folder: Path) -> Callable[..., Any]:
    return lambda **options: load_hub(str(spoken_digits_folder), label_column="label", **options)


def test_spoken_digits(spoken_digits: Callable[..., Any]) -> None:
    train, validation, test = spoken_digits()
    assert (len(train), validation, len(test)) == (2700, None, 300)
    assert train.classes == tuple(f"{digit}/{third}" for digit in range(10) for third in (1, 2, 3))
    assert (int(train.lengths.sum()), int(test.lengths.sum())) == (112_911, 12_326)
    assert (int(train.lengths.min()), int(train.lengths.max()), train.inputs.shape[2]) == (12, 226, 40)
    for source, recordings in ((train, 270), (test, 30)):
        assert (source.labels[:, 0] // 3).bincount().tolist() == [recordings] * 10
        assert ((source.labels != UNLABELLED).sum(1) == source.lengths).all()
        assert torch.isfinite(source.inputs).all()


def test_a_speaker_of_the_spoken_digits_is_held_out(spoken_digits: Callable[..., Any]) -> None:
    whole, (train, _, test) = spoken_digits(), spoken_digits(test_where="speaker=theo")
    assert (len(train), len(test)) == (2250, 500)
    assert (test.labels[:, 0] // 3).bincount().tolist() == [50] * 10
    # what is neither in train nor in test are the other speakers' recordings of the test split
    frames = int(whole[0].lengths.sum()) - int(train.lengths.sum())
    assert 0 < int(test.lengths.sum()) - frames < int(whole[2].lengths.sum())
    with pytest.raises(DataError, match=r"no row of '.*' has speaker 'teo'; did you mean 'theo'\?"):
        spoken_digits(test_where="speaker=teo")
