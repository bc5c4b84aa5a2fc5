"""Students that learn hidden layers from a target store: the run of the live teacher, and what a store lacks."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.same_runs import assert_same, same_weights
from torch import nn
from typer.testing import CliRunner

from instar.cli import app
from instar.compute.execution import Execution
from instar.data import Loader, as_view, load_data
from instar.errors import ConfigError, MismatchError, NonFiniteError, StoreError
from instar.models import TrainedRun, WideResNet
from instar.procedures.distill import distill
from instar.procedures.label import label
from instar.procedures.target_stores import merge_targets, targets_info, verify_targets
from instar.procedures.train import train
from instar.runs.run import Run
from instar.targets import TargetStore
from instar.targets.shards import read_records
from instar.teachers import Ensemble, Module, Stored

DIGITS = load_data("digits", subset=96)
FEW = {"epochs": 2, "batch_size": 32, "log_every": 1, "judge_test": False}
VIEWS = {"views": "Shift(1)", "num_views": 2}
PLAIN = {"dtype": "float32", "batch_size": 32, "show": False, "held_out": False}
STAGES = "SoftTargets(4) + 1000 * AttentionTransfer()"


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> TrainedRun:
    return train(DIGITS, WideResNet(10, 2), out=tmp_path_factory.mktemp("teachers") / "wide", **FEW | {"epochs": 1})


@pytest.fixture(scope="module")
def store(teacher: TrainedRun, tmp_path_factory: pytest.TempPathFactory) -> TargetStore:
    return label(DIGITS, teacher, out=tmp_path_factory.mktemp("stores") / "all", features="stages", **PLAIN | VIEWS)


def student(teacher: Any, out: Path, objective: str = STAGES, **changes: Any) -> TrainedRun:
    return distill(DIGITS, teacher, WideResNet(10, 1), out=out, objective=objective, **FEW | changes)


def assert_same_training(first: Run, second: Run) -> None:
    assert same_weights(first, second)
    assert losses_of(first) == losses_of(second)


def losses_of(run: Run) -> list[dict[str, Any]]:
    return [line | {"seconds": 0} for line in run.history() if line["kind"] == "train"]


def refused(tmp_path: Path, teacher: Any, sentence: str, objective: str = STAGES, **changes: Any) -> None:
    with pytest.raises(MismatchError, match=sentence):
        student(teacher, tmp_path / "run", objective, **changes)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("objective", "settings"),
    [
        (STAGES, {"micro_batches": 2, "ema": 0.9}),
        ("SoftTargets(4) + Hints({'stage2': 'stage2'}) + Relational({'pooled': 'pooled'})", {}),
    ],
    ids=["parts of batches", "terms that own layers and relate samples"],
)
def test_a_float32_store_trains_the_bits_of_the_live_teacher(tmp_path, teacher, objective: str, settings: dict) -> None:
    features = ["pooled", "stage?"]
    given = label(DIGITS, teacher, out=tmp_path / "store", features=features, **PLAIN | VIEWS)
    live = student(teacher, tmp_path / "live", objective, **VIEWS | settings)
    assert_same_training(live, student(given, tmp_path / "given", objective, **settings))
    made = {"targets": "store", "store": {"dtype": "float32"}}
    assert_same_training(live, student(teacher, tmp_path / "made", objective, **VIEWS | settings | made))
    layers = set(TargetStore(tmp_path / "made" / "targets").layers())
    assert layers == ({"stage1", "stage2", "stage3"} if objective == STAGES else {"stage2", "pooled"})


def test_a_stopped_run_from_a_store_ends_alike(tmp_path, store, stop_before) -> None:
    settings = {"checkpoint_seconds": 0}
    straight = student(store, tmp_path / "straight", **settings)
    stopped = stop_before(4)
    with pytest.raises(stopped):
        student(store, tmp_path / "stopped", **settings)
    assert_same(straight, student(store, tmp_path / "stopped", **settings))


@pytest.mark.parametrize(
    ("keep", "dtype", "error"), [("all", "float32", 0.0), ("top:3", "float16", 1e-3), ("all", "bfloat16", 8e-3)]
)
def test_layers_are_found_by_id_and_view_beside_any_targets(tmp_path, teacher, keep: str, dtype: str, error: float):
    plain = PLAIN | VIEWS | {"dtype": dtype, "keep": keep}
    made = label(DIGITS, teacher, out=tmp_path / "store", features=["stem", "pooled"], **plain)
    assert made.layers() == {"stem": (16, 8, 8), "pooled": (128,)}
    without = label(DIGITS, teacher, out=tmp_path / "plain", **plain)
    stored, alone, live = Stored(TargetStore(made.path)), Stored(without), Module(teacher.model)
    live.prepare(Execution(torch.device("cpu"), "float32"))
    loader = Loader(DIGITS.train, 32, seed=3, views=as_view("Shift(1)"), num_views=2, view_seed=0)
    for step in (0, 2, 4, 5):
        batch = loader.batch(step)
        found, known = (one.answer(batch, ["pooled", "stem"]).features for one in (stored, live))
        assert list(found) == ["pooled", "stem"]
        torch.testing.assert_close(found, dict(known), rtol=error, atol=error / 100)
        beside, by_itself = stored.targets(batch), alone.targets(batch)
        names = ("values",) if keep == "all" else ("ids", "kept")
        assert all(torch.equal(getattr(beside, name), getattr(by_itself, name)) for name in names)


def test_shares_and_processes_make_the_same_store(tmp_path, teacher) -> None:
    settings = PLAIN | VIEWS | {"features": ["stage1"], "num_views": 6, "shard_rows": 1}
    whole = label(DIGITS, teacher, out=tmp_path / "whole", **settings)
    assert len(whole.pieces()) > 2
    shares = [label(DIGITS, teacher, out=tmp_path / str(i), share=(i, 2), **settings).path for i in (1, 2)]
    merged = merge_targets(shares, tmp_path / "merged")
    assert merged.fingerprint == whole.fingerprint
    lost = whole.file(whole.pieces()[1])
    before = lost.read_bytes()
    lost.unlink()
    label(DIGITS, teacher, out=tmp_path / "whole", **settings)
    assert lost.read_bytes() == before
    with pytest.raises(StoreError, match=r"is another target store than requested .*layers"):
        label(DIGITS, teacher, out=tmp_path / "whole", **settings | {"features": ["stage1", "stage2"]})


def test_a_store_without_layers_is_as_it_was_before_there_were_layers(tmp_path, teacher, store) -> None:
    plain = label(DIGITS, teacher, out=tmp_path / "plain", **PLAIN | VIEWS)
    assert "layers" not in plain.manifest.plan()["parts"]["train"]
    manifest = json.loads((plain.path / "manifest.json").read_text())
    assert manifest["parts"]["train"]["layers"] == []
    assert_same_training(
        student(plain, tmp_path / "without", "SoftTargets(4)"), student(store, tmp_path / "with", "SoftTargets(4)")
    )


def test_what_a_store_lacks_is_refused_with_the_layers_that_it_has(tmp_path, teacher, store) -> None:
    some = label(DIGITS, teacher, out=tmp_path / "some", features=["stage1", "stage2"], **PLAIN)
    sentence = r"the target store '.*' has no layer 'stage3'; it keeps 'stage1', 'stage2'; label again with it \(--feat"
    refused(tmp_path, some, sentence, "AttentionTransfer({'stage3': 'stage3'})")
    refused(tmp_path, some, "the student has 'stage1', 'stage2', 'stage3', the target store '.*' 'stage1', 'stage2'")
    gradients = "AttentionTransfer(compares|.*) compares gradients of the teacher, and a target store keeps outputs"
    for objective in ("AttentionTransfer({'inputs': 'inputs'}, True)", "AttentionTransfer('stages', True)"):
        refused(tmp_path, store, gradients, objective)
        refused(tmp_path, teacher, gradients, objective, targets="store")
    plain = label(DIGITS, teacher, out=tmp_path / "plain", **PLAIN)
    refused(tmp_path, plain, "the teacher Stored keeps predictions alone; label again with --features")


def test_features_that_cannot_be_stored_are_refused(tmp_path, teacher) -> None:
    def fails(kind: type[Exception], sentence: str, of: Any = teacher, **changes: Any) -> None:
        with pytest.raises(kind, match=sentence):
            label(DIGITS, of, out=tmp_path / "store", **PLAIN | {"features": "stages"} | changes)
        assert not list((tmp_path / "store").glob("*-*.safetensors"))

    fails(MismatchError, "the teacher has no layer 'stage7'; the nearest are 'stage3'", features=["stage1", "stage7"])
    for odd in ([], 3):
        fails(ConfigError, "features must be layers of the teacher", features=odd)
    fails(MismatchError, "the teacher Ensemble has those of several", Ensemble([teacher, teacher]))
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 4), nn.Linear(4, 10))
    fails(MismatchError, "the teacher has no stages; name its layers", network)
    with torch.no_grad():
        network[1].bias.fill_(1e6)
    sentence = r"the layer '1' of the teacher has values up to 1e\+06, and float16 holds up to 6\.55e\+04; store bfloat"
    fails(NonFiniteError, sentence, network, features="1", dtype="float16")
    assert label(DIGITS, network, out=tmp_path / "wide", **PLAIN | {"features": "1", "dtype": "bfloat16"}).complete


def test_the_command_line_tells_layers_shapes_and_bytes_before_anything_is_labelled(tmp_path, teacher) -> None:
    given = ["label", "digits", "--teacher", str(teacher.path), "--out", str(tmp_path / "store"), "--no-held-out"]
    given += ["--set", "data.subset=96", "--features", "stage3", "--features", "pooled", "--batch-size", "32"]
    found = CliRunner().invoke(app, given)
    assert found.exit_code == 0, found.stderr
    told = "layer stage3: [128, 2, 2] per sample, 1,024 bytes, 0.1 MB"
    assert told in found.stderr
    assert told in found.stdout
    assert found.stderr.index("row") < found.stderr.index("MB in 1 shards")
    (layer, pooled) = targets_info(tmp_path / "store")["parts"]["train"]["layers"]
    assert (layer["name"], layer["shape"], layer["bytes"]) == ("stage3", [128, 2, 2], 96 * 1024)
    assert pooled["name"] == "pooled"


def test_a_store_is_labelled_from_a_store_of_layers(tmp_path, store) -> None:
    again = label(DIGITS, store, out=tmp_path / "again", features=["stage2"], **PLAIN | VIEWS)
    ids = DIGITS.train.ids[:5]
    first, second = (one.part("train").features(ids, 1, ["stage2"])["stage2"] for one in (store, again))
    assert torch.equal(first, second)


def test_verifying_compares_layers_with_the_teacher(tmp_path, teacher, store) -> None:
    assert verify_targets(store, rows=40).difference < 1e-5
    half = label(DIGITS, teacher, out=tmp_path / "half", features="stage2", **PLAIN | VIEWS | {"dtype": "float16"})
    assert verify_targets(half).difference < 1e-3
    # whole and sealed again, as by another program
    piece = half.pieces()[0]
    records = read_records(half.file(piece), 192, half.manifest.parts["train"].width(10)).clone()
    records[:, half.part("train").layout.spans["stage2"]] = 0
    half.write(piece, records)
    half.finish()
    with pytest.raises(StoreError, match="the layer 'stage2' in the store differs from that of its teacher by 1 of"):
        verify_targets(tmp_path / "half")
