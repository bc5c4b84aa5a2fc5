"""Logits of a few inputs in the run folder, to detect another network with weights of the same shapes.

A user's class may have changed since the run, or the user may give another module of the same shapes. Its weights load,
but its function differs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from instar.compute.inputs import Inputs, move_inputs
from instar.compute.projected import Projected
from instar.errors import MismatchError, RunError, shortened
from instar.models.copying import copy_network
from instar.models.modes import in_eval_mode
from instar.models.normalised import Normalised, dtype_of
from instar.runs.documents import FunctionProbe
from instar.runs.files import write_tensors
from instar.runs.run import Run
from instar.seeds import generator

PROBE_FILE = "probe.safetensors"
"""File of raw inputs `[n, ...]`, several as `inputs.NAME`, and their logits."""

NUM_PROBE_INPUTS = 4
"""Number of inputs in the probe."""

MAX_PROBE_LOGITS = 16
"""Largest number of logits of a network that a configuration records."""

NOISE_STD = 0.1
"""Standard deviation of noise that is added to weights, so that no layer of zeros hides those before it."""

ACCELERATOR_TOLERANCE = 1e-2
"""Relative difference of logits between accelerators, which may multiply in TF32."""


def write_probe(run: Run, model: Normalised, inputs: Inputs) -> None:
    """Write raw inputs `[n, ...]` and the logits of a trained model, computed on the CPU like those of a later check.

    Nothing is written for a model whose logits change from call to call.
    """
    # on the CPU, because the run may be loaded on a machine whose accelerator rounds otherwise, or has none
    copied = copy_network(model).cpu()
    logits = compute_logits(copied, inputs)
    if torch.allclose(logits, compute_logits(copied, inputs), equal_nan=True):
        if isinstance(inputs, Mapping):
            named = {f"inputs.{name}": tensor for name, tensor in inputs.items()}
        else:
            named = {"inputs": inputs}
        write_tensors(run.path / PROBE_FILE, {**named, "logits": logits})


def read_probe(run: Run) -> tuple[Inputs, Tensor]:
    """Return the raw inputs and the logits of the probe of a run folder.

    Raises:
        RunError: when the file is damaged.
    """
    tensors, _ = run.tensors(PROBE_FILE)
    several = {name.removeprefix("inputs."): one for name, one in tensors.items() if name.startswith("inputs.")}
    expected = {f"inputs.{name}" for name in several} or {"inputs"}
    if tensors.keys() != expected | {"logits"}:
        raise RunError(f"'{run.path / PROBE_FILE}' is damaged: it must have inputs and logits, got {sorted(tensors)}.")
    return several or tensors["inputs"], tensors["logits"]


def refuse_another_network(run: Run, model: Normalised) -> bool:
    """Compare the logits of a loaded model on the CPU with the probe of its run folder.

    Returns:
        Whether the folder has a probe; folders of older versions have none.

    Raises:
        MismatchError: when the logits differ.
    """
    if not (run.path / PROBE_FILE).is_file():
        return False
    inputs, wanted = read_probe(run)
    try:
        found = compute_logits(model, inputs)
    except Exception as error:  # raised by the user's network
        raise MismatchError(
            f"the network that was built for '{run.path}' cannot predict the run's inputs: {shortened(error)}."
        ) from None
    if not are_close(found, wanted, dtype_of(model.network)):
        raise MismatchError(
            f"the network that was built for '{run.path}' is not the trained one: with the same weights it computes "
            "other logits. Give the trained module as network=."
        )
    return True


def probe_functions(
    name: str, networks: Sequence[nn.Module], columns: Mapping[str, Inputs]
) -> dict[str, FunctionProbe]:
    """Return by name and number a few logits of each network for a few samples.

    A network is left out if it cannot predict them, or if its logits change from call to call.

    Args:
        name: name of the networks.
        networks: networks, each of which reads the columns that its reader names.
        columns: raw values `[n, ...]` by the name of the column.
    """
    found: dict[str, FunctionProbe] = {}
    for number, network in enumerate(networks):
        device = next((weight.device for weight in network.parameters()), torch.device("cpu"))
        try:
            model: Any = network
            if not isinstance(network, Normalised):
                model = Normalised(network, torch.zeros(1), torch.ones(1))
            inputs = move_inputs(model.reader.gather(columns.__getitem__), device)
            logits, again = (compute_logits(model, inputs) for _ in range(2))
        except Exception:  # raised by the user's network; the first batch raises it again, and names the network
            continue
        dtype = dtype_of(network)
        if logits.isfinite().all() and are_close(again, logits, dtype):
            # evenly spaced over samples and classes, as a configuration is read by people and stays short
            few = logits.flatten()[:: -(-logits.numel() // MAX_PROBE_LOGITS)].tolist()
            tolerance = _rounding(dtype) if device.type == "cpu" else max(_rounding(dtype), ACCELERATOR_TOLERANCE)
            found[f"{name} {number + 1}"] = FunctionProbe(logits=few, tolerance=tolerance)
    return found


def probe_student(model: Normalised, columns: Mapping[str, Inputs]) -> dict[str, FunctionProbe]:
    """Return what `probe_functions` returns for a student before its first step, with its weights and with noise."""
    copied = copy_network(model).cpu()
    probes = probe_functions("student", [copied], columns)
    # a student may start with an output layer, or branches, of zeros; its logits then say nothing about what is before
    add_noise(copied)
    return probes | probe_functions("noisy student", [copied], columns)


@torch.no_grad()
def add_noise(model: nn.Module) -> None:
    """Add noise to all weights in place, the same at every call, so that no layer of zeros hides those before it."""
    for name, parameter in model.named_parameters():
        if parameter.is_floating_point():
            # by name, so that two networks get the same noise, in whatever order they list their weights
            noise = torch.randn(parameter.shape, generator=generator(0, "noise", name))
            parameter.add_(NOISE_STD * noise.to(parameter))


@torch.no_grad()
def compute_logits(model: nn.Module, inputs: Inputs) -> Tensor:
    """Return logits in eval mode, as float32 on the CPU, with the same random numbers at every call."""
    # the run draws after this what it would have drawn without it
    with in_eval_mode(model), torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        logits = model(inputs)
    return (logits.logits() if isinstance(logits, Projected) else logits).float().cpu()


def are_close(found: Tensor, wanted: Tensor, dtype: torch.dtype) -> bool:
    """Return whether logits differ only by rounding, which depends on the dtype of the weights and on the machine."""
    if found.shape != wanted.shape:
        return False
    # infinities and NaN must be the same; they have no difference
    finite = wanted.isfinite()
    if not torch.equal(found[~finite].nan_to_num(), wanted[~finite].nan_to_num()):
        return False
    if not finite.any():
        return True
    # relative to the largest logit, because a small logit is a difference of large terms; 1e-6 if all of them are 0
    allowed = _rounding(dtype) * wanted[finite].abs().max() + 1e-6
    return bool(((found - wanted)[finite].abs() <= allowed).all())


def _rounding(dtype: torch.dtype) -> float:
    # the root leaves room for errors that add up over layers; logits are compared as float32, also those of float64
    return math.sqrt(max(torch.finfo(dtype).eps, torch.finfo(torch.float32).eps))
