"""Networks of the user's that are odd: misleading attributes, no hash, probabilities in place of logits."""

from dataclasses import dataclass

import pytest
import torch
from torch import nn

from instar.data import load_data
from instar.errors import ConfigError
from instar.models import MLP
from instar.procedures.distill import distill
from instar.procedures.evaluate import evaluate
from instar.procedures.train import train

DIGITS = load_data("digits", subset=60)
SMALL = {"epochs": 1, "batch_size": 20}
WARNING = "the student's outputs look like probabilities"


def network(*more):
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 10), *more)


@pytest.mark.parametrize("attribute", ["projects", "carries_state"])
@pytest.mark.parametrize("value", [True, "yes", torch.ones(3)], ids=["true", "text", "tensor"])
def test_no_attribute_of_a_module_changes_how_it_is_called(tmp_path, attribute, value):
    odd = network()
    setattr(odd, attribute, value)
    assert evaluate(odd, DIGITS)["nll"] == evaluate(network(), DIGITS)["nll"]
    run = distill(DIGITS, odd, odd, out=tmp_path / "odd", show=False, **SMALL)
    plain = distill(DIGITS, network(), network(), out=tmp_path / "plain", show=False, **SMALL)
    assert run.metrics["nll"] == plain.metrics["nll"]


@dataclass
class Unhashable(nn.Module):
    scale: float = 1.0

    def __post_init__(self):
        super().__init__()
        self.layer = nn.Linear(64, 10)

    def forward(self, inputs):
        return self.scale * self.layer(inputs.flatten(1))


@pytest.mark.parametrize("is_inside", [False, True])
def test_a_module_without_a_hash_is_refused_in_a_sentence(tmp_path, is_inside):
    odd = nn.Sequential(nn.Flatten(), Unhashable()) if is_inside else Unhashable()
    for ask in (
        lambda: train(DIGITS, odd, out=tmp_path / "run", **SMALL),
        lambda: distill(DIGITS, odd, MLP([4]), out=tmp_path / "run", **SMALL),
        lambda: evaluate(odd, DIGITS),
    ):
        with pytest.raises(ConfigError, match=r"has no hash, which PyTorch needs; .* @dataclass\(eq=False\)"):
            ask()


@pytest.mark.parametrize("end", [nn.Softmax(1), nn.Sigmoid()], ids=["softmax", "sigmoid"])
def test_stderr_warns_of_a_student_that_returns_probabilities(tmp_path, capsys, end):
    train(DIGITS, network(end), out=tmp_path / "run", **SMALL)
    assert capsys.readouterr().err.count(WARNING) == 1


@pytest.mark.parametrize("end", [nn.Identity(), nn.LogSoftmax(1)], ids=["logits", "log-probabilities"])
def test_stderr_does_not_warn_of_logits(tmp_path, capsys, end):
    train(DIGITS, network(end), out=tmp_path / "run", **SMALL)
    assert WARNING not in capsys.readouterr().err
