"""Networks of equal weights that compute other functions: never taken for each other, in runs, teachers and stores."""

import json

import pytest
import torch
from tests.older import as_older
from torch import nn

from instar.data import load_data
from instar.errors import RunError, StoreError
from instar.models import MLP
from instar.procedures.distill import distill
from instar.procedures.label import label
from instar.procedures.train import train

DIGITS = load_data("digits", subset=60)
SMALL = {"epochs": 1, "batch_size": 20, "show": False}
OTHER = "the same weights and computes other logits"


def network(activation):
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 16), activation, nn.Linear(16, 10))


def without_functions(folder):
    """Make a run one of a version that recorded no logits in the configuration."""
    as_older(folder)
    path = folder / "config.json"
    content = json.loads(path.read_text())
    del content["functions"]
    path.write_text(json.dumps(content))


@pytest.mark.parametrize("is_older", [False, True])
def test_a_complete_run_is_not_that_of_a_student_with_another_activation(tmp_path, is_older):
    metrics = train(DIGITS, network(nn.ReLU()), out=tmp_path / "run", **SMALL).metrics
    if is_older:
        without_functions(tmp_path / "run")
    again = train(DIGITS, network(nn.ReLU()), out=tmp_path / "run", **SMALL)
    assert again.metrics == metrics
    with pytest.raises(RunError, match=f"another configuration .*student.* has {OTHER}.*; choose another folder"):
        train(DIGITS, network(nn.GELU()), out=tmp_path / "run", **SMALL)
    assert not (tmp_path / "run" / "error.txt").exists()


def test_an_unfinished_run_is_not_resumed_with_another_activation(tmp_path):
    run = train(DIGITS, network(nn.ReLU()), out=tmp_path / "run", **SMALL)
    (run.path / "result.json").unlink()
    with pytest.raises(RunError, match=f"student 1 has {OTHER}"):
        train(DIGITS, network(nn.Tanh()), out=tmp_path / "run", **SMALL)


def test_an_output_layer_of_zeros_hides_no_other_activation(tmp_path):
    def zeros(activation):
        made = network(activation)
        for weight in made[-1].parameters():
            nn.init.zeros_(weight)
        return made

    run = train(DIGITS, zeros(nn.ReLU()), out=tmp_path / "run", **SMALL)
    (run.path / "result.json").unlink()
    with pytest.raises(RunError, match=f"noisy student 1 has {OTHER}"):
        train(DIGITS, zeros(nn.Tanh()), out=run.path, **SMALL)
    assert train(DIGITS, zeros(nn.ReLU()), out=run.path, **SMALL).complete


@pytest.mark.parametrize("several", [False, True])
def test_a_run_is_not_that_of_a_teacher_with_another_activation(tmp_path, several):
    def teacher(activation):
        return [network(nn.ReLU()), network(activation)] if several else network(activation)

    def ask(activation):
        return distill(DIGITS, teacher(activation), MLP([4]), out=tmp_path / "run", **SMALL)

    assert ask(nn.ReLU()).result == ask(nn.ReLU()).result
    with pytest.raises(RunError, match=f"teacher {1 + several} has {OTHER}"):
        ask(nn.SiLU())


def test_a_store_is_not_that_of_a_teacher_with_another_activation(tmp_path):
    def ask(activation):
        return label(DIGITS, network(activation), out=tmp_path / "store", show=False)

    assert ask(nn.ReLU()).fingerprint == ask(nn.ReLU()).fingerprint
    with pytest.raises(StoreError, match=f"teacher 1 has {OTHER}"):
        ask(nn.SiLU())


def test_a_folder_of_stores_is_not_searched_for_answers_of_another_function(tmp_path):
    settings = {"targets": "store", "store": {"folder": str(tmp_path / "stores")}, **SMALL}
    distill(DIGITS, network(nn.ReLU()), MLP([4]), out=tmp_path / "one", **settings)
    with pytest.raises(StoreError, match=OTHER):
        distill(DIGITS, network(nn.SiLU()), MLP([4]), out=tmp_path / "two", **settings)
