"""What is read back is what was written, and of its shape: flipped bits, foreign parts, and what strangers describe."""

import json
import shutil
from contextlib import suppress
from pathlib import Path

import pytest
import torch
from tests.older import as_older

from instar import evaluate, inspect, train
from instar.errors import InstarError, RunError
from instar.models import MLP
from instar.procedures.report import report
from instar.runs.checksums import digest
from instar.runs.files import MAX_DOCUMENT_BYTES, read_json, read_tensors, write_json, write_tensors
from instar.runs.run import Run

SETTINGS = {"epochs": 1, "batch_size": 256}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train("digits", MLP([4]), out=tmp_path_factory.mktemp("damage") / "run", **SETTINGS).path


@pytest.fixture
def copied(trained: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / "run"))


def flip(path: Path, bit: int) -> None:
    content = bytearray(path.read_bytes())
    content[bit // 8 % len(content)] ^= 1 << bit % 8
    path.write_bytes(content)


@pytest.mark.parametrize("place", [0.0, 0.03, 0.3, 0.6, 0.99])
def test_a_flipped_bit_of_tensors_is_noticed_wherever_it_is(tmp_path: Path, place: float) -> None:
    path = tmp_path / "a.safetensors"
    write_tensors(path, {"a": torch.arange(100.0)}, {"step": 3})
    for bit in range(8):
        flip(path, int(place * path.stat().st_size) * 8 + bit)
        with pytest.raises(RunError):
            read_tensors(path, sealed=True)
        flip(path, int(place * path.stat().st_size) * 8 + bit)
    assert read_tensors(path, sealed=True)[1] == {"step": 3}


def test_every_flipped_bit_of_a_document_is_noticed_or_changes_nothing(tmp_path: Path) -> None:
    path, values = tmp_path / "a.json", {"name": "mlp", "widths": [1.5, 300], "seed": None}
    write_json(path, values)
    for bit in range(8 * path.stat().st_size):
        flip(path, bit)
        with suppress(RunError):
            assert read_json(path, sealed=True) == values
        flip(path, bit)


@pytest.mark.parametrize("name", ["weights.safetensors", "predictions.safetensors", "model.json", "cost.json"])
def test_a_file_of_another_run_is_noticed(copied: Path, tmp_path: Path, name: str) -> None:
    other = train("digits", MLP([4]), out=tmp_path / "other", seed=1, **SETTINGS)
    content = json.loads((other.path / name).read_text()) if name.endswith("json") else None
    if content is not None:  # those of two such runs may be equal
        content["more"] = 1
        write_json(other.path / name, content)
    shutil.copy(other.path / name, copied / name)
    (damaged,) = inspect(copied).damaged
    assert damaged.name == name
    assert "does not belong to this run: result.json names another checksum" in (damaged.problem or "")


def test_a_checksum_cannot_be_left_out_and_older_folders_have_none(copied: Path, trained: Path) -> None:
    content = json.loads((copied / "model.json").read_text())
    del content["checksum"]
    (copied / "model.json").write_text(json.dumps(content))
    with pytest.raises(RunError, match=r"model\.json' is damaged: its checksum is missing"):
        evaluate(copied)
    as_older(copied)
    assert evaluate(copied) == evaluate(trained)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("model.json", "[]", r"model\.json' is damaged: it must contain a JSON object"),
        ("model.json", '{"name": "mlp"}', r"model\.json' is damaged: 'arguments' is required but missing"),
        ("model.json", "[" * 20_000, r"model\.json' is damaged: its values are nested too deeply"),
        ("config.json", '{"format": 1, "config": {}, "fingerprints": {}}', r"config\.json' is damaged: 'config\.\w+'"),
        ("result.json", "null", r"result\.json' is damaged: it must contain a JSON object"),
        ("result.json", '{"metrics": {"errors": "many"}}', r"'metrics\.errors': "),
        ("result.json", " " * (MAX_DOCUMENT_BYTES + 1), "it is larger than 16 MiB"),
    ],
)
def test_a_document_of_another_shape_is_one_sentence(copied: Path, name: str, content: str, words: str) -> None:
    as_older(copied)
    (copied / name).write_text(content)
    with pytest.raises(RunError, match=words):
        evaluate(copied)
    assert inspect(copied).state == "damaged"
    report(copied, out=copied.parent / "report.html")


