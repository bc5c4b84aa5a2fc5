"""Recordings as people have them: folders with a table, class folders, tables of paths, other rates, bad files."""

import gc
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet
import pytest
import scipy.signal
import soundfile
import torch

from instar.data import UNLABELLED, Loader, Samples, load_data
from instar.data.log_mel import log_mel
from instar.data.sound import resample
from instar.data.views.notation import parse_views
from instar.errors import ConfigError, DataError, MismatchError
from instar.models import FrameNet
from instar.models.input_statistics import statistics
from instar.tasks import Classification

KINDS = ("siren", "dog")


@pytest.fixture(autouse=True)
def _close_tables() -> Iterator[None]:
    yield
    gc.collect()  # the library leaves metadata.csv open


pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")


def noise(samples: int, seed: int = 0, channels: int = 1) -> np.ndarray:
    """Sound that 16 bits hold exactly."""
    found = np.random.default_rng(seed).integers(-9000, 9000, (samples, channels)) / 32768
    return found[:, 0] if channels == 1 else found


WAVES = [noise(500), noise(900, 1), noise(700, 2), noise(1200, 3)]


def write_folder(folder: Path, labels: list[Any], waves: list[np.ndarray] = WAVES, rate: int = 8000) -> Path:
    """Write train and test, each with the same files and a metadata.csv of its own."""
    for split in ("train", "test"):
        (folder / split).mkdir(parents=True)
        for number, wave in enumerate(waves):
            soundfile.write(folder / split / f"{number}.wav", wave, rate)
        rows = [f"{number}.wav,{label},no label" for number, label in enumerate(labels)]
        (folder / split / "metadata.csv").write_text("\n".join(["file_name,kind,transcript", *rows]) + "\n")
    return folder


