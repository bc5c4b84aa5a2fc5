"""The checkpoint, one safetensors file: weights, optimiser, average, hidden and random states, step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor

from instar.errors import NonFiniteError, RunError
from instar.runs.documents import CheckpointHeader, as_document
from instar.runs.files import write_tensors
from instar.runs.run import Run
from instar.training.finite import Finiteness
from instar.training.state import TrainState


def save_checkpoint(
    run: Run, state: TrainState, step: int, seconds: float, accelerator: Accelerator, finiteness: Finiteness
) -> None:
    """Write the state after `step` steps atomically. All processes call this, and the first one writes.

    Raises:
        NonFiniteError: when a weight has become NaN or infinite; the last checkpoint stays as it is.
    """
    weights = state.model.state_dict()
    # all losses so far are finite, but the last update may have made a weight NaN that no loss has met yet
    if name := finiteness.first_bad(weights):
        raise NonFiniteError(f"weight '{name}' is not finite after step {step}; {describe_checkpoint(run)}")
    tensors = {f"model.{name}": tensor for name, tensor in weights.items()}
    # by the number of the parameter, because an optimiser knows no names
    for index, moments in state.optimiser.state_dict()["state"].items():
        tensors |= {f"optimiser.{index}.{key}": value for key, value in moments.items() if isinstance(value, Tensor)}
    tensors |= {f"adapters.{name}": tensor for name, tensor in state.adapters.state_dict().items()}
    if state.average:
        tensors |= {f"average.{name}": tensor for name, tensor in state.average.values.items()}
    for number, hidden in enumerate(state.carried):
        rows = _of_all_processes(hidden.tensors(), accelerator)
        tensors |= {f"carried{number}.{name}": tensor for name, tensor in rows.items()}
    # for dropout; views and the order of batches are functions of the step
    tensors["random.cpu"] = torch.get_rng_state()
    if torch.cuda.is_available():
        tensors["random.cuda"] = torch.cuda.get_rng_state()
    if accelerator.is_main_process:
        # the lines and the names, so that a reader notices a line or a tensor that is missing
        header = {"step": step, "seconds": seconds, "run": run.identity, "lines": run.metrics_log.count()}
        write_tensors(run.checkpoint, tensors, header | {"names": list(tensors)})


def load_checkpoint(run: Run, state: TrainState, total_steps: int) -> tuple[int, float]:
    """Restore the checkpoint of a run if there is one; return the number of steps taken and their seconds.

    Raises:
        RunError: when the checkpoint is damaged, incomplete, of another run, or of a step beyond the last of this run.
    """
    if not run.checkpoint.exists():
        return 0, 0.0
    tensors, header = read_checkpoint(run)
    groups: dict[str, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        group, _, name = key.partition(".")
        groups.setdefault(group, {})[name] = tensor
    # before torch compares them, whose errors name neither the file nor what to do
    if problem := _find_misfit(groups, header, state, total_steps):
        raise _unusable(run, problem)
    state.model.load_state_dict(groups["model"])
    state.adapters.load_state_dict(groups.get("adapters", {}))
    parameters = _parameters(state.optimiser)
    moments: dict[int, dict[str, Any]] = {}
    for key, tensor in groups.get("optimiser", {}).items():
        index, _, name = key.partition(".")
        moments.setdefault(int(index), {})[name] = _laid_out_like(parameters[int(index)], tensor)
    # `param_groups` stay those of the configuration; the loop sets the learning rate in each step
    state.optimiser.load_state_dict(state.optimiser.state_dict() | {"state": moments})
    if state.average:
        state.average.load(groups["average"])
    device = next((parameter.device for parameter in parameters), torch.device("cpu"))
    for number, hidden in enumerate(state.carried):
        hidden.load(groups.get(f"carried{number}", {}), device)  # empty at the start of a pass
    # the next dropout mask is the one that the killed run would have drawn
    torch.set_rng_state(groups["random"]["cpu"])
    if torch.cuda.is_available() and "cuda" in groups["random"]:
        torch.cuda.set_rng_state(groups["random"]["cuda"])
    return header.step, header.seconds


def read_checkpoint(run: Run) -> tuple[dict[str, Tensor], CheckpointHeader]:
    """Read the checkpoint of a run, and compare it with the run.

    Raises:
        RunError: when it is damaged, incomplete, of another run, or fits no line of the metrics.
    """
    tensors, values = run.tensors(run.checkpoint.name)
    header = as_document(values, CheckpointHeader, run.checkpoint)
    if run.sealed:  # folders of older versions have neither checksums nor these numbers
        # only lines up to its step: those after it were written between the checkpoint and a kill
        lines = sum(line["step"] <= header.step for line in run.history())
        for is_so, problem in (
            (header.run != run.identity, "is of another run"),
            (header.names is None or set(header.names) != tensors.keys(), "is not whole: it lacks tensors"),
            (header.lines != lines, f"does not fit metrics.jsonl, which has {lines} lines up to its step"),
        ):
            if is_so:
                raise _unusable(run, problem)
    return tensors, header


def _unusable(run: Run, problem: str) -> RunError:
    return RunError(f"the checkpoint '{run.checkpoint}' {problem}; delete it to restart the run from step 0.")


def _find_misfit(
    groups: Mapping[str, Mapping[str, Tensor]], header: CheckpointHeader, state: TrainState, total_steps: int
) -> str | None:
    """Return why a run cannot resume from a checkpoint, as the end of a sentence; None: it can."""
    if header.step > total_steps:
        return f"is of step {header.step}, and the run has {total_steps}"
    needed = {"model": _shapes(state.model.state_dict()), "random": {"cpu": torch.get_rng_state().shape}}
    if adapters := state.adapters.state_dict():
        needed["adapters"] = _shapes(adapters)
    if state.average:
        needed["average"] = _shapes(state.average.values)
    for group, shapes in needed.items():
        found = _shapes(groups.get(group, {}))
        for name, shape in shapes.items():
            if name not in found:
                return f"lacks '{group}.{name}'"
            if found[name] != shape:
                return f"has '{group}.{name}' of shape {list(found[name])}, and {list(shape)} is needed"
        if group != "random" and (more := found.keys() - shapes.keys()):  # a run may resume without its GPU
            return f"is of another run: it has '{group}.{min(more)}'"
    return _find_optimiser_misfit(groups.get("optimiser", {}), header.step, state.optimiser)


def _find_optimiser_misfit(found: Mapping[str, Tensor], step: int, optimiser: torch.optim.Optimizer) -> str | None:
    group = optimiser.param_groups[0]
    kept = {"step", "exp_avg", "exp_avg_sq"} if "betas" in group else {"momentum_buffer"}
    kept = kept if group.get("momentum", 1) else set()  # SGD without momentum has no state
    parameters = _parameters(optimiser)
    states: dict[str, set[str]] = {}
    for key, tensor in found.items():
        index, _, name = key.partition(".")
        is_known = index.isdecimal() and int(index) < len(parameters) and name in kept
        if not is_known or tensor.shape not in ([parameters[int(index)].shape] if name != "step" else [()]):
            return f"is of another run: it has 'optimiser.{key}' of shape {list(tensor.shape)}"
        states.setdefault(index, set()).add(name)
    # a parameter has all of its moments, or none if it never had a gradient; after a step, some parameter has them
    lacking = [f"{index}.{min(kept - names)}" for index, names in states.items() if names != kept]
    if lacking or (kept and parameters and step and not states):
        return f"lacks 'optimiser.{lacking[0] if lacking else min(kept)}'"
    return None


def _parameters(optimiser: torch.optim.Optimizer) -> list[Tensor]:
    return [parameter for group in optimiser.param_groups for parameter in group["params"]]


def _shapes(tensors: Mapping[str, Tensor]) -> dict[str, torch.Size]:
    return {name: tensor.shape for name, tensor in tensors.items() if isinstance(tensor, Tensor)}


def _of_all_processes(hidden: dict[str, Tensor], accelerator: Accelerator) -> dict[str, Tensor]:
    if accelerator.num_processes == 1 or not hidden:
        return hidden
    # shares of a batch differ by a row, and gathering needs equal shapes; no id is -1
    found = accelerator.gather(accelerator.pad_across_processes(hidden, dim=0, pad_index=-1))
    return {name: tensor[found["ids"] >= 0] for name, tensor in found.items()}


def _laid_out_like(parameter: Tensor, moment: Tensor) -> Tensor:
    if moment.shape != parameter.shape:  # a counter
        return moment
    # safetensors stores rows one after another, and fused optimisers read a weight and its moments side by side
    return torch.empty_like(parameter, dtype=moment.dtype).copy_(moment)


def describe_checkpoint(run: Run) -> str:
    """Return the end of an error message that names the last good checkpoint."""
    if not run.checkpoint.exists():
        return "there is no checkpoint before it."
    return f"the last good checkpoint is '{run.checkpoint}', after step {read_checkpoint(run)[1].step}."
