"""What is opened as a data set: nothing of a folder runs, and no file of it is left out or misread without a word."""

import gc
import io
from pathlib import Path

import datasets
import numpy as np
import pytest
import soundfile

from instar.data import load_data
from instar.errors import DataError

HOSTILE = "import os, pathlib\npathlib.Path(os.environ['INSTAR_WITNESS']).write_text('it ran')\n"


@pytest.mark.parametrize("answer", ["", "y\n" * 20])
def test_nothing_of_a_strangers_folder_runs_whatever_stdin_says(
    tmp_path: Path, answer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, witness = tmp_path / "stranger", tmp_path / "witness"
    folder.mkdir()
    for split in ("train", "test"):
        (folder / f"{split}.txt").write_text("the cat sat\n" * 5)
    for name in (f"{folder.name}.py", "data.py", "dataset.py", "load.py", "__init__.py", "setup.py", "conftest.py"):
        (folder / name).write_text(HOSTILE)
    monkeypatch.setattr("sys.stdin", io.StringIO(answer))
    monkeypatch.setenv("INSTAR_WITNESS", str(witness))
    monkeypatch.chdir(folder)
    with pytest.raises(DataError, match=r"^data '.*' cannot be loaded: .+\.$"):
        load_data(folder)
    (folder / "stranger.py").unlink()
    assert load_data(folder, validation=0).classes == ("<eos>", "cat", "sat", "the")
    assert not witness.exists()


@pytest.mark.parametrize("content", ["", "\n"])
def test_an_empty_table_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "test.csv").write_text("x,label\n1,a\n")
    (tmp_path / "train.csv").write_text(content)
    for given in (tmp_path, tmp_path / "train.csv"):
        with pytest.raises(DataError, match=r"cannot be loaded: file '.*/train\.csv' is empty\.$"):
            load_data(given)


def tone(seed: int, samples: int = 800) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-0.5, 0.5, samples)


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # the library leaves metadata.csv open
def test_folders_of_wav_files_with_metadata_are_recordings(tmp_path: Path) -> None:
    for split in ("train", "test"):
        (tmp_path / split).mkdir()
        for number in range(3):
            soundfile.write(tmp_path / split / f"{number}.wav", tone(number), 8000)
        (tmp_path / split / "metadata.csv").write_text("file_name,word\n0.wav,no\n1.wav,yes\n2.wav,no\n")
    with pytest.raises(DataError, match=r"its columns are: audio, word; choose one with label_column"):
        load_data(tmp_path)
    data = load_data(tmp_path, label_column="word", states=1, validation=0)
    assert (data.classes, data.train.source.labels[:, 0].tolist()) == (("no/1", "yes/1"), [0, 1, 0])
    gc.collect()


def test_folders_of_wav_files_by_class_are_recordings(tmp_path: Path) -> None:
    for split in ("train", "test"):
        for number, word in enumerate(("yes", "no")):
            path = tmp_path / split / word / "0.wav"
            path.parent.mkdir(parents=True)
            soundfile.write(path, tone(number), 8000)
    data = load_data(tmp_path, validation=0, states=1)
    assert data.classes == ("no/1", "yes/1")
    assert data.train.source.inputs.shape == (2, 8, 40)
    (tmp_path / "test" / "no" / "0.wav").write_bytes(b"RIFF")
    with pytest.raises(DataError, match=r"'.* \(test\)', row 0, file '.*test/no/0\.wav', cannot be decoded: "):
        load_data(tmp_path)


@pytest.mark.parametrize(("suffix", "content"), [("csv", "sentence\nthe cat\n"), ("jsonl", '{"text": "the cat"}\n')])
def test_files_of_two_kinds_are_refused(tmp_path: Path, suffix: str, content: str) -> None:
    for split in ("train", "test"):
        (tmp_path / f"{split}.txt").write_text("the cat\n")
    (tmp_path / f"notes.{suffix}").write_text("of no split\n")
    assert load_data(tmp_path, validation=0).classes == ("<eos>", "cat", "the")
    for split in ("train", "test"):
        (tmp_path / f"{split}.{suffix}").write_text(content)
    with pytest.raises(
        DataError, match=rf"may be in 'test\.(txt|{suffix})' or in '.*', and only one type of file is read; move"
    ):
        load_data(tmp_path)


@pytest.mark.parametrize("names", [["dog", "cat"], ["cat", "dog", "cow"], ["Katze", "Hund"]])
def test_files_that_name_other_classes_are_refused_with_both_lists(tmp_path: Path, names: list[str]) -> None:
    for split, known in (("train", ["cat", "dog"]), ("test", names)):
        features = datasets.Features(
            {"x": datasets.List(datasets.Value("float32")), "label": datasets.ClassLabel(names=known)}
        )
        rows = datasets.Dataset.from_dict({"x": [[1.0], [2.0]], "label": [0, 1]}, features)
        rows.to_parquet(tmp_path / f"{split}.parquet")
    message = rf"column 'label' has cat, dog in 'train\.parquet' and {', '.join(names)} in 'test\.parquet'"
    with pytest.raises(DataError, match=message):
        load_data(tmp_path, input_column="x")


def test_the_reason_of_a_refusal_is_short_though_a_cell_is_long(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for number, label in enumerate([3, "\xff" * 50_000]):
        datasets.Dataset.from_dict({"x": [[1.0]], "label": [label]}).to_parquet(tmp_path / f"train-{number}.parquet")
    datasets.Dataset.from_dict({"x": [[1.0]], "label": [3]}).to_parquet(tmp_path / "test.parquet")
    with pytest.raises(DataError, match="cannot be loaded: ") as refused:
        load_data(tmp_path)
    assert len(str(refused.value)) < 600
    assert len(capfd.readouterr().err) < 1000
