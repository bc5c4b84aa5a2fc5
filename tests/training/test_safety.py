"""What training must never do: change a teacher, go on with NaN, or leave torch other than it was."""

import pytest
import torch
from accelerate import Accelerator
from torch import nn

from instar.config import TrainingConfig
from instar.data import Loader, load_data
from instar.errors import ConfigError, DataError, MismatchError, NonFiniteError
from instar.models import MLP, Normalised, statistics
from instar.objectives import parse_objective
from instar.procedures.distill import distill
from instar.procedures.train import train
from instar.runs.files import read_tensors
from instar.runs.run import Run
from instar.teachers import Module
from instar.training import fit
from instar.training.step import share_batch

DIGITS = load_data("digits", subset=100)
SHAPE = {"input_shape": (1, 8, 8), "num_classes": 10}


class Breaking(nn.Module):
    """A network whose logits are NaN from some training step on."""

    def __init__(self, step, buffer=False):
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
        self.step, self.asked, self.buffer = step, 0, buffer
        self.register_buffer("statistic", torch.zeros(1))

    def forward(self, inputs):
        logits = self.layers(inputs)
        if self.training:
            self.asked += 1
            if self.asked >= self.step and self.buffer:
                self.statistic.fill_(float("inf"))
            elif self.asked >= self.step:
                return logits * float("nan")
        return logits


@pytest.mark.parametrize("log_every", [1, 3, 50])
@pytest.mark.parametrize("step", [1, 6, 8])
def test_nan_stops_with_the_step_the_term_and_the_last_good_checkpoint(tmp_path, step, log_every):
    settings = {"epochs": 2, "batch_size": 25, "log_every": log_every, "checkpoint_seconds": 0}
    with pytest.raises(NonFiniteError) as caught:
        distill(DIGITS, MLP([4], **SHAPE), Breaking(step), out=tmp_path / "run", **settings)
    assert f"term 'soft_targets' is NaN at step {step}; " in str(caught.value)
    run = Run(tmp_path / "run")
    if step == 1:
        assert "there is no checkpoint before it" in str(caught.value)
        return
    assert f"checkpoint is '{run.checkpoint}', after step {step - 1}" in str(caught.value)
    tensors, header = read_tensors(run.checkpoint)
    assert header["step"] == step - 1
    assert all(torch.isfinite(tensor).all() for tensor in tensors.values())
    assert not run.complete


def test_steps_in_which_no_example_has_a_loss_are_recorded_with_a_loss_of_0(tmp_path):
    train_split, test = DIGITS.train, DIGITS.test
    mask = torch.arange(len(train_split)) == 0
    arrays = (train_split.inputs(), train_split.labels, test.inputs(), test.labels)
    data = load_data(arrays, mask={"train": mask}, validation=0)
    run = train(data, MLP([4]), out=tmp_path / "run", epochs=1, batch_size=25, log_every=1)
    lines = [line for line in run.history() if line["kind"] == "train"]
    assert sorted(line["examples"] for line in lines) == [0] * (len(lines) - 1) + [1]
    assert [line["loss"] > 0 for line in lines] == [line["examples"] == 1 for line in lines]


def test_a_statistic_that_overflows_alone_is_not_saved(tmp_path):
    settings = {"epochs": 2, "batch_size": 25, "checkpoint_seconds": 0}
    with pytest.raises(NonFiniteError, match=r"weight .network.statistic. is not finite after step 3; .*after step 2"):
        train(DIGITS, Breaking(3, buffer=True), out=tmp_path / "run", **settings)


def test_a_learning_rate_that_explodes_is_named(tmp_path):
    settings = {"optimiser": "sgd", "learning_rate": 1e30, "epochs": 2, "batch_size": 25}
    with pytest.raises(NonFiniteError, match=r"step \d+; .* Lower the learning rate\.|is not finite after step"):
        train(DIGITS, MLP([8]), out=tmp_path / "run", **settings)
    assert not (tmp_path / "run" / "weights.safetensors").exists()


@pytest.mark.parametrize("mode", [True, False])
def test_a_teacher_is_the_same_after_training(tmp_path, mode):
    teacher = nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 10)).train(mode)
    before = Module(teacher).fingerprint()
    distill(DIGITS, teacher, MLP([8]), out=tmp_path / "run", epochs=2, views="Shift(1)")
    assert Module(teacher).fingerprint() == before
    assert all(module.training == mode for module in teacher.modules())
    assert all(parameter.grad is None for parameter in teacher.parameters())


def model_and_run(tmp_path, network=None):
    network = network or MLP([8], **SHAPE)
    run, loader = Run.start(tmp_path / "run", {}, {}), Loader(DIGITS.train, 50, seed=0)
    return Normalised(network, *statistics(DIGITS.train)), loader, TrainingConfig(epochs=1), run


