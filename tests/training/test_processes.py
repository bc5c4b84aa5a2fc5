"""Two processes that share every batch end with the weights of one."""

import json
import os
import socket
import subprocess
import sys

import pytest
import torch

from instar.data import load_data
from instar.models import MLP
from instar.procedures import distill, train
from instar.run import Run

SCRIPT = """
import json, sys
import torch
torch.set_num_threads(1)
from instar.data import load_data
from instar.models import MLP
from instar.procedures import distill
settings = json.loads(sys.argv[3])
run = distill(sys.argv[1], MLP([8]), load_data("digits", subset=31), out=sys.argv[2], **settings)
assert run.complete
print(run.metrics["errors"])
"""


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def start(index, port, *arguments):
    """Start one of two processes, told apart by the environment as torchrun does."""
    environment = os.environ | {
        "RANK": str(index),
        "LOCAL_RANK": str(index),
        "WORLD_SIZE": "2",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "OMP_NUM_THREADS": "1",
    }
    command = [sys.executable, "-c", SCRIPT, *arguments]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def two_processes(*arguments):
    port = free_port()
    processes = [start(index, port, *arguments) for index in (0, 1)]
    try:
        return [(process.communicate(timeout=300), process.returncode) for process in processes]
    finally:
        for process in processes:
            process.kill()


@pytest.mark.parametrize(
    "extra",
    [
        # one part in the first process and two in the second, and clocks that differ
        {"optimiser": "sgd", "learning_rate": 0.1, "micro_batches": 2, "checkpoint_seconds": 0, "ema": 0.9},
    ],
)
def test_two_processes_end_with_the_weights_of_one(tmp_path, extra):
    data = load_data("digits", subset=31)
    teacher = train(data, MLP([8]), out=tmp_path / "teacher", epochs=1)
    settings = {"epochs": 2, "batch_size": 3, "log_every": 11, "views": "Shift(1)", "gradient_clip": 1.0}
    settings |= {"gradients_every": 7} | extra
    (first, second) = two_processes(str(teacher.path), str(tmp_path / "two"), json.dumps(settings))
    assert [code for _, code in (first, second)] == [0, 0], first[0][1] + second[0][1]
    one = distill(str(teacher.path), MLP([8]), data, out=tmp_path / "one", **settings)
    two = Run(tmp_path / "two")
    assert {first[0][0], second[0][0]} == {f"{two.metrics['errors']}\n"}
    found = distill(str(teacher.path), MLP([8]), data, out=tmp_path / "two", **settings).model
    for name, value in one.model.state_dict().items():
        torch.testing.assert_close(found.state_dict()[name], value, rtol=1e-5, atol=1e-5)
    for line, wanted in zip(
        *([x for x in run.history() if x["kind"] == "gradients"] for run in (two, one)), strict=True
    ):
        assert line.pop("kind") == wanted.pop("kind")
        assert line == pytest.approx(wanted, rel=1e-3, abs=1e-5)
    lines = [[line for line in run.history() if line["kind"] == "train"] for run in (one, two)]
    by_step = {line["step"]: line for line in lines[1]}
    assert sorted(by_step) == [11, 22]
    assert len(lines[1]) == 2
    assert sum(line["loss"] * line["examples"] for line in lines[1]) == pytest.approx(
        sum(line["loss"] * line["examples"] for line in lines[0]), rel=1e-5
    )
