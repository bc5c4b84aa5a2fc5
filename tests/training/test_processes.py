"""Two processes that share every batch end with the weights of one."""

import importlib
import itertools
import json
import os
import socket
import subprocess
import sys

import numpy as np
import pytest
import torch

from instar.config import DataConfig
from instar.data import Data, Samples, load_data
from instar.data.text import cut_windows
from instar.models import LSTM, MLP
from instar.objectives import parse_objective
from instar.procedures.distill import distill
from instar.procedures.train import train
from instar.runs.files import read_tensors
from instar.runs.run import Run

SCRIPT = """
import sys
sys.path.insert(0, sys.argv[1])
import test_processes
getattr(test_processes, sys.argv[2])(*sys.argv[3:])
"""


def learn_digits(teacher, out, settings):
    """Distil, in one of two processes."""
    torch.set_num_threads(1)
    run = distill(load_data("digits", subset=31), teacher, MLP([8]), out=out, **json.loads(settings))
    assert run.complete
    print(run.metrics["errors"])


def learn_words(out, settings):
    """Train on words and a mask of their padding, in one of two processes."""
    torch.set_num_threads(1)
    draws = np.random.default_rng(0)
    arrays = {"words": draws.integers(0, 5, (40, 3)), "mask": draws.random((40, 3)) > 0.5, "label": np.arange(40) % 2}
    return train(load_data(arrays), MaskedWords(), out=out, **json.loads(settings))


def learn_attention(out, settings):
    """Distil hidden layers, in one of two processes."""
    torch.set_num_threads(1)
    networks = []
    for width in (6, 4):
        torch.manual_seed(width)
        layers = [torch.nn.Conv2d(1, width, 3), torch.nn.ReLU(), torch.nn.Flatten()]
        networks.append(torch.nn.Sequential(*layers, torch.nn.Linear(36 * width, 10)))
    return distill(load_data("digits", subset=31), *networks, out=out, **json.loads(settings))


def learn_hints(out, settings):
    """Distil hidden units through a regressor, in one of two processes."""
    torch.set_num_threads(1)
    networks = []
    for width in (6, 4):
        torch.manual_seed(width)
        layers = [torch.nn.Flatten(), torch.nn.Linear(64, width), torch.nn.Tanh(), torch.nn.Linear(width, 10)]
        networks.append(torch.nn.Sequential(*layers))
    objective = "SoftTargets(2) + Hints({'2': '2'})"
    return distill(load_data("digits", subset=31), *networks, out=out, objective=objective, **json.loads(settings))


class MaskedWords(torch.nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.table = torch.nn.Embedding(5, 2)

    def forward(self, words, mask):
        return (self.table(words) * mask[..., None]).sum(1)


def learn_text(teacher, out, settings, stop):
    """Distil an LSTM, in one of two processes, which end before the step `stop`, counted from 1."""
    torch.set_num_threads(1)
    fit = importlib.import_module("instar.training.loop")
    original, calls = fit.learning_rate, itertools.count(1)

    def rate(*given):
        if next(calls) == int(stop):
            torch.distributed.barrier()  # the first process comes here when it has written its checkpoint
            sys.exit(3)
        return original(*given)

    fit.learning_rate = rate
    print(distill(text(), teacher, LSTM(6, 2), out=out, **json.loads(settings)).metrics["perplexity"])


def text():
    tokens = np.random.default_rng(0).integers(0, 7, 103).astype(np.int32)
    samples = Samples.all_of(cut_windows("text", tokens, tuple("abcdefg"), end=0, length=5))
    return Data(DataConfig(source="arrays"), samples, None, samples)


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
    command = [sys.executable, "-c", SCRIPT, os.path.dirname(__file__), *arguments]
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
        # partners are drawn from all samples, so each process has those of its share
        {"optimiser": "sgd", "learning_rate": 0.1, "views": "Shift(1) + CutMix(1)", "gradients_every": 0},
    ],
)
def test_two_processes_end_with_the_weights_of_one(tmp_path, extra):
    data = load_data("digits", subset=31)
    teacher = train(data, MLP([8]), out=tmp_path / "teacher", epochs=1)
    settings = {"epochs": 2, "batch_size": 3, "log_every": 11, "views": "Shift(1)", "gradient_clip": 1.0}
    settings |= {"gradients_every": 7} | extra
    (first, second) = two_processes("learn_digits", str(teacher.path), str(tmp_path / "two"), json.dumps(settings))
    assert [code for _, code in (first, second)] == [0, 0], first[0][1] + second[0][1]
    one = distill(data, str(teacher.path), MLP([8]), out=tmp_path / "one", **settings)
    two = Run(tmp_path / "two")
    assert {first[0][0], second[0][0]} == {f"{two.metrics['errors']}\n"}
    found = distill(data, str(teacher.path), MLP([8]), out=tmp_path / "two", **settings).model
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


