"""Attention transfer of gradients: a loop by hand with two backward passes, in any order of the classes."""

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from tests.same_runs import assert_same
from torch import Tensor, nn

import instar
from instar.data import Loader, load_data
from instar.errors import MismatchError
from instar.models.copying import copy_network
from instar.objectives import AttentionTransfer, HardLabels
from instar.runs.run import Run

DIGITS = load_data("digits", subset=96, validation=0)
SETTINGS: dict[str, Any] = {"epochs": 2, "batch_size": 32, "optimiser": "sgd", "learning_rate": 0.01, "log_every": 1}
SETTINGS |= {"schedule": "constant"}


def network(width: int) -> nn.Sequential:
    """Return a smooth network, whose first and third layer return 4 maps."""
    torch.manual_seed(width)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.Tanh(), nn.Conv2d(4, 4, 3), nn.Tanh(), nn.Flatten(), nn.Linear(4 * 36, width),
        nn.Tanh(), nn.Linear(width, 10),
    )  # fmt: skip


def gradients(model: nn.Module, batch: Any, layer: str, create_graph: bool) -> tuple[Tensor, Tensor]:
    """Return logits, and gradients of the summed label loss with respect to the inputs or the output of a layer."""
    kept = {}
    inputs = batch.inputs.clone().requires_grad_()
    kept["inputs"] = inputs
    if layer != "inputs":
        handle = model.get_submodule(layer).register_forward_hook(lambda _, __, output: kept.update({layer: output}))
    logits = model(inputs)
    if layer != "inputs":
        handle.remove()
    loss = F.cross_entropy(logits, batch.labels, reduction="sum")
    (found,) = torch.autograd.grad(loss, kept[layer], create_graph=create_graph)
    return logits, found


def learn_by_hand(model: nn.Module, teacher: nn.Module, layer: str) -> list[float]:
    optimiser = torch.optim.SGD(model.parameters(), 0.01, momentum=0.9, nesterov=True)
    loader, losses = Loader(DIGITS.train, 32, seed=0), []
    for step in range(2 * loader.steps_per_epoch):
        batch = loader.batch(step)
        _, theirs = gradients(teacher, batch, layer, create_graph=False)
        logits, own = gradients(model, batch, layer, create_graph=True)
        difference = (own - theirs).square().flatten(1).sum(1).mean() / 2
        loss = F.cross_entropy(logits, batch.labels) + 0.5 * difference
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    return losses


def distil(out: Path, teacher: Any, layer: str = "0", **settings: Any) -> Run:
    objective = HardLabels() + 0.5 * AttentionTransfer({layer: layer}, gradients=True)
    given = SETTINGS | {"objective": objective} | settings
    return instar.distill(DIGITS, teacher, network(6), out=out, reader="AsIs()", **given)


def losses_of(run: Run) -> list[float]:
    return [line["loss"] for line in run.history() if line["kind"] == "train"]


@pytest.mark.parametrize("layer", ["0", "2", "inputs"])
@pytest.mark.parametrize("frozen", [False, True])
def test_a_run_is_a_loop_by_hand_with_two_backward_passes(tmp_path: Path, layer: str, frozen: bool) -> None:
    teacher = network(9).requires_grad_(not frozen)
    run = distil(tmp_path, teacher, layer)
    by_hand = learn_by_hand(copy_network(network(6)), network(9), layer)
    torch.testing.assert_close(torch.tensor(losses_of(run)), torch.tensor(by_hand), rtol=1e-4, atol=1e-5)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in teacher.modules())


def test_parts_of_a_batch_add_up_to_the_whole(tmp_path: Path) -> None:
    whole = distil(tmp_path / "whole", network(9))
    parts = distil(tmp_path / "parts", network(9), micro_batches=3)
    torch.testing.assert_close(torch.tensor(losses_of(parts)), torch.tensor(losses_of(whole)), rtol=1e-4, atol=1e-5)


def test_a_stopped_run_ends_alike(tmp_path: Path, stop_before: Any) -> None:
    whole = distil(tmp_path / "whole", network(9))
    with pytest.raises(stop_before(4)):
        distil(tmp_path / "stopped", network(9))
    assert_same(distil(tmp_path / "stopped", network(9)), whole)


def test_a_teacher_with_its_classes_in_another_order_gives_the_same_gradients(tmp_path: Path) -> None:
    order = [3, 1, 4, 0, 5, 9, 2, 6, 8, 7]
    other = network(9)
    with torch.no_grad():
        for values in (other[-1].weight, other[-1].bias):
            values.copy_(values[order].clone())
    names = DIGITS.train.source.classes
    teacher = instar.Module(other, classes=tuple(names[at] for at in order))
    found = losses_of(distil(tmp_path / "other", teacher))
    torch.testing.assert_close(
        torch.tensor(found), torch.tensor(losses_of(distil(tmp_path / "own", network(9)))), rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize(
    ("pairs", "problem"),
    [
        ({"0": "2"}, r"their shapes are \[4, 8, 8\] and \[4, 6, 6\]"),
        ({"input": "input"}, "has no layer 'input'"),
    ],
)
def test_layers_that_do_not_fit_are_refused(tmp_path: Path, pairs: dict[str, str], problem: str) -> None:
    objective = HardLabels() + AttentionTransfer(pairs, gradients=True)
    with pytest.raises(MismatchError, match=problem):
        instar.distill(DIGITS, network(9), network(6), out=tmp_path, objective=objective, **SETTINGS)
