"""A term that owns buffers and reads the batch: a loop by hand, a kill, and what a run must have for it."""

from dataclasses import dataclass

import pytest
import torch
from tests.same_runs import assert_same
from torch import nn

from instar.data import load_data
from instar.errors import MismatchError
from instar.models import MLP
from instar.objectives import FeatureTerm, Need
from instar.objectives.features import Adapters
from instar.procedures.distill import distill
from instar.procedures.train import train
from instar.runs.files import read_tensors
from instar.runs.run import Run

DIGITS = load_data("digits", subset=60)
SETTINGS = {"batch_size": 25, "optimiser": "sgd", "learning_rate": 0.01, "schedule": "constant", "log_every": 1}


class Memory(Adapters):
    """Keeps the last projected output of each sample, and returns the one of before."""

    def __init__(self, width, outputs, samples):
        super().__init__()
        self.project = nn.Linear(width, outputs)
        self.register_buffer("kept", torch.zeros(int(samples.ids.max()) + 1, outputs))
        self.found = None

    def forward(self, student, teacher, batch):
        projected = self.project(student[0])
        self.found = (batch.ids, projected.detach())
        return [(projected, self.kept[batch.ids])], teacher

    def update(self):
        ids, projected = self.found
        self.kept[ids] = projected


@dataclass(frozen=True)
class Steady(FeatureTerm):
    """The distance to the teacher, and from what the student had for the same sample before, if it has a label."""

    name = "steady"
    needs = frozenset({Need.TEACHER, Need.LABELS})

    def make_adapters(self, student, teacher, samples):
        return Memory(student[0][0], teacher[0][0], samples)

    def compare_all(self, student, teacher, batch):
        (projected, before), distance = student[0], (student[0][0] - teacher[0]).square().mean(1)
        return distance + torch.where(batch.labels < 5, (projected - before).square().mean(1), 0.0)

    def compare(self, student, teacher):
        raise NotImplementedError


@dataclass(frozen=True)
class Padded(Steady):
    name = "padded"
    needs = frozenset({Need.TEACHER, Need.ATTENTION_MASK})


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    return train(DIGITS, MLP([8]), out=tmp_path_factory.mktemp("teachers") / "mlp", epochs=1, **SETTINGS)


def settings(term=Steady, **more):
    objective = "SoftTargets(2) + 2 * " + f"{__name__}:{term.__name__}({{'hidden1': 'hidden1'}})"
    return SETTINGS | {"epochs": 3, "objective": objective, "trust": True} | more


def test_buffers_change_after_each_step_and_not_before_the_first(tmp_path, teacher):
    run = distill(DIGITS, teacher, MLP([6]), out=tmp_path / "run", **settings(epochs=1, batch_size=60))
    first = [line["steady"] for line in run.history() if line["kind"] == "train"]
    again = distill(DIGITS, teacher, MLP([6]), out=tmp_path / "two", **settings(epochs=2, batch_size=60))
    lines = [line["steady"] for line in again.history() if line["kind"] == "train"]
    assert lines[0] == first[0]
    assert lines[1] < lines[0]  # what the student had before is near to what it has now, and zeros are not


def test_a_stopped_run_ends_alike_with_its_buffers(tmp_path, teacher, stop_before):
    more = settings(checkpoint_seconds=0)
    straight = distill(DIGITS, teacher, MLP([6]), out=tmp_path / "straight", **more)
    stopped = stop_before(4)
    with pytest.raises(stopped):
        distill(DIGITS, teacher, MLP([6]), out=tmp_path / "stopped", **more)
    tensors, _ = read_tensors(Run(tmp_path / "stopped").checkpoint)
    assert tensors["adapters.steady.kept"].abs().sum() > 0
    assert_same(straight, distill(DIGITS, teacher, MLP([6]), out=tmp_path / "stopped", **more))
    assert straight.result["adapter_parameters"] == 6 * 8 + 8


def test_what_a_term_reads_of_the_batch_must_be_there(tmp_path, teacher):
    unlabelled = load_data("digits", subset=60, drop_labels=1.0)
    with pytest.raises(MismatchError, match="Steady needs labels, but the run has none"):
        distill(unlabelled, teacher, MLP([6]), out=tmp_path / "run", **settings())
    with pytest.raises(MismatchError, match="Padded needs inputs with a mask of their padding, but the run has none"):
        distill(DIGITS, teacher, MLP([6]), out=tmp_path / "run", **settings(Padded))
    assert not (tmp_path / "run").exists()
