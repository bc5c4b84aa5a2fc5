"""All that resuming needs, in one safetensors file: weights, optimiser, average, hidden and random state, step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from instar.errors import NonFiniteError
from instar.files import read_tensors, write_tensors
from instar.models import Carried
from instar.run import Run
from instar.training.finite import Finiteness
from instar.training.optimise import WeightAverage


def save_checkpoint(
    run: Run,
    step: int,
    seconds: float,
    model: nn.Module,
    optimiser: torch.optim.Optimizer,
    average: WeightAverage | None,
    carried: Sequence[Carried],
    accelerator: Accelerator,
    start: Finiteness,
) -> None:
    """Write the state after `step` steps, whole or not at all. All processes call it, and the first one writes.

    Raises:
        NonFiniteError: when a weight has become NaN or infinite; the last checkpoint stays as it is.
    """
    weights = model.state_dict()
    if name := start.first_bad(weights):
        raise NonFiniteError(f"weight '{name}' is not finite after step {step}; {last_good(run)}")
    tensors = {f"model.{name}": tensor for name, tensor in weights.items()}
    for index, state in optimiser.state_dict()["state"].items():
        tensors |= {f"optimiser.{index}.{key}": value for key, value in state.items() if isinstance(value, Tensor)}
    if average:
        tensors |= {f"average.{name}": tensor for name, tensor in average.values.items()}
    for number, hidden in enumerate(carried):
        rows = _of_all_processes(hidden.tensors(), accelerator)
        tensors |= {f"carried{number}.{name}": tensor for name, tensor in rows.items()}
    tensors["random.cpu"] = torch.get_rng_state()
    if torch.cuda.is_available():
        tensors["random.cuda"] = torch.cuda.get_rng_state()
    if accelerator.is_main_process:
        write_tensors(run.checkpoint, tensors, {"step": step, "seconds": seconds})


def load_checkpoint(
    run: Run,
    model: nn.Module,
    optimiser: torch.optim.Optimizer,
    average: WeightAverage | None,
    carried: Sequence[Carried],
) -> tuple[int, float]:
    """Restore what `save_checkpoint` wrote; return the number of steps done and the seconds they took."""
    if not run.checkpoint.exists():
        return 0, 0.0
    tensors, header = read_tensors(run.checkpoint)
    groups: dict[str, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        group, _, name = key.partition(".")
        groups.setdefault(group, {})[name] = tensor
    model.load_state_dict(groups["model"])
    parameters = [parameter for group in optimiser.param_groups for parameter in group["params"]]
    state: dict[int, dict[str, Any]] = {}
    for key, tensor in groups.get("optimiser", {}).items():
        index, _, name = key.partition(".")
        state.setdefault(int(index), {})[name] = _laid_out_like(parameters[int(index)], tensor)
    optimiser.load_state_dict(optimiser.state_dict() | {"state": state})
    if average:
        average.load(groups["average"])
    device = next((parameter.device for parameter in parameters), torch.device("cpu"))
    for number, hidden in enumerate(carried):
        hidden.load(groups.get(f"carried{number}", {}), device)
    torch.set_rng_state(groups["random"]["cpu"])
    if torch.cuda.is_available() and "cuda" in groups["random"]:
        torch.cuda.set_rng_state(groups["random"]["cuda"])
    return int(header["step"]), float(header["seconds"])


def _of_all_processes(hidden: dict[str, Tensor], accelerator: Accelerator) -> dict[str, Tensor]:
    """Return the rows of all processes, one below the other; they may differ by one in their number."""
    if accelerator.num_processes == 1 or not hidden:
        return hidden
    found = accelerator.gather(accelerator.pad_across_processes(hidden, dim=0, pad_index=-1))
    return {name: tensor[found["ids"] >= 0] for name, tensor in found.items()}


def _laid_out_like(parameter: Tensor, moment: Tensor) -> Tensor:
    """Return `moment` in the memory order of its weight, which fused optimisers walk through side by side."""
    if moment.shape != parameter.shape:  # a counter
        return moment
    return torch.empty_like(parameter, dtype=moment.dtype).copy_(moment)


def last_good(run: Run) -> str:
    """Return the end of a sentence that names the last good checkpoint."""
    if not run.checkpoint.exists():
        return "there is no checkpoint before it."
    _, header = read_tensors(run.checkpoint)
    return f"the last good checkpoint is '{run.checkpoint}', after step {header['step']}."
