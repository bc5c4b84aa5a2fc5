"""Layers that a term owns are trained with the student and are in the checkpoint, and never in the student."""

import json

import pytest
import torch
import torch.nn.functional as F
from tests.same_runs import assert_same

from instar.compute.execution import place
from instar.data import Loader, load_data
from instar.errors import MismatchError
from instar.models import MLP, WideResNet
from instar.models.copying import copy_network
from instar.objectives import Hints
from instar.procedures.distill import distill
from instar.procedures.train import train
from instar.runs.files import read_tensors
from instar.runs.run import Run
from instar.seeds import seed_everything

DIGITS = load_data("digits", subset=120)
SETTINGS = {"batch_size": 32, "optimiser": "sgd", "learning_rate": 0.002, "schedule": "constant", "log_every": 1}
OBJECTIVE = "HardLabels() + 10 * Hints({'stage2': 'stage2'})"


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    return train(DIGITS, WideResNet(10, 2), out=tmp_path_factory.mktemp("teachers") / "wide", epochs=1, **SETTINGS)


def test_a_run_is_a_loop_by_hand_that_trains_a_regressor_too(tmp_path, teacher):
    start = train(DIGITS, WideResNet(10, 1), out=tmp_path / "start", epochs=1, **SETTINGS)
    settings = SETTINGS | {"epochs": 2, "objective": OBJECTIVE, "gradient_clip": 1.0, "start": start}
    run = distill(DIGITS, teacher, WideResNet(10, 1), out=tmp_path / "run", **settings)
    model, master = copy_network(start.model), copy_network(teacher.model).eval()
    for one in (model, master):
        place(one, torch.device("cpu"), "auto")
    own, theirs = {}, {}
    for kept, network in ((own, model.network), (theirs, master.network)):
        network.stage2.register_forward_hook(lambda _, __, output, kept=kept: kept.update(layer=output))
    seed_everything(0, "adapters")
    regressor = torch.nn.Conv2d(32, 64, 1)
    weights = [*model.parameters(), *regressor.parameters()]
    optimiser = torch.optim.SGD(weights, 0.002, momentum=0.9, nesterov=True)
    loader, losses = Loader(DIGITS.train, 32, seed=0), []
    model.train()
    for step in range(2 * loader.steps_per_epoch):
        batch = loader.batch(step)
        with torch.no_grad():
            master(batch.inputs)
        loss = F.cross_entropy(model(batch.inputs), batch.labels)
        loss = loss + 10 * F.mse_loss(regressor(own["layer"]), theirs["layer"])
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimiser.step()
        losses.append(loss.item())
    found = [line["loss"] for line in run.history() if line["kind"] == "train"]
    assert found == pytest.approx(losses, rel=1e-5)
    torch.testing.assert_close(read_tensors(run.weights)[0], dict(model.state_dict()), rtol=1e-5, atol=1e-6)
    assert run.result["adapter_parameters"] == 32 * 64 + 64
    assert run.result["parameters"] == start.result["parameters"]


def test_a_stopped_run_ends_alike_with_its_adapters(tmp_path, teacher, stop_before):
    settings = SETTINGS | {"epochs": 2, "checkpoint_seconds": 0, "objective": OBJECTIVE, "ema": 0.9}
    settings |= {"optimiser": "adamw"}
    straight = distill(DIGITS, teacher, WideResNet(10, 1), out=tmp_path / "straight", **settings)
    stopped = stop_before(5)
    with pytest.raises(stopped):
        distill(DIGITS, teacher, WideResNet(10, 1), out=tmp_path / "stopped", **settings)
    names = {name for name in read_tensors(Run(tmp_path / "stopped").checkpoint)[0] if name.startswith("adapters.")}
    assert names == {"adapters.hints.adapters.0.weight", "adapters.hints.adapters.0.bias"}
    assert_same(straight, distill(DIGITS, teacher, WideResNet(10, 1), out=tmp_path / "stopped", **settings))


def test_parts_of_a_batch_add_up_to_the_whole(tmp_path):
    taught = train(DIGITS, MLP([12]), out=tmp_path / "teacher", epochs=1, **SETTINGS)
    settings = SETTINGS | {"epochs": 2, "objective": "SoftTargets(2) + Hints({'hidden1': 'hidden1'})"}
    whole, parts = (
        distill(DIGITS, taught, MLP([8]), out=tmp_path / str(n), micro_batches=n, **settings) for n in (1, 3)
    )
    torch.testing.assert_close(read_tensors(whole.weights)[0], read_tensors(parts.weights)[0], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("student", "teacher", "sentence"),
    [
        ((4, 8, 8), (6, 4, 4), "they have 8 x 8 and 4 x 4 places; pair layers of one size"),
        ((4, 8, 8), (64,), r"their shapes are \[4, 8, 8\] and \[64\], of other numbers of axes"),
    ],
)
def test_shapes_without_a_regressor_are_refused(student, teacher, sentence):
    with pytest.raises(MismatchError, match=sentence):
        Hints().make_adapter(student, teacher)


def test_two_processes_train_the_same_regressor(tmp_path):
    from tests.training.test_processes import learn_hints, two_processes

    settings = json.dumps({"epochs": 2, "batch_size": 5, "optimiser": "sgd", "learning_rate": 0.01})
    found = two_processes("learn_hints", str(tmp_path / "two"), settings)
    assert [code for _, code in found] == [0, 0], found
    one = learn_hints(tmp_path / "one", settings)
    two, _ = read_tensors(Run(tmp_path / "two").weights)
    torch.testing.assert_close(two, read_tensors(one.weights)[0], rtol=1e-5, atol=1e-6)
