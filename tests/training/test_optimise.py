"""Learning rates, norms and averages against values worked out by hand or in NumPy."""

import math

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from torch import nn

from instar.config import TrainingConfig
from instar.data import Loader, load_data
from instar.models import CNN, MLP, Normalised, load_model, statistics
from instar.objectives import parse_objective
from instar.procedures.train import train
from instar.runs.run import Run
from instar.training import fit, state
from instar.training.optimise import WeightAverage, constrain_norms, learning_rate

DIGITS = load_data("digits", subset=100)


def rates(steps_per_epoch, **settings):
    config = TrainingConfig(learning_rate=1.0, **settings)
    return [learning_rate(config, step, steps_per_epoch) for step in range(config.epochs * steps_per_epoch)]


def test_schedules_follow_their_formulas():
    assert rates(1, epochs=4, schedule="constant") == [1, 1, 1, 1]
    assert rates(1, epochs=4, schedule="linear") == [1, 0.75, 0.5, 0.25]
    assert rates(2, epochs=2, schedule="cosine") == pytest.approx([1, 0.85355339, 0.5, 0.14644661])
    found = rates(2, epochs=4, schedule="step", milestones=[1, 2.5], factor=0.2)
    assert found == pytest.approx([1, 1, 0.2, 0.2, 0.2, 0.04, 0.04, 0.04])


def test_warm_up_rises_to_the_peak_and_the_rest_of_the_schedule_follows():
    assert rates(2, epochs=3, schedule="constant", warmup_epochs=1.5) == pytest.approx([1 / 3, 2 / 3, 1, 1, 1, 1])
    assert rates(1, epochs=6, schedule="linear", warmup_epochs=2) == pytest.approx([0.5, 1, 1, 0.75, 0.5, 0.25])
    assert rates(1, epochs=2, schedule="cosine", warmup_epochs=5) == pytest.approx([0.2, 0.4])


def test_the_rate_of_each_step_is_written_down(tmp_path):
    settings = {"epochs": 2, "batch_size": 32, "schedule": "cosine", "warmup_epochs": 1}
    run = train(DIGITS, MLP([4]), out=tmp_path / "run", learning_rate=1.0, log_every=1, **settings)
    found = [line["learning_rate"] for line in run.history() if line["kind"] == "train"]
    assert found == pytest.approx(rates(4, **settings))


def incoming_norms(model):
    layers = [m for m in model.modules() if isinstance(m, nn.Linear | nn.Conv2d)]
    return torch.cat([layer.weight.flatten(1).norm(dim=1) for layer in layers])


@pytest.mark.parametrize("model", [MLP([16]), CNN([4], 8)])
@pytest.mark.parametrize("ema", [0.0, 0.9])
def test_no_unit_is_above_the_largest_norm_after_training(tmp_path, model, ema):
    settings = {"epochs": 2, "batch_size": 32, "learning_rate": 0.05, "ema": ema}
    free = train(DIGITS, model, out=tmp_path / "free", **settings)
    held = train(DIGITS, model, out=tmp_path / "held", max_norm=0.5, **settings)
    assert incoming_norms(free.model).max() > 0.55
    assert incoming_norms(held.model).max() <= 0.5 + 1e-5


def test_units_below_the_largest_norm_are_left_alone():
    layer = nn.Linear(3, 4)
    layer.weight.data = torch.tensor([[0.1, 0, 0], [3, 4, 0], [0, 0, 0], [0, 0, 1]])
    constrain_norms(layer, 1.0)
    torch.testing.assert_close(layer.weight.data, torch.tensor([[0.1, 0, 0], [0.6, 0.8, 0], [0, 0, 0], [0, 0, 1]]))


def test_the_average_follows_its_formula():
    model = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    average = WeightAverage(model, 0.9)
    expected = {name: value.double().numpy() for name, value in model.state_dict().items()}
    for step in range(40):
        with torch.no_grad():
            model[0].weight.normal_()
        model(torch.randn(4, 2))
        average.update(step)
        decay = min(0.9, (1 + step) / (10 + step))
        for name, value in model.state_dict().items():
            mixed = decay * expected[name] + (1 - decay) * value.double().numpy()
            expected[name] = mixed if value.is_floating_point() else value.numpy()
    for name, value in average.values.items():
        np.testing.assert_allclose(value, expected[name], rtol=1e-5, atol=1e-6)


def losses_and_weights(folder, **settings):
    made = {"epochs": 2, "batch_size": 40, "log_every": 1, "optimiser": "sgd", "learning_rate": 0.1} | settings
    run = train(DIGITS, MLP([16]), out=folder, **made)
    losses = [line["loss"] for line in run.history() if line["kind"] == "train"]
    return torch.tensor(losses), torch.cat([p.flatten() for p in run.model.parameters()])


@pytest.mark.parametrize("parts", [4, 7, 40])
def test_gradients_of_parts_add_up_to_that_of_the_whole_batch(tmp_path, parts):
    losses, weights = losses_and_weights(tmp_path / "whole")
    part_losses, part_weights = losses_and_weights(tmp_path / "parts", micro_batches=parts)
    torch.testing.assert_close(part_losses, losses, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(part_weights, weights, rtol=1e-5, atol=1e-6)


def test_the_first_step_of_clipped_sgd_has_the_length_of_rate_times_limit(tmp_path):
    settings = TrainingConfig(
        epochs=1, batch_size=128, optimiser="sgd", momentum=0, learning_rate=0.5, gradient_clip=0.01
    )
    torch.manual_seed(0)
    model = Normalised(MLP([8], input_shape=(1, 8, 8), num_classes=10), *statistics(DIGITS.train))
    before = torch.cat([p.detach().flatten().clone() for p in model.parameters()])
    run, loader = Run.start(tmp_path / "run", {}, {}), Loader(DIGITS.train, 128, seed=0)
    fit(model, parse_objective("HardLabels"), loader, settings, run, Accelerator())
    moved = torch.cat([p.detach().flatten() for p in model.parameters()]) - before
    assert float(moved.norm()) == pytest.approx(0.5 * 0.01, rel=1e-4)


def test_the_average_is_what_a_run_ends_with(tmp_path, monkeypatch):
    kept = []

    class Kept(WeightAverage):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            kept.append(self)

    monkeypatch.setattr(state, "WeightAverage", Kept)
    run = train(DIGITS, MLP([8]), out=tmp_path / "run", epochs=2, batch_size=32, ema=0.95)
    found = load_model(run).state_dict()
    assert len(kept) == 1
    assert all(torch.equal(found[name], value) for name, value in kept[0].values.items())
    assert math.isfinite(run.metrics["nll"])