@pytest.mark.parametrize(
    ("labels", "classes"),
    [(["siren", "dog"] * 2, ("dog", "siren")), ([7, 3] * 2, ("3", "7"))],
    ids=["words", "numbers"],
)
def test_a_folder_with_metadata_gives_a_class_per_recording(
    tmp_path: Path, labels: list[Any], classes: tuple[str, ...]
) -> None:
    data = load_data(write_folder(tmp_path / "data", labels), label_column="kind", states=0, validation=0)
    source = data.train.source
    assert (source.classes, source.labels.tolist(), source.task) == (classes, [1, 0, 1, 0], Classification())
    assert (source.input_names, source.positions, source.lengths.tolist()) == (("frames", "mask"), None, [4, 9, 7, 13])
    for frames, mask, wave in zip(source.inputs, source.column("mask"), WAVES, strict=True):
        torch.testing.assert_close(frames[mask], torch.from_numpy(log_mel(wave, 8000)), rtol=1e-5, atol=1e-5)
        assert (frames[~mask] == frames[mask][-1]).all()
    # means and deviations are those of frames, not of padding
    valid = torch.cat([torch.from_numpy(log_mel(wave, 8000)) for wave in WAVES]).double()
    mean, std = statistics(data.train)
    torch.testing.assert_close(mean.double(), valid.mean(0), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(std.double(), valid.std(0, correction=0), rtol=1e-4, atol=1e-4)


def test_class_folders_tables_of_paths_and_python_give_the_same_recordings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "folders"
    for number, wave in enumerate(WAVES):
        path = folder / KINDS[number % 2] / f"{number}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, wave, 8000)
    rows = [{"file": f"{KINDS[at % 2]}/{at}.wav", "kind": KINDS[at % 2], "note": "far"} for at in (1, 3, 0, 2)]
    inside = [{**row, "file": f"folders/{row['file']}"} for row in rows]
    pd.DataFrame(inside).to_csv(tmp_path / "labels.csv", index=False)
    (tmp_path / "labels.jsonl").write_text("".join(json.dumps(row) + "\n" for row in inside))
    drawn: dict[str, Any] = {"states": 0, "test": 0.5, "validation": 0}
    found = [load_data(folder, **drawn)]
    found += [load_data(tmp_path / name, label_column="kind", **drawn) for name in ("labels.csv", "labels.jsonl")]
    frame = pd.DataFrame([{**row, "file": str(folder / row["file"])} for row in rows])
    found.append(load_data(frame, label_column="kind", **drawn))
    monkeypatch.chdir(folder)
    found.append(load_data(([row["file"] for row in rows], [row["kind"] for row in rows]), **drawn))
    assert {data.classes for data in found} == {("dog", "siren")}
    assert len({data.fingerprints()["train"] for data in found[1:]}) == 1
    for data in found:
        samples = {
            (data.classes[label], length): frames
            for split in (data.train.source, data.test.source)
            for frames, label, length in zip(split.inputs, split.labels.tolist(), split.lengths.tolist(), strict=True)
        }
        assert sorted(samples) == [("dog", 9), ("dog", 13), ("siren", 4), ("siren", 7)]
        assert data.test.source.sound is not None


def test_resampling_is_that_of_scipy_and_keeps_a_tone() -> None:
    wave = noise(4410, 5).astype(np.float32)
    wanted = scipy.signal.resample_poly(wave.astype(float), 160, 441).astype(np.float32)
    np.testing.assert_array_equal(resample(wave, 44100, 16000), wanted)
    assert resample(wave, 16000, 16000) is wave
    seconds = np.arange(22050) / 22050
    tone = np.sin(2 * np.pi * 1000 * seconds).astype(np.float32)
    found = resample(tone, 22050, 8000)
    expected = np.sin(2 * np.pi * 1000 * np.arange(8000) / 8000)
    assert len(found) == 8000
    assert np.abs(found - expected)[100:-100].max() < 2e-3
    # what the lower rate cannot hold is removed, and not folded down
    high = np.sin(2 * np.pi * 7000 * seconds).astype(np.float32)
    assert np.abs(resample(high, 22050, 8000))[100:-100].max() < 0.01


def test_other_rates_are_refused_with_the_setting_that_resamples_them(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "data", ["dog", "siren"] * 2)
    soundfile.write(folder / "test" / "2.wav", noise(1400, 2), 16000)
    settings: dict[str, Any] = {"label_column": "kind", "states": 0, "validation": 0}
    message = (
        r"file '.*test/2\.wav', has a sampling rate of 16000 Hz, the first has 8000 Hz\. Set data\.sample_rate=8000 "
    )
    with pytest.raises(DataError, match=message):
        load_data(folder, **settings)
    data = load_data(folder, **settings, sample_rate=8000)
    wave = soundfile.read(folder / "test" / "2.wav", dtype="float32")[0]
    expected = torch.from_numpy(log_mel(resample(wave, 16000, 8000), 8000))
    torch.testing.assert_close(data.test.source.inputs[2, : len(expected)], expected)
    assert ", 1 of all 8 resampled to 8,000 Hz)" in data.describe()
    assert data.test.source.sound.rate == 8000
    # other settings, other copies
    assert load_data(folder, **settings, sample_rate=16000).train.source.lengths.tolist() == [4, 9, 7, 13]
    with pytest.raises(ConfigError, match="'sample_rate' is a setting of the source and cannot be changed"):
        data.select(sample_rate=16000)


def test_channels_are_mixed_as_their_mean_and_counted(tmp_path: Path) -> None:
    both = noise(800, 7, channels=2)
    folder = write_folder(tmp_path / "data", ["dog", "siren"], [noise(500), both])
    data = load_data(folder, label_column="kind", states=0, validation=0)
    expected = torch.from_numpy(log_mel(both.mean(1), 8000))
    torch.testing.assert_close(data.train.source.inputs[1, :8], expected, rtol=1e-5, atol=1e-5)
    assert ", 2 of all 4 mixed as the mean of their channels)" in data.describe()


def test_bad_files_are_listed_by_path_or_left_out_and_counted(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "data", ["dog", "siren"] * 2)
    (folder / "train" / "1.wav").write_bytes(b"no sound")
    soundfile.write(folder / "train" / "2.wav", noise(1), 8000)
    settings: dict[str, Any] = {"label_column": "kind", "states": 0, "validation": 0}
    with pytest.raises(
        DataError, match=r"^2 recordings of column 'audio' of '.*' cannot be decoded \(train, "
    ) as refused:
        load_data(folder, **settings)
    for told in ("'train/1.wav': Format not recognised", "'train/2.wav': it is too short", "set data.on_error=skip"):
        assert told in str(refused.value)
    data = load_data(folder, **settings, on_error="skip")
    assert (data.train.source.labels.tolist(), data.train.source.lengths.tolist()) == ([0, 1], [4, 13])
    assert "without recordings that cannot be decoded (2 of train; listed in '" in data.describe()


@pytest.mark.parametrize("views", [None, "Speed(0.2) + Noise(10, 30) + TimeMask(4) + FrequencyMask(8)"])
def test_padding_changes_no_answer(tmp_path: Path, views: str | None) -> None:
    folder = write_folder(tmp_path / "data", ["dog", "siren"] * 2)
    source = load_data(folder, label_column="kind", states=0, validation=0).train.source
    shape = {"frames": tuple(source.inputs.shape[1:]), "mask": tuple(source.inputs.shape[1:2])}
    torch.manual_seed(0)
    network = FrameNet([16], context=(3, 2), input_shape=shape, num_classes=2).eval()
    parsed = None if views is None else parse_views(views)

    def answer(size: int) -> torch.Tensor:
        batches = Loader(Samples.all_of(source), size, seed=0, views=parsed).in_order(view=1)
        with torch.no_grad():
            return torch.cat([network(**batch.column("inputs")) for batch in batches])

    together, alone = answer(4), answer(1)
    assert next(Loader(Samples.all_of(source), 1, seed=0).in_order()).column("mask").shape == (1, 4)
    torch.testing.assert_close(together, alone, rtol=1e-5, atol=1e-6)
    # the mean over frames of what the network says of each
    with torch.no_grad():
        by_hand = [network(source.inputs[[at], :length])[0].mean(0) for at, length in enumerate(source.lengths)]
    if views is None:
        torch.testing.assert_close(alone, torch.stack(by_hand), rtol=1e-5, atol=1e-6)


def test_missing_labels_are_unlabelled_and_mixing_is_refused(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "data", ["dog", "siren", "", "dog"])
    data = load_data(folder, label_column="kind", states=0, validation=0)
    assert data.train.labels.tolist() == [0, 1, UNLABELLED, 0]
    assert "1 train samples without a label" in data.describe()
    with pytest.raises(MismatchError, match="because they have different lengths; leave it out"):
        Loader(data.train, 2, seed=0, views=parse_views("Mixup(1)"))


def test_folders_of_one_name_are_refused(tmp_path: Path) -> None:
    for place in ("dog/2020", "dog/2021", "siren/2020", "siren/2021"):
        (tmp_path / place).mkdir(parents=True)
        for number in range(3):
            soundfile.write(tmp_path / place / f"{number}.wav", noise(500), 8000)
    with pytest.raises(DataError, match="have one name, and would be one class"):
        load_data(tmp_path, states=0, test=0.2)


def test_no_setting_of_recordings_is_ignored(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="'sample_rate' is a setting of recordings, but 'digits' contains images"):
        load_data("digits", sample_rate=8000)
    with pytest.raises(ConfigError, match="'sample_rate' is a setting of recordings, but 'arrays' contains arrays"):
        load_data(([[0.5], [0.1]] * 3, [0, 1] * 3), sample_rate=8000)


def test_real_recordings_as_files_are_those_of_parquet(spoken_digits_folder: Path, tmp_path: Path) -> None:
    table = pyarrow.parquet.read_table(next(spoken_digits_folder.rglob("test*.parquet"))).to_pylist()[:40]
    lines = ["file_name,digit"]
    for number, row in enumerate(table):
        wave, rate = soundfile.read(io.BytesIO(row["audio"]["bytes"]), dtype="int16")
        soundfile.write(tmp_path / f"{number}.wav", wave, rate)
        lines.append(f"{number}.wav,{row['label']}")
    (tmp_path / "metadata.csv").write_text("\n".join(lines) + "\n")
    data = load_data(tmp_path, label_column="digit", states=0, test=0.25, validation=0)
    whole = load_data(spoken_digits_folder, label_column="label")
    by_length = {}
    for frames, length in zip(whole.test.source.inputs, whole.test.source.lengths.tolist(), strict=True):
        by_length.setdefault(length, []).append(frames[:length])
    for source in (data.train.source, data.test.source):
        for frames, length in zip(source.inputs, source.lengths.tolist(), strict=True):
            assert any(torch.equal(frames[:length], other) for other in by_length[length])


def test_files_without_a_row_and_tables_that_are_not_read_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_folder(tmp_path / "data", ["dog", "siren", "dog"])  # of four files
    load_data(folder, label_column="kind", states=0, validation=0)
    assert "2 recordings of" in (told := capsys.readouterr().err)
    assert "have no row in the table and are not read, such as 'test/3.wav'." in told
    for split in ("train", "test"):
        (folder / split / "metadata.csv").unlink()
    (folder / "metadata.csv").write_text("file_name,kind\ntrain/0.wav,dog\n")
    with pytest.raises(DataError, match="has no label column 'kind'"):
        load_data(folder, label_column="kind", states=0)
    assert "'metadata.csv' of '" in (told := capsys.readouterr().err)
    assert "is not read, because its splits are folders; put a metadata.csv into each of them" in told
