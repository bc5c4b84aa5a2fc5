"""Terms and views of the user's own, from Python."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

import instar
from instar.data import Batch, View
from instar.models import MLP
from instar.objectives import HardLabels, Need, Term, Value
from instar.seeds import Draws


@dataclass(frozen=True)
class Confidence(Term):
    """The negative entropy of the student."""

    needs = frozenset[Need]()
    name = "confidence"

    def __call__(self, logits: Tensor, batch: Batch, targets: object) -> Value:
        return Value(-torch.special.entr(torch.softmax(logits, -1)).sum(-1))


@dataclass(frozen=True)
class Dark(View):
    """Black images."""

    def __call__(self, inputs: Tensor, draws: Draws) -> Tensor:
        return torch.zeros_like(inputs)


def test_a_term_of_the_users_is_minimised_and_recorded(tmp_path: Path) -> None:
    data = instar.load_data("digits", subset=200)
    objective = HardLabels() + 0.5 * Confidence()
    run = instar.train(data, MLP([8]), objective=objective, epochs=2, log_every=1, out=tmp_path / "run")
    lines = [line for line in run.history() if line["kind"] == "train"]
    assert all(abs(x["loss"] - x["hard_labels"] - 0.5 * x["confidence"]) < 1e-5 for x in lines)
    assert run.config["objective"] == f"HardLabels(label_smoothing=0.0) + 0.5 * {__name__}:Confidence()"


def test_a_view_of_the_users_is_what_the_student_sees(tmp_path: Path) -> None:
    data = instar.load_data("digits", subset=200)
    run = instar.train(data, MLP([8]), views=Dark(), epochs=3, out=tmp_path / "run")
    assert run.metrics["error"] > 0.8  # nothing could be learnt but the shares of the classes


def test_validation_scores_the_averaged_weights(tmp_path: Path) -> None:
    data = instar.load_data("digits", subset=200)
    run = instar.train(data, MLP([8]), ema=0.9, epochs=2, learning_rate=0.05, out=tmp_path / "run")
    last = [line for line in run.history() if line["kind"] == "validation"][-1]
    assert abs(last["nll"] - run.result["validation"]["nll"]) < 1e-6


def test_a_killed_process_leaves_no_partial_file_behind(tmp_path: Path) -> None:
    data = instar.load_data("digits", subset=200)
    run = instar.train(data, MLP([8]), epochs=1, out=tmp_path / "run")
    (run.path / ".weights.safetensors.1.partial").write_text("cut sho")
    instar.train(data, MLP([8]), epochs=1, out=tmp_path / "run")
    assert not list(run.path.glob("*.partial"))
    assert not list(run.path.glob(".*.partial"))
