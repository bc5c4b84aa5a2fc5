"""Networks that fail on a later batch than the first: a sentence that names them, and a run that resumes."""

from pathlib import Path

import pytest
import torch
from torch import nn

from instar.data import Loader, load_data
from instar.errors import MismatchError
from instar.models import MLP
from instar.procedures.distill import distill
from instar.procedures.label import label
from instar.procedures.train import train
from instar.runs.run import Run

DIGITS = load_data("digits", subset=60)
SMALL = {"epochs": 2, "batch_size": 20, "checkpoint_seconds": 0, "show": False}
LATE = Loader(DIGITS.train, 20, seed=0).batch(2).inputs[1:2]  # not among the first samples, which are tried first
SENTENCE = (
    r"^{who} Picky fails for \d+ samples \(ids \d+, .*\), inputs of shape \[\d+, 1, 8, 8\]: "
    r"ValueError: batch size must be 64\.$"
)


def has_late(inputs: torch.Tensor) -> bool:
    """Return whether a sample of the third batch is among inputs, whatever their scale."""
    found, late = (x.flatten(1) - x.flatten(1).mean(1, keepdim=True) for x in (inputs.float(), LATE.float()))
    return bool((torch.cosine_similarity(found, late) > 0.9999).any())


class Picky(nn.Module):
    """Fails in the third batch, if it is picky and, where `training` is given, in that mode."""

    def __init__(self, is_picky: bool = True, training: bool | None = None, *, input_shape=(), num_classes=10) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.ReLU(), nn.Linear(8, 10))
        self.is_picky, self.mode = is_picky, training

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        if self.is_picky and self.mode in (None, self.training) and has_late(inputs):
            raise ValueError("batch size must be 64.\nTraceback")
        return self.layers(inputs)


@pytest.mark.parametrize("targets", ["online", "memory", "store"])
def test_a_teacher_that_fails_on_a_later_batch_is_named_and_the_run_resumes(tmp_path: Path, targets: str) -> None:
    settings = {"targets": targets, "out": tmp_path / "run", **SMALL}
    with pytest.raises(MismatchError, match=SENTENCE.format(who="the network")):
        distill(DIGITS, Picky(), MLP([4]), **settings)
    assert "batch size must be 64" in (tmp_path / "run" / "error.txt").read_text()
    found = distill(DIGITS, Picky(is_picky=False), MLP([4]), **settings)
    assert (
        found.metrics == distill(DIGITS, Picky(is_picky=False), MLP([4]), **settings | {"out": tmp_path / "a"}).metrics
    )


def test_a_student_that_fails_on_a_later_batch_is_named_and_the_run_resumes(tmp_path: Path) -> None:
    with pytest.raises(MismatchError, match=SENTENCE.format(who="the student")):
        train(DIGITS, Picky(training=True), out=tmp_path / "run", **SMALL)
    assert Run(tmp_path / "run").checkpoint.exists()
    found = train(DIGITS, Picky(is_picky=False), out=tmp_path / "run", **SMALL)
    assert found.metrics == train(DIGITS, Picky(is_picky=False), out=tmp_path / "straight", **SMALL).metrics


def test_a_backward_pass_that_fails_on_a_later_batch_names_the_student(tmp_path: Path) -> None:
    class Backward(Picky):
        def forward(self, inputs: torch.Tensor) -> torch.Tensor:
            logits = self.layers(inputs)
            if logits.requires_grad and has_late(inputs):
                logits.register_hook(lambda _: {}["weight"])
            return logits

    with pytest.raises(
        MismatchError, match=r"^the backward pass of the student Backward fails for .*: KeyError: 'weight'"
    ):
        train(DIGITS, Backward(), out=tmp_path / "run", **SMALL)


def test_a_teacher_that_fails_while_it_labels_is_named(tmp_path: Path) -> None:
    with pytest.raises(MismatchError, match=SENTENCE.format(who="the network")):
        label(DIGITS, Picky(), out=tmp_path / "store", batch_size=20, show=False)


def test_a_network_that_fails_only_in_a_run_is_a_sentence_and_exit_2_on_the_command_line(
    instar, tmp_path: Path
) -> None:
    settings = ("data.subset=60", "training.batch_size=20", "training.epochs=1")
    words = ("train", "digits", "--model", f"{__name__}:Picky", "--arg", "training=true", "--out", tmp_path / "run")
    code, _, err = instar(*words, *(word for setting in settings for word in ("--set", setting)))
    assert code == 2
    assert "the student Picky fails for" in err
    assert "Traceback" not in err


def test_a_defect_of_a_network_of_instar_keeps_its_traceback(tmp_path: Path, monkeypatch) -> None:
    run = train(DIGITS, MLP([4]), out=tmp_path / "teacher", **SMALL)
    works = MLP.forward

    def fails(self, inputs):
        if has_late(inputs):
            raise ValueError("not yours")
        return works(self, inputs)

    monkeypatch.setattr(MLP, "forward", fails)
    with pytest.raises(ValueError, match=r"^not yours$"):
        label(DIGITS, run.path, out=tmp_path / "store", show=False)
