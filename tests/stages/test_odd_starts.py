"""`start`: only the weights of a finished run, in a network that computes with them what that run's network did."""

import pytest
import torch
from torch import nn

from instar.data import load_data
from instar.errors import MismatchError, RunError
from instar.models import MLP
from instar.procedures.train import train

DIGITS = load_data("digits", subset=60)
SMALL = {"epochs": 1, "batch_size": 20, "show": False}


class Scaled(nn.Module):
    """A class whose argument no weight shows."""

    def __init__(self, power: int = 1, num_classes: int = 10) -> None:
        super().__init__()
        self.arguments = {"power": power}
        self.power, self.hidden, self.output = power, nn.Linear(64, 8), nn.Linear(8, num_classes)

    def forward(self, inputs):
        return self.output(torch.relu(self.hidden(inputs.flatten(1))) ** self.power)


def test_a_run_without_result_is_no_start(tmp_path):
    first = train(DIGITS, MLP([4]), out=tmp_path / "first", **SMALL)
    (first.path / "result.json").unlink()
    with pytest.raises(RunError, match=r"'.*first' is not complete; run its command again to finish it"):
        train(DIGITS, MLP([4]), out=tmp_path / "second", start=first.path, **SMALL)


@pytest.mark.parametrize("rest", [{}, {"special_classes": ["3", "7"], "rest": "dustbin"}], ids=["same", "dustbin"])
def test_the_weights_of_a_class_with_other_arguments_are_no_start(tmp_path, rest):
    def model(power):
        return {"name": f"{__name__}:Scaled", "arguments": {"power": power}}

    first = train(DIGITS, model(1), out=tmp_path / "first", trust=True, **SMALL)
    digits = load_data("digits", subset=60, **rest)
    again = {"start": first.path, "trust": True, **SMALL}
    assert train(digits, model(1), out=tmp_path / "same", **again).complete
    with pytest.raises(MismatchError, match=r"cannot start from .*first', whose model differs: .* other logits"):
        train(digits, model(2), out=tmp_path / "other", **again)
