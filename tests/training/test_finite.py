"""What is NaN or infinite: by design, as it was given, or because of training; and who is to blame."""

import json
import math

import pytest
import torch
from torch import nn

from instar.data import Loader, load_data
from instar.errors import NonFiniteError
from instar.models import MLP
from instar.procedures.distill import distill
from instar.procedures.inspect import inspect as look
from instar.procedures.train import train
from instar.runs.files import read_json, to_json
from instar.teachers import Ensemble, Module
from instar.training.finite import Finiteness
from instar.training.optimise import WeightAverage

DIGITS = load_data("digits", subset=60)
SMALL = {"epochs": 1, "batch_size": 20}
INF = torch.inf


class Masked(nn.Module):
    """A network with a causal mask among its buffers, as every decoder has one."""

    def __init__(self):
        super().__init__()
        self.attention, self.last = nn.MultiheadAttention(8, 2, batch_first=True), nn.Linear(64, 10)
        self.register_buffer("mask", torch.full((8, 8), -INF).triu(1))

    def forward(self, inputs):
        rows = inputs[:, 0]
        return self.last(self.attention(rows, rows, rows, attn_mask=self.mask)[0].flatten(1))


class Strict(nn.Module):
    """A teacher that gives nothing to some classes, as one does that was trained without them."""

    def __init__(self, value=-INF, where=None):
        super().__init__()
        self.layers, self.value, self.where = nn.Sequential(nn.Flatten(), nn.Linear(64, 10)), value, where

    def forward(self, inputs):
        logits = self.layers(inputs)
        rows = slice(None) if self.where is None else self.where(inputs)
        logits[rows, 7:] = self.value
        return logits


def test_a_mask_of_minus_infinity_is_trained_averaged_resumed_and_inspected(tmp_path, stop_before):
    torch.manual_seed(0)
    network, settings = Masked(), {"epochs": 2, "batch_size": 20, "ema": 0.5, "checkpoint_seconds": 0}
    whole = train(DIGITS, network, out=tmp_path / "whole", **settings)
    assert torch.equal(whole.model.network.mask, network.mask)
    assert all(not tensor.isnan().any() for tensor in whole.model.state_dict().values())
    stopped = stop_before(4)
    with pytest.raises(stopped):
        train(DIGITS, network, out=tmp_path / "run", **settings)
    resumed = train(DIGITS, network, out=tmp_path / "run", **settings)
    for name, tensor in whole.model.state_dict().items():
        assert torch.equal(tensor, resumed.model.state_dict()[name]), name
    assert not [state for state in look(whole.path).files if state.problem]


def test_what_became_infinite_is_told_from_what_was():
    model = nn.Module()
    model.register_buffer("mask", torch.tensor([0.0, -INF]))
    model.register_buffer("statistic", torch.zeros(2))
    start = Finiteness(model)
    assert start.first_bad(model.state_dict()) is None
    for name, values in {"statistic": [0.0, INF], "mask": [-INF, -INF]}.items():
        assert start.first_bad(model.state_dict() | {name: torch.tensor(values)}) == name
    assert start.first_bad(model.state_dict() | {"mask": torch.tensor([0.0, torch.nan])}) == "mask"
    assert start.first_bad(model.state_dict() | {"mask": torch.tensor([0.0, 0.0])}) is None


def test_trained_weights_that_are_nan_are_refused_before_the_first_step(tmp_path):
    network = MLP([4], input_shape=(1, 8, 8), num_classes=10)
    nn.init.constant_(next(network.parameters()), torch.nan)
    with pytest.raises(NonFiniteError, match=r"weight 'network\..*' is NaN or infinite before the first step"):
        train(DIGITS, nn.Sequential(network), out=tmp_path / "run", **SMALL)


def test_an_average_of_masks_is_the_mask():
    model = nn.Linear(2, 2)
    model.register_buffer("mask", torch.tensor([0.0, -INF]))
    average = WeightAverage(model, 0.9)
    for step in range(3):
        average.update(step)
    assert torch.equal(average.averaged().mask, model.mask)


def test_a_teacher_without_some_classes_gives_valid_json_and_a_finite_divergence(tmp_path):
    run = distill(DIGITS, Strict(), MLP([4]), out=tmp_path / "run", gradients_every=2, **SMALL)
    for path in sorted(run.path.glob("*.json")):
        json.loads(path.read_text(), parse_constant=pytest.fail)
    for line in (run.path / "metrics.jsonl").read_text().splitlines():
        json.loads(line, parse_constant=pytest.fail)
    assert 0 < run.metrics["kl_to_teacher"] < math.inf


def test_numbers_that_are_not_finite_are_null_in_json():
    values = {"nan": float("nan"), "all": [1.5, -INF, {"inside": (INF, "inf")}], "none": None, "true": True}
    expected = {"nan": None, "all": [1.5, None, {"inside": [None, "inf"]}], "none": None, "true": True}
    assert json.loads(to_json(values), parse_constant=pytest.fail) == expected


def test_an_infinite_nll_is_null_in_the_result_and_printed(tmp_path, instar):
    class Sure(nn.Module):
        """Trains as it should, and is sure of one class when it is judged."""

        def __init__(self):
            super().__init__()
            self.layers = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))

        def forward(self, inputs):
            logits = self.layers(inputs)
            return logits if self.training else logits.index_fill(1, torch.arange(9), -INF)

    run = train(DIGITS, Sure(), out=tmp_path / "run", **SMALL)
    assert read_json(run.path / "result.json")["metrics"]["nll"] is None
    assert [line["nll"] for line in run.history() if line["kind"] == "validation"] == [None]
    code, out, _ = instar("report", tmp_path)
    assert code == 0, out


@pytest.mark.parametrize("value", [torch.nan, INF])
def test_a_teacher_that_answers_nan_is_named_with_the_sample(tmp_path, value):
    bad = DIGITS.train.inputs()[17].flatten()
    teacher = Strict(value, where=lambda inputs: (inputs.flatten(1) == bad).all(1))
    number = int(DIGITS.train.ids[17])
    with pytest.raises(
        NonFiniteError, match=rf"soft_targets.*The teacher predicts NaN.* for sample {number} of"
    ) as caught:
        distill(DIGITS, teacher, MLP([4]), objective="SoftTargets(2)", out=tmp_path / "run", **SMALL)
    assert "learning rate" not in str(caught.value)


def test_a_student_that_is_nan_from_the_beginning_is_not_blamed_on_the_learning_rate(tmp_path):
    class Broken(nn.Linear):
        def forward(self, inputs):
            return super().forward(inputs.flatten(1)) * (torch.nan if self.training else 1.0)

    with pytest.raises(NonFiniteError, match=r"at step 1; .*No weight has been changed yet") as caught:
        train(DIGITS, Broken(64, 10), out=tmp_path / "run", **SMALL)
    assert "learning rate" not in str(caught.value)


@pytest.mark.parametrize("combine", ["geometric", "arithmetic"])
@pytest.mark.parametrize("value", [-INF, torch.nan])
def test_a_member_that_weighs_nothing_has_no_say(combine, value):
    torch.manual_seed(0)
    first, second = Strict(0.0), Strict(value)
    batch = Loader(DIGITS.train, 8, seed=0).batch(0)
    expected = Module(first).targets(batch).log_probs(2.0)
    found = Ensemble([first, second], combine, weights=[1, 0]).targets(batch).log_probs(2.0)
    torch.testing.assert_close(found, expected)
