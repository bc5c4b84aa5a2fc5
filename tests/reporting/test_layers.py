"""Hidden layers in the report: similarities against NumPy, maps against the layers themselves, and damaged files."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

import instar
from instar.analysis.layer_similarity import linear_cka
from instar.data import load_data
from instar.models import WideResNet
from instar.models.trained import TrainedRun
from instar.reporting.html import render
from instar.reporting.layers import compare_layers
from instar.reporting.runs import Runs
from instar.runs.rows import collect
from instar.runs.run import Run

DIGITS = load_data("digits", subset=120)
SETTINGS = {"epochs": 1, "batch_size": 40}
OBJECTIVE = (
    "SoftTargets(4) + 1000 * AttentionTransfer({'stage1': 'stage1', 'stage3': 'stage3'}) + Hints({'stage2': 'stage2'})"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A teacher, and a student that compared three of its layers."""
    folder = tmp_path_factory.mktemp("runs")
    teacher = instar.train(DIGITS, WideResNet(10, 2), out=folder / "teacher", **SETTINGS)
    instar.distill(DIGITS, teacher, WideResNet(10, 1), out=folder / "student", objective=OBJECTIVE, **SETTINGS)
    return folder


def test_similarities_are_those_of_the_equation() -> None:
    draws = np.random.default_rng(0)
    x, y = draws.normal(size=(30, 4)), draws.normal(size=(30, 7))
    y[:, :4] += x
    first, second = x - x.mean(0), y - y.mean(0)
    wanted = np.linalg.norm(second.T @ first) ** 2
    wanted /= np.linalg.norm(first.T @ first) * np.linalg.norm(second.T @ second)
    found = linear_cka([torch.tensor(x)], [torch.tensor(y), torch.tensor(3 * x + 1)])
    assert found[0].tolist() == pytest.approx([wanted, 1.0])
    turned, _ = np.linalg.qr(draws.normal(size=(4, 4)))
    assert linear_cka([torch.tensor(x @ turned)], [torch.tensor(y)]).item() == pytest.approx(wanted)


def outputs(run: Run, inputs: torch.Tensor) -> dict[str, torch.Tensor]:
    network, found = run.model.eval(), {}
    for name, module in network.network.groups():
        module.register_forward_hook(lambda _, __, output, name=name: found.update({name: output}))
    with torch.no_grad():
        network(inputs)
    return found


def test_a_run_records_how_alike_its_layers_are_and_where_they_are_active(folder: Path) -> None:
    student, teacher = instar.Run(folder / "student"), instar.Run(folder / "teacher")
    tensors, header = student.tensors("layers.safetensors")
    assert header["student"] == header["teacher"] == ["stage1", "stage2", "stage3"]
    assert [tuple(pair) for pair in header["pairs"]] == [(f"stage{n}", f"stage{n}") for n in (1, 3, 2)]
    samples = DIGITS.test.subset(min(256, len(DIGITS.test)), seed=0)
    inputs = samples.source.inputs[samples.ids]
    own, theirs = (outputs(TrainedRun(run.path), inputs) for run in (student, teacher))
    wanted = linear_cka([own[f"stage{n}"] for n in (1, 2, 3)], [theirs[f"stage{n}"] for n in (1, 2, 3)])
    torch.testing.assert_close(tensors["cka"], wanted.float(), rtol=1e-4, atol=1e-5)
    active = own["stage3"][:6].square().mean(1)
    assert (tensors["student.1"].flatten(1).argmax(1) == active.flatten(1).argmax(1)).all()
    assert "student.2" in tensors


def test_the_report_shows_them(folder: Path) -> None:
    rows = collect(folder)
    found = compare_layers(Runs(rows))
    assert found is not None
    (one,) = found["runs"]
    compared = [cell["compared"] for _, cells in one["rows"] for cell in cells]
    assert compared == [True, False, False, False, True, False, False, False, True]
    assert [title for title, _ in one["maps"]][:3] == ["pictures", "student: stage1", "teacher: stage1"]
    page = render(rows, "x")
    assert "Its terms own 2,112 weights" in page  # a convolution from 32 to 64 channels, and its bias
    assert 'id="layers"' in page
    assert page.count("data:image/png") >= 6


def test_a_damaged_file_is_named_and_costs_nothing_else(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "runs")
    path = tmp_path / "runs" / "student" / "layers.safetensors"
    path.write_bytes(path.read_bytes()[:-3])
    runs = Runs(collect(tmp_path / "runs"))
    assert compare_layers(runs) is None
    assert "layers.safetensors" in json.dumps(runs.problems)


def test_a_run_without_such_terms_has_no_file(folder: Path, tmp_path: Path) -> None:
    instar.distill(DIGITS, folder / "teacher", WideResNet(10, 1), out=tmp_path, **SETTINGS)
    assert not (tmp_path / "layers.safetensors").exists()
