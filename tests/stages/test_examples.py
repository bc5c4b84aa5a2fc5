"""What a finished run keeps of its teacher for the report, and what its answers cost."""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.special import log_softmax, softmax

import instar
from instar.data import Data
from instar.reporting.explorer import collect_samples
from instar.reporting.runs import Runs
from instar.runs.files import read_json, read_tensors
from instar.runs.rows import collect
from instar.runs.run import Run
from instar.stages import examples
from instar.stages.cost import measure_cost
from instar.stages.examples import small
from instar.teachers import Module


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Run]:
    """Return a teacher and its student."""
    root = tmp_path_factory.mktemp("examples")
    teacher = instar.train("digits", instar.models.MLP([32]), epochs=4, out=root / "teacher")
    return teacher, instar.distill("digits", teacher, instar.models.MLP([8]), epochs=2, out=root / "student")


def read(run: Run, name: str) -> dict[str, np.ndarray]:
    return {key: tensor.numpy() for key, tensor in read_tensors(run.path / name)[0].items()}


def test_the_answers_are_those_of_teacher_and_student(runs: tuple[Run, Run]) -> None:
    teacher, student = (read(run, "predictions.safetensors") for run in runs)
    kept = read(runs[1], "examples.safetensors")
    log_p, log_q = (log_softmax(one["test.logits"].astype(float), 1) for one in (teacher, student))
    np.testing.assert_array_equal(kept["test.teacher_answers"], log_p.argmax(1))
    np.testing.assert_array_equal(kept["test.student_answers"], log_q.argmax(1))
    np.testing.assert_allclose(kept["test.teacher_confidence"], np.exp(log_p.max(1)), rtol=1e-5)
    np.testing.assert_allclose(kept["test.divergence"], (np.exp(log_p) * (log_p - log_q)).sum(1), rtol=1e-4, atol=1e-6)
    assert runs[1].metrics["agreement"] == np.mean(kept["test.teacher_answers"] == kept["test.student_answers"])
    assert len(kept["train.labels"]) == 500


@pytest.mark.parametrize("targets", ["memory", "store"])
def test_kept_answers_tell_of_train_what_the_teacher_says(runs: tuple[Run, Run], tmp_path: Path, targets: str) -> None:
    asked = {"targets": targets} | ({"store": {"dtype": "float32"}} if targets == "store" else {})
    taught = instar.distill("digits", runs[0], instar.models.MLP([8]), epochs=2, out=tmp_path / "run", **asked)
    kept, live = read(taught, "examples.safetensors"), read(runs[1], "examples.safetensors")
    np.testing.assert_array_equal(kept["train.teacher_answers"], live["train.teacher_answers"])
    np.testing.assert_allclose(kept["train.divergence"], live["train.divergence"], rtol=1e-3, atol=1e-4)


def test_kept_answers_about_shifted_samples_tell_nothing_of_train(runs: tuple[Run, Run], tmp_path: Path) -> None:
    asked = {"targets": "memory", "views": "Shift(1)", "num_views": 2}
    taught = instar.distill("digits", runs[0], instar.models.MLP([8]), epochs=1, out=tmp_path / "run", **asked)
    assert not [name for name in read(taught, "examples.safetensors") if name.startswith("train")]


