"""Initial weights from a run: everything but the last layer, which is fitted to the classes."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from instar.data import Samples
from instar.errors import MismatchError
from instar.models.build import last_layer
from instar.models.trained import load_model
from instar.runs.run import Run

FITTED = 4096
"""Samples on which the unit of a class that stands for several is fitted."""


def start_from(
    run: Run,
    model: nn.Module,
    classes: tuple[str, ...],
    samples: Samples,
    *,
    trust: bool = False,
    network: nn.Module | None = None,
) -> None:
    """Copy the weights of a run into a model of the same architecture, whose classes may be others.

    The units of classes that both have are copied. All classes that the model does not have stand behind one that it
    alone has, such as a dustbin: its unit is fitted to the logsumexp of theirs by least squares over samples, so that
    the model begins with nearly the probabilities of the other, theirs summed. (The mean of their units, with the bias
    raised by log n, is a lower bound that a single likely class lies far above.)

    Args:
        run: whose weights are copied.
        model: is changed in place.
        classes: of the model.
        samples: of which some are looked at.
        trust: allow a model class outside `instar.models`.
        network: a network of the right shape, where that of the run was given as a Python object.

    Raises:
        MismatchError: when architectures differ, no class is common to both, or several classes are the model's alone.
    """
    theirs = load_model(run, trust=trust, network=network)
    known = list(run.classes)
    weights = theirs.state_dict()
    if tuple(known) != classes:
        name, layer = last_layer(theirs, len(known), "be fitted to other classes")
        common, left = _sorted_out(known, classes)
        units = torch.cat([layer.weight, layer.bias[:, None]], 1).detach()
        rows = units[[max(index, 0) for index in common]]
        if left:
            rows[common.index(-1)] = _summed(theirs, layer, units[left], samples)
        weights[f"{name}.weight"], weights[f"{name}.bias"] = rows[:, :-1], rows[:, -1]
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        reason = " ".join(str(error).split())
        raise MismatchError(f"the model cannot start from '{run.path}', which holds another: {reason}.") from None


def _sorted_out(known: list[str], classes: tuple[str, ...]) -> tuple[list[int], list[int]]:
    """Return where the model's classes stand among the known ones, -1 for its own, and those that it stands for."""
    common = [known.index(name) if name in known else -1 for name in classes]
    left = [index for index in range(len(known)) if index not in common] if -1 in common else []
    own = common.count(-1)
    if own == len(classes) or own > 1 or (own and not left):
        raise MismatchError(
            f"the model cannot start from one with {len(known)} classes ({', '.join(known[:5])}, ...); "
            f"of its {len(classes)}, {own} are not among them."
        )
    return common, left


@torch.no_grad()
def _summed(model: nn.Module, layer: nn.Linear, units: Tensor, samples: Samples) -> Tensor:
    """Return the unit (w, b) that is nearest to log sum_c exp(w_c h + b_c) over the inputs h of the last layer."""
    seen: list[Tensor] = []
    hook = layer.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].flatten(0, -2).double()))
    ids = samples.ids[:: -(-len(samples) // FITTED)]
    for part in ids.split(256):
        model(samples.source.inputs[part])
    hook.remove()
    h = torch.cat([torch.cat(seen), torch.ones(sum(map(len, seen)), 1, dtype=torch.float64)], 1)
    mean = units.double().mean(0)
    wanted = (h @ units.double().t()).logsumexp(1) - h @ mean
    # the least change of the mean, because inputs that are never active leave their weights open
    change: Tensor = torch.linalg.lstsq(h, wanted[:, None], driver="gelsd").solution[:, 0]
    return (mean + change).to(units)
