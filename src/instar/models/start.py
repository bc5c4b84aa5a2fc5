"""Initial weights from a run: everything but the last layer, which is fitted to the classes."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from instar.errors import MismatchError
from instar.models.build import last_layer, load_model
from instar.run import Run, read_json


def start_from(
    run: Run, model: nn.Module, classes: tuple[str, ...], *, trust: bool = False, network: nn.Module | None = None
) -> None:
    """Copy the weights of a run into a model of the same architecture, whose classes may be others.

    The units of classes that both have are copied. All classes that the model does not have stand behind one that it
    alone has, such as a dustbin: its unit is the mean of theirs, with the bias raised by log n for n of them, so that
    its logit begins at a lower bound of the logsumexp of theirs.

    Args:
        run: whose weights are copied.
        model: is changed in place.
        classes: of the model.
        trust: allow a model class outside `instar.models`.
        network: a network of the right shape, where that of the run was given as a Python object.

    Raises:
        MismatchError: when architectures differ, no class is common to both, or several classes are the model's alone.
    """
    theirs = load_model(run, trust=trust, network=network)
    known: list[str] = read_json(run.path / "model.json")["classes"]
    weights = theirs.state_dict()
    if tuple(known) != classes:
        name, layer = last_layer(theirs, len(known), "be fitted to other classes")
        rows = _rows(known, classes)
        weights[f"{name}.weight"] = rows @ layer.weight.detach()
        weights[f"{name}.bias"] = rows @ layer.bias.detach()
        weights[f"{name}.bias"] += torch.log((rows > 0).sum(1))
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        reason = " ".join(str(error).split())
        raise MismatchError(f"the model cannot start from '{run.path}', which holds another: {reason}.") from None


def _rows(known: list[str], classes: tuple[str, ...]) -> Tensor:
    """Return how much of each known class stands in each class of the model, `[classes, known]`; rows sum to 1."""
    own = [name for name in classes if name not in known]
    left = [index for index, name in enumerate(known) if name not in classes]
    if len(own) == len(classes) or len(own) > 1 or (own and not left):
        raise MismatchError(
            f"the model cannot start from one with {len(known)} classes ({', '.join(known[:5])}, ...); "
            f"of its {len(classes)}, {len(own)} are not among them."
        )
    rows = torch.zeros(len(classes), len(known))
    for row, name in enumerate(classes):
        rows[row, left if name in own else known.index(name)] = 1 / len(left) if name in own else 1.0
    return rows