@pytest.mark.parametrize("line", ["null", "{}", '{"step": "x"}', '{"step": -1}', "[" * 5000])
def test_a_line_of_metrics_without_a_step_is_one_sentence(copied: Path, line: str) -> None:
    as_older(copied)
    with (copied / "metrics.jsonl").open("a") as file:
        file.write(line + "\n")
    with pytest.raises(RunError, match=r"metrics\.jsonl.* is damaged"):
        Run(copied).history()


@pytest.mark.parametrize(
    "changes",
    [
        {"arguments": {"widths": [8] * 9000}},
        {"arguments": {"widths": [8] * 100_000}},
        {"arguments": {"widths": [10**12]}},
        {"arguments": {"widths": [10**7]}},
        {"input_shape": [10**12]},
    ],
)
def test_a_model_that_its_weights_cannot_be_of_is_refused_before_it_is_made(copied: Path, changes: dict) -> None:
    as_older(copied)
    write_json(copied / "model.json", json.loads((copied / "model.json").read_text()) | changes)
    with pytest.raises(RunError, match=r"do not fit its model|cannot be built"):
        evaluate(copied)
    assert inspect(copied).state == "damaged"


@pytest.fixture
def begun(tmp_path: Path, stop_before) -> Path:
    error = stop_before(4)
    with pytest.raises(error):
        train("digits", MLP([4]), out=tmp_path / "begun", checkpoint_seconds=0, **SETTINGS)
    return tmp_path / "begun"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t, h: {k: v for k, v in t.items() if not k.startswith("optimiser")}, "lacks"),
        (lambda t, h: h.update(step=10**9) or t, "has 5|does not fit|is of step"),
        (lambda t, h: h.update(run=digest("other")) or t, "is of another run"),
        (lambda t, h: h.pop("step") and t, "'step' is required but missing"),
        (lambda t, h: t | {"model.more": torch.zeros(1)}, "lacks tensors|is of another run"),
    ],
)
def test_a_checkpoint_that_is_foreign_or_half_is_no_start(begun: Path, change, words: str) -> None:
    tensors, header = read_tensors(begun / "checkpoint.safetensors")
    write_tensors(begun / "checkpoint.safetensors", change(tensors, header), header)
    with pytest.raises(InstarError, match=words):
        train("digits", MLP([4]), out=begun, checkpoint_seconds=0, **SETTINGS)


def test_an_older_checkpoint_without_its_optimiser_is_no_start(begun: Path) -> None:
    as_older(begun)
    tensors, header = read_tensors(begun / "checkpoint.safetensors")
    kept = {name: tensor for name, tensor in tensors.items() if not name.startswith("optimiser")}
    write_tensors(begun / "checkpoint.safetensors", kept, {"step": header["step"], "seconds": 0.0})
    with pytest.raises(RunError, match=r"lacks 'optimiser\."):
        train("digits", MLP([4]), out=begun, checkpoint_seconds=0, **SETTINGS)


def test_a_line_that_is_lost_from_metrics_is_noticed_when_a_run_goes_on(begun: Path) -> None:
    path = begun / "metrics.jsonl"
    path.write_bytes(path.read_bytes()[:-1] + b"\x0b")  # the end of the last line, flipped: as if it was cut by a kill
    with pytest.raises(RunError, match=r"does not fit metrics\.jsonl"):
        train("digits", MLP([4]), out=begun, checkpoint_seconds=0, **SETTINGS)
