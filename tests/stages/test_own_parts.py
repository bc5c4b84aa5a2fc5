"""Terms and views of the user's own, from Python."""

from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch import Tensor

import instar
from instar.data import Batch, View
from instar.errors import MismatchError
from instar.models import MLP
from instar.models.readers import Reader
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


@dataclass(frozen=True)
class Mean(Term):
    """The mean over the batch, of shape `[]`, or a tensor without a Value."""

    is_value: bool = True
    needs = frozenset({Need.LABELS})
    name = "mean"

    def __call__(self, logits: Tensor, batch: Batch, targets: object) -> Value:
        loss = torch.nn.functional.cross_entropy(logits, batch.labels)
        return Value(loss) if self.is_value else loss  # type: ignore[return-value]  # the mistake


@pytest.mark.parametrize(("term", "found"), [(Mean(), r"shape \[\]"), (Mean(False), "Tensor")])
def test_a_term_that_returns_a_mean_is_refused_before_the_first_step(tmp_path: Path, term: Term, found: str) -> None:
    data = instar.load_data("digits", subset=200)
    with pytest.raises(
        MismatchError, match=rf"Mean must return Value\(loss\) with one loss per example, .* got {found}"
    ):
        instar.train(data, MLP([8]), objective=HardLabels() + term, epochs=1, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


@dataclass(frozen=True)
class Halved(Reader):
    """Every other row of an image, also of one that it has read."""

    def __call__(self, inputs: Tensor) -> Tensor:
        return inputs[:, :, ::2]

    def shape(self, given: tuple[int, ...]) -> tuple[int, ...]:
        return (given[0], -(-given[1] // 2), given[2])


def test_a_reader_that_changes_what_it_has_read_is_refused_before_the_first_step(tmp_path: Path) -> None:
    data = instar.load_data("digits", subset=200)
    with pytest.raises(MismatchError, match=r"Halved\(\)' must return what it has read unchanged; .* \[1, 4, 8\], and"):
        instar.train(data, MLP([8]), reader=Halved(), epochs=1, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


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
