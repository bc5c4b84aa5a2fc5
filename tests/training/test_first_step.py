"""What a run imports before its first step, and that it computes the same without the rest."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from instar.config import TrainingConfig
from instar.training import make_optimiser

PROGRAM = """
import sys, instar
from instar.models import MLP
from instar.training import loop

step = loop.train_step

def stop_after_the_first(*arguments):
    step(*arguments)
    print(*sorted({"torch._dynamo", "torch.distributed.tensor", "sympy"} & set(sys.modules)))
    raise SystemExit

loop.train_step = stop_after_the_first
instar.train("digits", model=MLP([4]), out=sys.argv[1], epochs=1, optimiser=sys.argv[2], show=False)
"""


@pytest.mark.parametrize("optimiser", ["adamw", "sgd"])
def test_a_run_that_compiles_nothing_imports_no_compiler(tmp_path: Path, optimiser: str) -> None:
    arguments = [sys.executable, "-c", PROGRAM, str(tmp_path / "run"), optimiser]
    found = subprocess.run(arguments, check=True, capture_output=True, text=True)
    assert found.stdout == "\n"


@pytest.mark.parametrize("name", ["adamw", "sgd"])
def test_optimisers_step_as_those_of_torch(name: str) -> None:
    config = TrainingConfig(epochs=1, optimiser=name, learning_rate=0.1, momentum=0.9, weight_decay=0.01)
    theirs: type[torch.optim.Optimizer] = {"adamw": torch.optim.AdamW, "sgd": torch.optim.SGD}[name]
    settings = {"momentum": 0.9, "nesterov": True} if name == "sgd" else {}
    torch.manual_seed(0)
    first, second = nn.Linear(5, 3), nn.Linear(5, 3)
    second.load_state_dict(first.state_dict())
    ours = make_optimiser(first, config)
    other = theirs(second.parameters(), lr=0.1, weight_decay=0.01, fused=True, **settings)
    assert isinstance(ours, theirs)
    for _ in range(5):
        inputs = torch.randn(4, 5)
        for model, optimiser in ((first, ours), (second, other)):
            optimiser.zero_grad()
            model(inputs).square().sum().backward()
            optimiser.step()
    assert torch.equal(first.weight, second.weight)
    kept, wanted = ours.state_dict(), other.state_dict()
    assert kept["param_groups"] == wanted["param_groups"]
    for index, moments in wanted["state"].items():
        for key, value in moments.items():
            assert torch.equal(torch.as_tensor(kept["state"][index][key]), torch.as_tensor(value)), key
    ours.load_state_dict(wanted)
    assert torch.is_grad_enabled()
