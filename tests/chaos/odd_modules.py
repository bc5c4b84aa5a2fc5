"""Modules of odd properties, combined at random, as students: trained and found again, or refused before a step."""

from __future__ import annotations

import math
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import torch
from tests.chaos.harness import Outcome, problem_of, scratch, start
from torch import Tensor, nn
from torch.nn.utils import prune

from instar.data import load_data
from instar.errors import InstarError, NonFiniteError
from instar.procedures.evaluate import evaluate
from instar.procedures.train import train
from instar.runs.files import read_json

COUNT = 120
SEEDED = 6
SECONDS = 300.0
"""After which a training of 33 samples has hung, however busy the machine is."""

PARAMETRISED = nn.utils.parametrizations


class Extra(nn.Linear):
    """Has a state that is no tensor."""

    def get_extra_state(self) -> Any:
        return {"a": 1}

    def set_extra_state(self, state: Any) -> None:
        """Take nothing up."""


@dataclass
class Answer:
    """What some modules return."""

    logits: Tensor
    note: str = ""


def _sparse(layer: nn.Linear) -> nn.Linear:
    layer.weight = nn.Parameter(layer.weight.detach().to_sparse())
    return layer


def _frozen(layer: nn.Linear) -> nn.Linear:
    return layer.requires_grad_(False)


def _hooked(layer: nn.Linear) -> nn.Linear:
    layer.register_forward_hook(lambda module, inputs, output: output * 2)
    return layer


def _locked(layer: nn.Linear) -> nn.Linear:
    layer.lock = threading.Lock()
    return layer


LAYERS: dict[str, Callable[[nn.Linear], nn.Module]] = {
    "plain": lambda layer: layer,
    "weight_norm": nn.utils.weight_norm,
    "spectral_norm": nn.utils.spectral_norm,
    "parametrised weight_norm": PARAMETRISED.weight_norm,
    "parametrised spectral_norm": PARAMETRISED.spectral_norm,
    "orthogonal": PARAMETRISED.orthogonal,
    "lazy": lambda layer: nn.LazyLinear(layer.out_features),
    "frozen": _frozen,
    "hooked": _hooked,
    "pruned": lambda layer: prune.l1_unstructured(layer, "weight", 0.5),
    "script": torch.jit.script,
    "locked": _locked,
    "sparse": _sparse,
    "extra state": lambda layer: Extra(layer.in_features, layer.out_features),
    "complex": lambda layer: layer.to(torch.complex64),
    "meta": lambda layer: layer.to("meta"),
}

BETWEEN: dict[str, Callable[[], nn.Module]] = {
    "nothing": nn.Identity,
    "batch norm": lambda: nn.BatchNorm1d(16),
    "batch norm in eval mode": lambda: nn.BatchNorm1d(16).eval(),
    "frozen batch norm": lambda: nn.BatchNorm1d(16).requires_grad_(False).eval(),
    "lazy batch norm": nn.LazyBatchNorm1d,
    "dropout": lambda: nn.Dropout(0.5),
    "dropout in eval mode": lambda: nn.Dropout(0.5).eval(),
    "layer norm": lambda: nn.LayerNorm(16),
    "relu in place": lambda: nn.ReLU(inplace=True),
}

OUTPUTS: dict[str, Callable[[Tensor], Any]] = {
    "logits": lambda z: z,
    "mapping": lambda z: {"logits": z, "hidden": z[:, :3]},
    "one of a mapping": lambda z: {"out": z, "loss": z.mean()},
    "tuple": lambda z: (z,),
    "dataclass": Answer,
    "two tensors": lambda z: (z, z),
    "[B, 1, C]": lambda z: z[:, None],
    "[B, C, 1, 1]": lambda z: z[:, :, None, None],
    "scalar": lambda z: z.mean(),
    "detached": lambda z: z.detach(),
    "none": lambda z: None,
    "nine classes": lambda z: z[:, :9],
    "-inf": lambda z: z + torch.full_like(z, 0),
}

ACTS: dict[str, Callable[[Tensor], Tensor]] = {"relu": torch.relu, "sin": torch.sin, "tanh": torch.tanh}


class Odd(nn.Module):
    """A network of two layers, as a recipe says."""

    def __init__(self, **recipe: Any) -> None:
        super().__init__()
        torch.manual_seed(recipe["seed"])
        if recipe["keeps"] != "nothing":
            self.arguments = recipe if recipe["keeps"] == "all" else recipe | {"act": "tanh", "keeps": "all"}
        self.recipe = recipe
        self.first = LAYERS[recipe["first"]](nn.Linear(64, 16))
        self.between = BETWEEN[recipe["between"]]()
        self.last = LAYERS[recipe["last"]](nn.Linear(16, 10))
        if recipe["last layer"] == "zero" and isinstance(self.last, nn.Linear) and recipe["last"] == "plain":
            nn.init.zeros_(self.last.weight)
        if recipe["buffer"] == "-inf":
            self.register_buffer("mask", torch.tensor([0.0, -math.inf]))
        elif recipe["buffer"] == "random":
            self.register_buffer("scale", torch.rand(1) + 0.5, persistent=False)
        if recipe["unused"]:
            self.unused = nn.Linear(2, 2)
        dtypes = {"float64": torch.float64, "bfloat16": torch.bfloat16}
        if recipe["dtype"] in dtypes:
            self.to(dtypes[recipe["dtype"]])
        if recipe["mode"] == "eval":
            self.eval()
        if recipe["mode"] == "frozen":
            for parameter in self.parameters():
                parameter.requires_grad = False

    def forward(self, inputs: Tensor) -> Any:
        """Return what the recipe makes of the logits."""
        if self.recipe["forward"] == "in place":
            inputs -= 0.5
        if self.recipe["forward"] == "raises":
            raise KeyError("inputs")
        hidden = ACTS[self.recipe["act"]](self.between(self.first(inputs.flatten(1))))
        if self.recipe["forward"] == "remembers":
            self.seen = hidden
        return OUTPUTS[self.recipe["output"]](self.last(hidden) * getattr(self, "scale", 1))