def test_of_too_many_classes_the_student_is_kept_beside_the_teacher(
    runs: tuple[Run, Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("instar.training.scoring.MAX_PREDICTION_BYTES", 0)  # bytes of logits in predictions.safetensors
    again = instar.distill("digits", runs[0], instar.models.MLP([8]), epochs=2, out=tmp_path / "run")
    assert "test.logits" not in read(again, "predictions.safetensors")
    kept, whole = read(again, "examples.safetensors"), read(runs[1], "predictions.safetensors")
    places = [whole["test.ids"].tolist().index(number) for number in kept["shown.ids"].tolist()]
    np.testing.assert_allclose(softmax(kept["shown.student"], 1), softmax(whole["test.logits"][places], 1), atol=2e-3)
    (row,) = collect(tmp_path)
    found = collect_samples(Runs([row]))
    assert found is not None, "the explorer shows them"
    assert len(found["data"]["runs"][0]["samples"]) == 64
    assert "shown.student" not in read(runs[1], "examples.safetensors")


def test_softened_logits_are_near_to_those_of_the_teacher(runs: tuple[Run, Run]) -> None:
    teacher, kept = read(runs[0], "predictions.safetensors"), read(runs[1], "examples.safetensors")
    places = [teacher["test.ids"].tolist().index(number) for number in kept["shown.ids"].tolist()]
    for temperature in (1, 20):
        ours, theirs = kept["shown.logits"].astype(float), teacher["test.logits"][places].astype(float)
        np.testing.assert_allclose(softmax(ours / temperature, 1), softmax(theirs / temperature, 1), atol=5e-4)
    assert len(set(places)) == 597


def test_the_kinds_to_look_at_come_first(runs: tuple[Run, Run]) -> None:
    student, kept = read(runs[1], "predictions.safetensors"), read(runs[1], "examples.safetensors")
    shown = kept["shown.ids"][: len(kept["shown.inputs"])].tolist()
    labels = dict(zip(student["test.ids"].tolist(), student["test.labels"].tolist(), strict=True))
    loss = -log_softmax(student["test.logits"].astype(float), 1)[np.arange(597), student["test.labels"]]
    assert set(student["test.ids"][np.argsort(-loss)[:12]].tolist()) <= set(shown)
    assert {labels[number] for number in shown} == set(range(10))
    assert len(shown) == 64


def test_it_is_small_and_only_there_with_a_teacher(runs: tuple[Run, Run]) -> None:
    assert not (runs[0].path / "examples.safetensors").exists()
    assert (runs[1].path / "examples.safetensors").stat().st_size < 64_000


def test_large_images_are_averaged_down() -> None:
    pixels = torch.zeros(2, 3, 96, 48, dtype=torch.uint8)
    pixels[:, :, :2, :2] = 200
    found = small(pixels)
    assert (found.shape, found.dtype) == ((2, 3, 48, 24), torch.uint8)
    assert int(found[0, 0, 0, 0]) == 200
    assert int(found.sum()) == 2 * 3 * 200


def test_a_recording_is_shown_from_its_beginning_to_its_own_end() -> None:
    frames = torch.zeros(2, 96, 40)
    frames[0, 48:, 0], frames[1, 12:, 39] = 1, 1  # low tones in the second half; high ones, but beyond the end
    found = small(frames, torch.tensor([96, 12]))
    assert (found.shape, found.dtype) == ((2, 1, 40, 48), torch.uint8)
    assert found[0, 0, 39].tolist() == [0] * 24 + [255] * 24
    assert int(found.sum()) == 24 * 255


def test_a_row_of_numbers_stays_as_it_is() -> None:
    rows = torch.tensor([[0.5, -3.0]])
    assert small(rows) is rows


WAVES = [np.random.default_rng(at).integers(-9000, 9000, 600 + 40 * at, dtype=np.int16) for at in range(12)]


@pytest.fixture(scope="module")
def spoken(tmp_path_factory: pytest.TempPathFactory, write_recordings: Callable[..., Path]) -> tuple[Run, Data]:
    """Return a teacher of recordings, and their data."""
    root = tmp_path_factory.mktemp("spoken")
    data = instar.load_data(write_recordings(root / "data", {"train": WAVES, "test": WAVES}), validation=0)
    return instar.train(data, instar.models.FrameNet([8]), epochs=1, out=root / "teacher"), data


def kept_by_student(spoken: tuple[Run, Data], out: Path) -> dict[str, np.ndarray]:
    teacher, data = spoken
    return read(instar.distill(data, teacher, instar.models.FrameNet([8]), epochs=1, out=out), "examples.safetensors")


def assert_heard(kept: dict[str, np.ndarray], numbers: list[int]) -> None:
    """Hold the sounds that were kept against those that were written."""
    assert kept["sounds.ids"].tolist() == numbers
    assert kept["sounds.starts"].tolist() == [0, *np.cumsum([len(WAVES[number]) for number in numbers])]
    np.testing.assert_array_equal(kept["sounds.waves"], np.concatenate([WAVES[number] for number in numbers]))
    assert kept["sounds.rate"].tolist() == [8000]


def test_recordings_that_are_shown_can_be_heard(spoken: tuple[Run, Data], tmp_path: Path) -> None:
    kept = kept_by_student(spoken, tmp_path / "student")
    shown = kept["shown.ids"][: len(kept["shown.inputs"])].tolist()
    assert 64 == len(shown) > len(set(shown)) > 1
    assert_heard(kept, list(dict.fromkeys(shown)))


def test_sounds_have_a_limit_of_their_own(
    spoken: tuple[Run, Data], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(examples, "MAX_SOUND_BYTES", 2 * 600)  # as much as the shortest of all takes
    kept = kept_by_student(spoken, tmp_path / "student")
    assert 0 in kept["shown.ids"][: len(kept["shown.inputs"])]
    assert_heard(kept, [0])


def test_without_sound_the_pictures_are_kept_alone(spoken: tuple[Run, Data], tmp_path: Path) -> None:
    teacher, data = spoken
    silent = replace(data, test=replace(data.test, source=replace(data.test.source, columns={})))
    kept = kept_by_student((teacher, silent), tmp_path / "student")
    assert kept["shown.inputs"].shape == (64, 1, 40, 48)
    assert not [name for name in kept if name.startswith("sounds")]


def test_cost_is_written_and_counts_by_hand(runs: tuple[Run, Run]) -> None:
    found = read_json(Path(runs[1].path) / "cost.json")
    assert found["multiply_adds"] == 64 * 8 + 8 * 10
    assert set(found["latency"]) == set(found["teacher"]) == {"1", "64", "10000"}
    for latency in (*found["latency"].values(), *found["teacher"].values()):
        assert 0 < latency["low"] <= latency["median"] <= latency["high"]
        assert 3 <= latency["times"] <= 20
    assert found["threads"] == torch.get_num_threads()
    assert found["peak_bytes"] > 50e6


def test_convolutions_are_counted_and_recurrent_layers_are_not() -> None:
    data = instar.load_data("digits").test
    convolution = torch.nn.Sequential(torch.nn.Conv2d(1, 4, 3), torch.nn.Flatten(), torch.nn.Linear(4 * 36, 10))
    assert measure_cost(Module(convolution), data)["multiply_adds"] == 36 * 4 * 9 + 144 * 10

    class Recurrent(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.LSTM(8, 10, batch_first=True)

        def forward(self, inputs: torch.Tensor) -> torch.Tensor:
            last: torch.Tensor = self.layer(inputs[:, 0])[0][:, -1]
            return last

    assert measure_cost(Module(Recurrent()), data)["multiply_adds"] is None


def test_operations_are_those_that_torch_counts_without_its_compiler() -> None:
    program = """
import sys
import torch
from torch import nn
from instar.stages.cost import Products

image, words = torch.ones(2, 3, 8, 8), torch.ones(2, 5, 16)
convolution = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Flatten(), nn.Linear(288, 3))
encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(16, 2, batch_first=True), 1)
attend = lambda: nn.functional.scaled_dot_product_attention(words, words, words) @ words.mT
calls = [lambda: convolution(image), lambda: encoder(words), attend]
found = []
for call in calls:
    with Products() as counter:
        call()
    found.append(counter.operations)
assert "torch._dynamo" not in sys.modules
assert all(found), found

from torch.utils.flop_counter import FlopCounterMode

for call, count in zip(calls, found):
    with FlopCounterMode(display=False) as counter:
        call()
    assert counter.get_total_flops() == count
"""
    subprocess.run([sys.executable, "-c", program], check=True)
