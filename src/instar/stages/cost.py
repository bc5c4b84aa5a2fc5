"""The cost of a prediction: latency for batches of 1, 64 and 10,000, multiply-adds, and peak memory of the process."""

from __future__ import annotations

import platform
import resource
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch._ops import OpOverload
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from instar.data.batch import Batch
from instar.data.loader import Loader
from instar.data.samples import Samples
from instar.runs.files import write_json
from instar.teachers.given import GivenPredictions
from instar.teachers.remembered import Remembered
from instar.teachers.stored import Stored
from instar.teachers.teacher import Teacher

COST_FILE = "cost.json"
BATCH_SIZES = (1, 64)
LARGE_BATCH, MAX_LARGE_MILLISECONDS = 10_000, 300
"""A large batch, which is timed where smaller ones promise that it takes no longer."""
MAX_LARGE_BYTES = 4 << 20
"""Inputs of a large batch, and its logits: few, because the activations of images are a hundred times as large."""
MAX_SECONDS, MIN_REPEATS, MAX_REPEATS = 0.1, 3, 20
MAX_TIMED_LOGIT_BYTES = 64 << 20
"""A batch with more logits is not timed."""
MAX_EXPECTED_MILLISECONDS = 5_000
"""A batch is not timed if it would take longer, row by row: a slow teacher shall not hold up a finished run."""


def write_cost(
    folder: Path, model: Teacher, samples: Samples, device: torch.device | str, teacher: Teacher | None = None
) -> None:
    """Write `cost.json`; see `measure_cost`. The latency of a teacher is measured if it computes its answers."""
    found = measure_cost(model, samples, device)
    if teacher is not None and _computes(teacher):
        found["teacher"] = _measure_latency(teacher, samples, torch.device(device))
    write_json(folder / COST_FILE, found)


def _computes(teacher: Teacher) -> bool:
    # a look at stored answers takes no time that a prediction would take
    return not isinstance(teacher, Stored | GivenPredictions | Remembered) and all(map(_computes, teacher.members))


def measure_cost(model: Teacher, samples: Samples, device: torch.device | str = "cpu") -> dict[str, Any]:
    """Return the cost of predictions, measured in at most about two seconds, and mostly in half a second.

    Args:
        model: model, or several as one teacher.
        samples: samples that it predicts.
        device: device of the model.

    Returns:
        `latency`: by batch size the `median`, `low` and `high` quartile in milliseconds and how often it was measured;
        `threads` and `device` of the measurement; `multiply_adds` of matrix products and convolutions for one
        sample, none where the network has recurrent layers, whose products PyTorch does not count; `peak_bytes`, the
        most memory that the process, or its accelerator, has held so far.

    >>> from instar.data import load_data
    >>> from instar.teachers import Module
    >>> network = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    >>> measure_cost(Module(network), load_data("digits").test)["multiply_adds"]
    640
    """
    device = torch.device(device)
    peak_bytes = _peak_bytes(device)  # before the batches that are timed, which would count otherwise
    return {
        "latency": _measure_latency(model, samples, device),
        "threads": torch.get_num_threads(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "multiply_adds": _multiply_adds(model, samples, device),
        "peak_bytes": peak_bytes,
    }


def _measure_latency(model: Teacher, samples: Samples, device: torch.device) -> dict[str, dict[str, Any]]:
    latency = dict[str, dict[str, Any]]()
    for size in BATCH_SIZES:
        logit_bytes = size * (samples.source.positions or 1) * samples.num_classes * 4
        expected = size * latency["1"]["median"] if latency else 0.0
        if size > len(samples) or logit_bytes > MAX_TIMED_LOGIT_BYTES or expected > MAX_EXPECTED_MILLISECONDS:
            continue
        latency[str(size)] = _time_batch(model, samples, size, device)
    if _fits_large_batch(samples, latency):
        # rows again and again where there are fewer
        ids = samples.ids.repeat(LARGE_BATCH // len(samples) + 1)[:LARGE_BATCH]
        latency[str(LARGE_BATCH)] = _time_batch(model, Samples(samples.source, ids), LARGE_BATCH, device)
    return latency


def _fits_large_batch(samples: Samples, latency: dict[str, dict[str, Any]]) -> bool:
    one, several = (latency.get(str(size)) for size in BATCH_SIZES)
    if one is None or several is None or samples.source.positions is not None or samples.source.task.is_stream:
        return False
    inputs = samples.source.inputs
    if LARGE_BATCH * inputs[:1].nbytes > MAX_LARGE_BYTES or LARGE_BATCH * samples.num_classes * 4 > MAX_LARGE_BYTES:
        return False
    per_row = (several["median"] - one["median"]) / (BATCH_SIZES[1] - BATCH_SIZES[0])
    return bool(several["median"] + per_row * LARGE_BATCH < MAX_LARGE_MILLISECONDS)


def _time_batch(model: Teacher, samples: Samples, size: int, device: torch.device) -> dict[str, Any]:
    times = _times(model, next(Loader(samples, size, seed=0, device=device).in_order()), device)
    low, middle, high = np.percentile(times, [25, 50, 75]).tolist()
    return {"median": middle, "low": low, "high": high, "times": len(times)}


def _times(model: Teacher, batch: Batch, device: torch.device) -> list[float]:
    found: list[float] = []  # milliseconds
    started = time.perf_counter()
    while len(found) <= MIN_REPEATS or (len(found) <= MAX_REPEATS and time.perf_counter() - started < MAX_SECONDS):
        before = time.perf_counter()
        model.targets(batch).logits()
        if device.type == "cuda":  # the call above only queues the work
            torch.cuda.synchronize(device)
        found.append(1000 * (time.perf_counter() - before))
    return found[1:]  # the first one allocates, and chooses algorithms


def _multiply_adds(model: Teacher, samples: Samples, device: torch.device) -> int | None:
    # the counter does not see the products inside recurrent layers, and a total without them would mislead
    if any(isinstance(module, nn.RNNBase) for network in model.modules() for module in network.modules()):
        return None
    with Products() as counter:
        model.targets(next(Loader(samples, 1, seed=0, device=device).in_order())).logits()
    return counter.operations // 2 or None  # a multiply-add is two operations


class Products(TorchDispatchMode):
    """Counts floating-point operations as `FlopCounterMode`, which imports the compiler of torch for a second."""

    supports_higher_order_operators = True

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.operations = 0

    @classmethod
    def _should_skip_dynamo(cls) -> bool:  # of torch, whose answer True imports its compiler
        return False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if isinstance(func, OpOverload) and func._overloadpacket not in flop_registry:
            with self:
                found = func.decompose(*args, **(kwargs or {}))  # into products, where it has some
            if found is not NotImplemented:
                return found
        found = func(*args, **(kwargs or {}))
        if count := flop_registry.get(getattr(func, "_overloadpacket", None)):
            self.operations += count(*args, **(kwargs or {}), out_val=found)
        return found


def _peak_bytes(device: torch.device) -> int:
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    unit = 1 if platform.system() == "Darwin" else 1024  # ru_maxrss is in bytes on macOS, in KiB on Linux
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