REFUSED = {"locked", "sparse", "extra state", "complex", "meta", "two tensors", "[B, 1, C]", "[B, C, 1, 1]", "scalar"}
REFUSED |= {"detached", "none", "nine classes", "raises"}


def drawn(random: Random) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return a recipe, in most of which nothing is to be refused, and settings of its training."""
    found = _drawn(random)
    while REFUSED & set(map(str, found[0].values())) and random.random() < 0.7:
        found = _drawn(random)
    return found


def _drawn(random: Random) -> tuple[dict[str, Any], dict[str, Any]]:

    def some(options: Any, plain: float = 0.6) -> Any:
        usual, *odd = options
        return usual if random.random() < plain else random.choice(odd)

    recipe = {
        "seed": random.randrange(1000),
        "keeps": random.choice(("nothing", "all", "others")),
        "first": some(LAYERS, 0.3),
        "between": some(BETWEEN, 0.2),
        "last": some(LAYERS),
        "last layer": some(("drawn", "zero"), 0.8),
        "buffer": some(("none", "-inf", "random"), 0.8),
        "unused": random.random() < 0.2,
        "dtype": some(("float32", "float64", "bfloat16"), 0.7),
        "mode": some(("train", "eval", "frozen"), 0.7),
        "forward": some(("plain", "in place", "remembers", "raises"), 0.7),
        "output": some(OUTPUTS, 0.5),
        "act": random.choice(list(ACTS)),
    }
    training = {
        "epochs": 1,
        "batch_size": random.choice((1, 7, 32)),
        "micro_batches": 1,
        "ema": some((0.0, 0.5)),
        "optimiser": random.choice(("sgd", "adamw")),
        "max_norm": some((None, 2.0), 0.8),
        "gradients_every": some((0, 3), 0.8),
    }
    if random.random() < 0.3:
        training["micro_batches"] = random.randint(1, training["batch_size"])
    return recipe, training


def _lived(recipe: dict[str, Any], training: dict[str, Any], mode: str, out: Path) -> None:
    """Train, and find the metrics again; exit with a sentence and code 2, or with what is wrong and code 3."""
    data = load_data("digits", subset=37)
    modes = {"no_grad": torch.no_grad, "inference": torch.inference_mode}
    try:
        with modes.get(mode, nullcontext)():
            given = Odd(**recipe)
        before = {name: value.clone() for name, value in given.state_dict().items() if _is_still(given, name)}
        with modes.get(mode, nullcontext)():
            run = train(data, given, out=out, **training)
    except InstarError as error:
        if (out / "metrics.jsonl").is_file() and not isinstance(error, NonFiniteError):
            _fail(f"refused after the first step: {error}")
        print(f"instar: {error}", file=sys.stderr)
        sys.exit(2)
    after = run.model.network.state_dict()
    if moved := [name for name, value in before.items() if not torch.equal(value, after[name])]:
        _fail(f"{moved} moved")
    found = [evaluate(str(out), data, network=given)]
    needs = read_json(out / "model.json").get("needs_network")
    try:
        found.append(evaluate(str(out), data, trust=True))
    except InstarError as error:
        if not needs:
            _fail(f"its description should have made it again: {error}")
    for metrics in found:
        if metrics["errors"] != run.metrics["errors"] or not math.isclose(metrics["nll"], run.metrics["nll"]):
            _fail(f"evaluated as {metrics['errors']}, {metrics['nll']}, recorded {run.metrics}")


def _is_still(network: nn.Module, name: str) -> bool:
    """Whether a weight is frozen, or a buffer belongs to a layer in eval mode beside others in train mode."""
    owner = network.get_submodule(name.rpartition(".")[0])
    weight = dict(network.named_parameters()).get(name)
    if nn.parameter.is_lazy(next(iter(owner.parameters()), torch.zeros(1))):
        return False
    return not weight.requires_grad if weight is not None else network.training and not owner.training


def _fail(problem: str) -> None:
    print(problem, file=sys.stderr)
    sys.exit(3)


def trials(random: Random, count: int, folder: Path) -> Iterator[Outcome]:
    """Train a module of a recipe, or have it refused."""
    for _ in range(count):
        recipe, training = drawn(random)
        mode = random.choice(("gradients", "gradients", "no_grad", "inference"))
        with scratch(folder) as here:
            ended = start(partial(_lived, recipe, training, mode, here / "run")).wait(SECONDS)
            yield Outcome("odd-modules", f"{recipe}, {training}, {mode}", problem_of(ended))
