"""Students that follow hidden layers: a loop by hand, parts of a batch, a kill, an average; and nothing left behind."""

import pytest
import torch
import torch.nn.functional as F
from tests.same_runs import assert_same, same_weights

from instar.compute.execution import place
from instar.data import Loader, load_data
from instar.models import ResNet, WideResNet
from instar.models.copying import copy_network
from instar.procedures.distill import distill
from instar.procedures.train import train
from instar.runs.files import read_tensors

DIGITS = load_data("digits", subset=120)
SETTINGS = {"epochs": 2, "batch_size": 32, "optimiser": "sgd", "learning_rate": 0.002, "log_every": 1}
SETTINGS |= {"schedule": "constant"}
ONE = SETTINGS | {"epochs": 1}
OBJECTIVE = "0.9 * SoftTargets(4) + 0.1 * HardLabels() + 1000 * AttentionTransfer()"


def attention(features):
    return F.normalize(features.square().mean(1).flatten(1))


def learn_by_hand(model, teacher, student_layers, teacher_layers):
    """Return the losses of the run, and change the model, with hooks that are placed once and a plain optimiser."""
    own, theirs = {}, {}
    for features, layers in ((own, student_layers), (theirs, teacher_layers)):
        for number, layer in enumerate(layers):
            layer.register_forward_hook(lambda _, __, output, to=features, at=number: to.update({at: output}))
    teacher.eval()
    model.train()
    optimiser = torch.optim.SGD(model.parameters(), 0.002, momentum=0.9, nesterov=True)
    loader, losses = Loader(DIGITS.train, 32, seed=0), []
    for step in range(2 * loader.steps_per_epoch):
        batch = loader.batch(step)
        with torch.no_grad():
            soft = (teacher(batch.inputs) / 4).softmax(1)
        logits = model(batch.inputs)
        soft_loss = -16 * (soft * (logits / 4).log_softmax(1)).sum(1).mean()
        loss = 0.9 * soft_loss + 0.1 * F.cross_entropy(logits, batch.labels)
        for number, features in own.items():
            loss = loss + 1000 * (attention(features) - attention(theirs[number])).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    return losses


def wide(width):
    return WideResNet(10, width)


def plain(width):
    """Return a network without statistics of its batches."""
    torch.manual_seed(width)
    layers = [torch.nn.Conv2d(1, width, 3), torch.nn.ReLU(), torch.nn.Flatten()]
    return torch.nn.Sequential(*layers, torch.nn.Linear(36 * width, 10))


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    return train(DIGITS, wide(2), out=tmp_path_factory.mktemp("teachers") / "wide", **ONE)


@pytest.mark.parametrize(
    ("teacher", "student", "pairs"),
    [
        (wide(2), wide(1), "'stages'"),
        (ResNet(8, 8), ResNet(14, 4), "{'stage1': 'blocks.0', 'stage2': 'stage2', 'blocks.5': 'stage3'}"),
    ],
    ids=["WRN-10-1 from WRN-10-2", "ResNet-14 from ResNet-8"],
)
def test_a_run_is_a_loop_by_hand_with_hooks_placed_by_hand(tmp_path, teacher, student, pairs):
    taught = train(DIGITS, teacher, out=tmp_path / "teacher", **ONE)
    start = train(DIGITS, student, out=tmp_path / "start", **ONE)
    objective = OBJECTIVE.replace("AttentionTransfer()", f"AttentionTransfer({pairs})")
    run = distill(DIGITS, taught, student, out=tmp_path / "run", objective=objective, start=start, **SETTINGS)
    model, master = copy_network(start.model), copy_network(taught.model)
    for one in (model, master):  # of images, so that both round alike
        place(one, torch.device("cpu"), "auto")
    if isinstance(student, WideResNet):
        layers = [[getattr(one.network, f"stage{n}") for n in (1, 2, 3)] for one in (model, master)]
    else:
        layers = [[model.network.blocks[n] for n in (1, 3, 5)], [master.network.blocks[n] for n in (0, 1, 2)]]
    losses = learn_by_hand(model, master, *layers)
    lines = [line for line in run.history() if line["kind"] == "train"]
    assert [line["loss"] for line in lines] == pytest.approx(losses, rel=1e-5)
    assert all(line["attention_transfer"] > 0 for line in lines)
    weights, _ = read_tensors(run.weights)
    for name, value in model.state_dict().items():
        torch.testing.assert_close(weights[name], value, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("extra", [{"micro_batches": 3}, {"micro_batches": 2, "ema": 0.9, "gradient_clip": 0.5}])
def test_parts_of_a_batch_add_up_to_the_whole(tmp_path, extra):
    objective = "SoftTargets(4) + 1000 * AttentionTransfer({'1': '1'})"
    rest = {name: value for name, value in extra.items() if name != "micro_batches"}
    whole, parts = (
        distill(DIGITS, plain(6), plain(4), out=tmp_path / name, objective=objective, **SETTINGS | settings)
        for name, settings in (("whole", rest), ("parts", extra))
    )
    found, wanted = (
        [line["attention_transfer"] for line in run.history() if line["kind"] == "train"] for run in (parts, whole)
    )
    assert found == pytest.approx(wanted, rel=1e-4)
    left, right = (read_tensors(run.weights)[0] for run in (whole, parts))
    torch.testing.assert_close(left, right, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("step", [5])
def test_a_stopped_run_ends_alike(tmp_path, teacher, stop_before, step):
    settings = SETTINGS | {"views": "Shift(1)", "checkpoint_seconds": 0, "ema": 0.9, "objective": OBJECTIVE}
    straight = distill(DIGITS, teacher, wide(1), out=tmp_path / "straight", **settings)
    stopped = stop_before(step)
    with pytest.raises(stopped):
        distill(DIGITS, teacher, wide(1), out=tmp_path / "stopped", **settings)
    assert_same(straight, distill(DIGITS, teacher, wide(1), out=tmp_path / "stopped", **settings))


def test_a_term_of_weight_0_changes_no_bit(tmp_path, teacher):
    plain, watched = (
        distill(DIGITS, teacher, wide(1), out=tmp_path / name, objective=objective, **SETTINGS)
        for name, objective in (("plain", "SoftTargets(4)"), ("watched", "SoftTargets(4) + 0 * AttentionTransfer()"))
    )
    assert same_weights(plain, watched)
    assert "attention_transfer" in watched.history()[0]


def test_a_term_of_layers_alone_trains_the_layers_before_them_only(tmp_path, teacher):
    start = train(DIGITS, wide(1), out=tmp_path / "start", **ONE)
    run = distill(
        DIGITS, teacher, wide(1), out=tmp_path / "run", objective="AttentionTransfer()", start=start, **SETTINGS
    )
    before, after = start.model.network, run.model.network
    assert torch.equal(before.classifier.weight, after.classifier.weight)
    assert not torch.equal(before.stem.weight, after.stem.weight)
    lines = [line["attention_transfer"] for line in run.history() if line["kind"] == "train"]
    assert lines[-1] < lines[0]


def test_networks_that_a_user_gave_have_no_hooks_afterwards(tmp_path):
    teacher, student = plain(6), plain(4)
    objective = "SoftTargets(2) + 100 * AttentionTransfer({'1': '1'})"
    run = distill(DIGITS, teacher, student, out=tmp_path / "run", objective=objective, **ONE)
    assert run.complete
    assert not any(module._forward_hooks for one in (teacher, student) for module in one.modules())