def test_two_processes_share_batches_of_several_inputs(tmp_path):
    settings = json.dumps({"epochs": 2, "batch_size": 5, "optimiser": "sgd", "learning_rate": 0.5})
    found = two_processes("learn_words", str(tmp_path / "two"), settings)
    assert [code for _, code in found] == [0, 0], found
    one = learn_words(tmp_path / "one", settings)
    two, _ = read_tensors(Run(tmp_path / "two").weights)
    torch.testing.assert_close(two, dict(one.model.state_dict()), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("terms", "parts"),
    [
        ("100 * AttentionTransfer({'1': '1'})", 2),
        ("AttentionTransfer({'inputs': 'inputs'}, gradients=True)", 2),
        # memories, and batch normalisation that is shared by both processes
        (
            "VariationalInformation({'1': '1'}) + 0.1 * Contrastive({'2': '2'}, negatives=9, embedding=3)"
            " + ReviewDistillation({'0': '0', '1': '1'})",
            1,
        ),
    ],
)
def test_two_processes_follow_hidden_layers_as_one(tmp_path, terms, parts):
    settings = {"epochs": 2, "batch_size": 5, "optimiser": "sgd", "micro_batches": parts, "log_every": 1}
    settings |= {"objective": f"SoftTargets(2) + {terms}", "learning_rate": 0.01}
    found = two_processes("learn_attention", str(tmp_path / "two"), json.dumps(settings))
    assert [code for _, code in found] == [0, 0], found
    one, two = learn_attention(tmp_path / "one", json.dumps(settings)), Run(tmp_path / "two")
    torch.testing.assert_close(read_tensors(two.weights)[0], dict(one.model.state_dict()), rtol=1e-5, atol=1e-6)
    for _, term in parse_objective(terms).parts:
        found, wanted = ([line[term.name] for line in run.history() if line["kind"] == "train"] for run in (two, one))
        assert found == pytest.approx(wanted, rel=1e-4)


@pytest.mark.parametrize("stop", [6])
def test_two_processes_that_are_stopped_go_on_with_all_hidden_states(tmp_path, stop):
    settings = {"epochs": 2, "batch_size": 3, "optimiser": "sgd", "momentum": 0.0, "learning_rate": 2.0, "log_every": 1}
    settings |= {"checkpoint_seconds": 0, "objective": "SoftTargets(2) + HardLabels()"}
    labels = {name: value for name, value in settings.items() if name != "objective"}
    teacher = train(text(), LSTM(4, 1), out=tmp_path / "teacher", **labels, seed=1)
    arguments = ["learn_text", str(teacher.path), str(tmp_path / "two"), json.dumps(settings)]
    stopped = two_processes(*arguments, str(stop))
    assert all(code != 0 for _, code in stopped)  # one may be torn out of the barrier by the end of the other
    tensors, header = read_tensors(Run(tmp_path / "two").checkpoint)
    assert header["step"] == stop - 1
    for hidden in ("carried0.ids", "carried1.ids"):  # of student and teacher; one row is the first process's
        assert {4, 11, 18} <= set(tensors[hidden].tolist())
    ended = two_processes(*arguments, "0")
    assert [code for _, code in ended] == [0, 0], ended[0][0][1] + ended[1][0][1]
    one = distill(text(), str(teacher.path), LSTM(6, 2), out=tmp_path / "one", **settings)
    two = distill(text(), str(teacher.path), LSTM(6, 2), out=tmp_path / "two", **settings)
    for name, value in one.model.state_dict().items():
        torch.testing.assert_close(two.model.state_dict()[name], value, rtol=1e-5, atol=1e-5)
