"""Unusual teachers: quantised modules, odd outputs, misleading names, targets of a few classes."""

import collections
import copy
import warnings

import pytest
import torch
from torch import nn

from instar.data import Loader, Samples, Source, load_data
from instar.models import MLP
from instar.procedures.distill import distill
from instar.procedures.evaluate import evaluate
from instar.targets import SparseTargets
from instar.teachers import Module, Teacher, as_teacher

DIGITS = load_data("digits", subset=60)
BATCH = Loader(DIGITS.train, 8, seed=0).batch(0)
SMALL = {"epochs": 1, "batch_size": 20}


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 10))


def quantised(made):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch moves it to another package
        return torch.ao.quantization.quantize_dynamic(made, {nn.Linear}, torch.qint8)


class Returning(nn.Module):
    """A network that returns its logits inside something."""

    def __init__(self, wrap):
        super().__init__()
        self.layers, self.wrap = network(), wrap

    def forward(self, inputs):
        return self.wrap(self.layers(inputs))


Output = collections.namedtuple("Output", ["loss", "logits"])


class Few(Teacher):
    """Predicts the likeliest class and the mass of the rest."""

    def targets(self, batch):
        kept = torch.tensor([[0.9, 0.1]]).expand(len(batch), 2)
        return SparseTargets(batch.labels.clamp(min=0)[:, None], kept, torch.full((len(batch),), 0.325), 10, 2.0)

    def fingerprint(self):
        return "few"


def test_a_quantised_module_teaches_and_has_a_fingerprint_of_its_values(tmp_path):
    teacher = quantised(network())
    assert Module(teacher).fingerprint() == Module(copy.deepcopy(teacher)).fingerprint()
    other = network()
    nn.init.zeros_(other[1].weight)
    assert Module(teacher).fingerprint() != Module(quantised(other)).fingerprint()
    run = distill(DIGITS, teacher, MLP([4]), out=tmp_path / "run", **SMALL)
    assert "kl_to_teacher" in run.metrics


def test_state_that_is_no_tensor_is_part_of_the_fingerprint():
    class Versioned(nn.Linear):
        version = 1

        def get_extra_state(self):
            return {"version": self.version, "names": ["a", None]}

    first = Versioned(2, 2)
    before = Module(first).fingerprint()
    first.version = 2
    assert Module(first).fingerprint() != before


@pytest.mark.parametrize(
    "wrap", [lambda z: {"logits": z, "hidden": z[:, :3]}, lambda z: (z, None), lambda z: Output(z.sum(), z)]
)
def test_logits_are_found_in_what_a_module_returns(wrap):
    expected = Module(network()).targets(BATCH).logits()
    assert torch.equal(Module(Returning(wrap)).targets(BATCH).logits(), expected)


def test_attributes_called_mean_std_and_network_change_nothing():
    pixels = torch.randint(0, 256, (4, 1, 8, 8), dtype=torch.uint8)
    made = network()
    made.mean, made.std, made.network = 0.0, 1.0, None
    batch = Loader(Samples.all_of(Source("pixels", pixels, torch.zeros(4).long(), ("0",))), 4, seed=0).batch(0)
    found = as_teacher(made).targets(batch).logits()
    assert torch.equal(found, Module(network()).targets(batch).logits())
    assert found.abs().max() < 5, "raw bytes would give large logits"


def test_a_teacher_of_a_few_classes_trains_to_the_end_and_is_left_out_of_scores_of_all_classes(tmp_path):
    settings = {"objective": "SoftTargets(2) + HardLabels()", "gradients_every": 1, **SMALL}
    run = distill(DIGITS, Few(), MLP([4]), out=tmp_path / "run", **settings)
    assert run.complete
    assert "kl_to_teacher" not in run.metrics
    assert evaluate(run, DIGITS)["errors"] == run.metrics["errors"]