def test_a_student_that_shares_weights_with_its_teacher_is_refused(tmp_path):
    network = MLP([8], **SHAPE)
    model, loader, config, run = model_and_run(tmp_path, network)
    with pytest.raises(MismatchError, match="teacher and student share weights"):
        fit(model, parse_objective("SoftTargets"), loader, config, run, Accelerator(), teacher=Module(network))


def test_a_teacher_that_changes_is_found_out(tmp_path):
    class Drifting(Module):
        def targets(self, batch):
            with torch.no_grad():
                next(self.network.parameters()).add_(1e-6)
            return super().targets(batch)

    model, loader, config, run = model_and_run(tmp_path)
    teacher = Drifting(MLP([8], **SHAPE))
    with pytest.raises(MismatchError, match="teacher's weights have changed"):
        fit(model, parse_objective("SoftTargets"), loader, config, run, Accelerator(), teacher=teacher)


@pytest.mark.parametrize("precision", ["float32-fast", "bfloat16"])
def test_lower_precision_is_close_and_restored(tmp_path, precision):
    teacher = train(DIGITS, MLP([16]), out=tmp_path / "teacher", epochs=5, learning_rate=0.02)
    settings = {"epochs": 5, "learning_rate": 0.02, "objective": "SoftTargets(2)"}
    exact = distill(DIGITS, teacher, MLP([16]), out=tmp_path / "float32", **settings)
    close = distill(
        DIGITS, teacher, MLP([16]), out=tmp_path / "run", precision=precision, teacher_precision=precision, **settings
    )
    assert torch.get_float32_matmul_precision() == "highest"
    assert not torch.is_autocast_enabled("cpu")
    assert all(parameter.dtype == torch.float32 for parameter in close.model.parameters())
    assert close.metrics["nll"] == pytest.approx(exact.metrics["nll"], abs=0.05)
    assert close.metrics["kl_to_teacher"] == pytest.approx(exact.metrics["kl_to_teacher"], abs=0.05)


def test_precision_is_restored_after_an_error(tmp_path):
    with pytest.raises(NonFiniteError):
        train(DIGITS, Breaking(1), out=tmp_path / "run", epochs=1, precision="float32-fast")
    assert torch.get_float32_matmul_precision() == "highest"


def test_more_processes_than_samples_in_a_batch_are_refused():
    class Sixteen:
        num_processes, process_index = 16, 3

    batch = Loader(DIGITS.train, 10, seed=0).batch(0)
    with pytest.raises(MismatchError, match="16 processes cannot share a batch of 10 samples"):
        share_batch(batch, Sixteen())


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"model": nn.Linear(3, 10)}, MismatchError, r"the student cannot take inputs of shape \[1, 8, 8\]"),
        (
            {"model": nn.Sequential(nn.Flatten(), nn.Linear(64, 9))},
            MismatchError,
            "has 9 classes, and the data have 10",
        ),
        ({"teacher": nn.Linear(3, 10)}, MismatchError, "the network Linear fails for 2 samples .*: RuntimeError"),
        ({"teacher": nn.Sequential(nn.Flatten(), nn.Linear(64, 9))}, MismatchError, "the teacher has 9 classes"),
        ({"objective": "HardLabels()"}, MismatchError, "uses the teacher; add SoftTargets"),
        ({"epocs": 3}, ConfigError, "'training.epocs' is not a setting; did you mean 'epochs'"),
        ({"model": 3}, ConfigError, "model must be a name, a configuration, a torch module or an estimator, got int"),
        (
            {"targets": "memory", "views": "Flip()"},
            ConfigError,
            "because endless views cannot be stored; got num_views none",
        ),
        ({"data": DIGITS.select(drop_labels=1.0)}, MismatchError, "HardLabels needs labels"),
    ],
)
def test_what_cannot_fit_is_refused_before_the_folder_is_made(tmp_path, arguments, error, message):
    teacher = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    given = {"teacher": teacher, "model": MLP([4]), "data": DIGITS} | arguments
    with pytest.raises(error, match=message):
        distill(**given, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_transfer_set_without_labels_is_enough_for_soft_targets(tmp_path):
    data = load_data((DIGITS.train.inputs(), None, DIGITS.test.inputs(), DIGITS.test.labels))
    teacher = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    run = distill(data, teacher, MLP([4]), objective="SoftTargets(2)", out=tmp_path / "run", epochs=2)
    assert run.result["validation"] is None
    assert run.metrics["samples"] == len(DIGITS.test)


def test_a_test_split_without_labels_is_refused_at_once(tmp_path):
    data = load_data((DIGITS.train.inputs(), DIGITS.train.labels, DIGITS.test.inputs(), None))
    with pytest.raises(DataError, match="the test split has no labels"):
        train(data, MLP([4]), out=tmp_path / "run")
