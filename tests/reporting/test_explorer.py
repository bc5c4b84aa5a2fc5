"""The sounds that the explorer of samples plays: whole, once each, and no more than there is room for."""

import base64
import io
import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from instar.procedures.report import report
from instar.reporting.explorer import MAX_REPORT_SOUND_BYTES, Sounds, collect_samples
from instar.reporting.runs import Runs
from instar.runs.rows import collect

WAVES = {4: np.arange(-50, 50, dtype=np.int16), 7: np.array([32767, -32768, 0], np.int16)}
Hear = Callable[..., None]


@pytest.fixture
def hear(tmp_path: Path, write_run: Callable[..., Path]) -> Hear:
    """Write a run over two recordings: a frame of 7, and two of 4; its folder holds the sounds of those in `heard`."""

    def write(name: str, heard: list[int] | None, test: str = "one") -> None:
        metrics = {"samples": 6, "errors": 1, "error": 1 / 6, "class_errors": {"a": [0, 3], "b": [1, 3]}}
        learning = {"teachers": ["x"], "objective": "SoftTargets(1)", "training": {"epochs": 1}}
        model = {"name": "frame-net", "arguments": {}}
        save_predictions(write_run(tmp_path / name, metrics, test=test, model=model, **learning), heard)

    return write


def save_predictions(folder: Path, heard: list[int] | None) -> None:
    """Write the predictions of a run over two recordings, and its examples with the sounds of those in `heard`."""
    logits = np.arange(12, dtype=np.float32).reshape(2, 3, 2) % 5
    save_file({"test.ids": np.array([4, 7]), "test.logits": logits}, folder / "predictions.safetensors")
    kept = {
        "shown.ids": np.array([7, 4, 4]),
        "shown.positions": np.array([1, 0, 2]),
        "shown.labels": np.array([0, 1, 1]),
        "shown.logits": np.array([[0, -1], [-3, 0], [-1, 0]], np.float16),
        "shown.inputs": np.zeros((3, 1, 4, 6), np.uint8),
    }
    if heard is not None:
        kept["sounds.ids"] = np.array(heard, np.int64)
        kept["sounds.waves"] = np.concatenate([np.zeros(0, np.int16), *(WAVES[number] for number in heard)])
        kept["sounds.starts"] = np.cumsum([0, *(len(WAVES[number]) for number in heard)])
        kept["sounds.rate"] = np.array([8000])
    save_file(kept, folder / "examples.safetensors")


def explored(folder: Path) -> dict[str, Any]:
    found = collect_samples(Runs(collect(folder)))
    assert found is not None
    data: dict[str, Any] = found["data"]
    return data


def sounds_of(data: dict[str, Any], run: int = 0) -> list[Any]:
    return [sample["sound"] for sample in data["runs"][run]["samples"]]


def test_every_frame_of_a_recording_has_its_whole_sound(tmp_path: Path, hear: Hear) -> None:
    hear("run", [7, 4])
    data = explored(tmp_path)
    assert sounds_of(data) == ["one/7", "one/4", "one/4"]
    for number, expected in WAVES.items():
        found = data["sounds"][f"one/{number}"]
        kind, content = found["address"].split(",")
        with wave.open(io.BytesIO(base64.b64decode(content))) as file:
            assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, 8000)
            np.testing.assert_array_equal(np.frombuffer(file.readframes(1000), "<i2"), expected)
        assert kind == "data:audio/wav;base64"
        assert found["seconds"] == f"{len(expected) / 8000:.2f}"


@pytest.mark.parametrize(("heard", "told", "untold"), [([7], "whole sound", "Images"), (None, "Images", "whole sound")])
def test_the_caption_tells_of_what_is_shown(
    tmp_path: Path, hear: Hear, heard: list[int] | None, told: str, untold: str
) -> None:
    hear("run", heard)
    caption = report(tmp_path).read_text().split("the probability of all classes but the label.")[1].split("</fig")[0]
    assert told in caption
    assert untold not in caption
    assert "text of a language model" not in caption


@pytest.mark.parametrize(("heard", "expected"), [([4], [None, "one/4", "one/4"]), ([], [None] * 3)])
def test_sounds_without_room_in_the_run_folder_are_missing(
    tmp_path: Path, hear: Hear, heard: list[int], expected: list[Any]
) -> None:
    hear("run", heard)
    assert sounds_of(explored(tmp_path)) == expected


def test_a_run_of_an_older_version_has_pictures_alone(tmp_path: Path, hear: Hear) -> None:
    hear("run", None)
    data = explored(tmp_path)
    assert [("sound" in sample, sample["image"]) for sample in data["runs"][0]["samples"]] == [
        (False, "one/7"),
        (False, "one/4"),
        (False, "one/4"),
    ]
    assert data["sounds"] == {}


def test_runs_on_the_same_data_share_sounds_and_others_do_not(tmp_path: Path, hear: Hear) -> None:
    for name, heard, test in (("a", [7], "one"), ("b", [4], "one"), ("c", [7], "other")):
        hear(name, heard, test)
    data = explored(tmp_path)
    assert list(data["sounds"]) == ["one/7", "one/4", "other/7"]
    assert sounds_of(data, 1) == ["one/7", "one/4", "one/4"]
    assert sounds_of(data, 2) == ["other/7", None, None]


def test_all_sounds_of_a_report_have_a_limit() -> None:
    def kept_within(max_bytes: int) -> dict[str, int]:
        sounds = Sounds(max_bytes)
        for key, length in (("short", 700), ("long", 900), ("short", 700)):
            assert sounds.add(key, np.zeros(length, np.int16), 8000) == (key if key in sounds.sounds else None)
        return {key: len(found["address"]) for key, found in sounds.sounds.items()}

    whole = kept_within(MAX_REPORT_SOUND_BYTES)
    assert 0 < whole["short"] < whole["long"]
    assert kept_within(sum(whole.values())) == whole
    assert list(kept_within(sum(whole.values()) - 1)) == ["short"]
