"""Train and eval mode, layer by layer: a layer that was given in eval mode stays in it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

from instar.models.normalised import Normalised


def to_train_mode(model: nn.Module) -> None:
    """Set a model to train mode, but for layers in eval mode beside others in train mode, which are frozen that way.

    A network whose layers all are in eval mode, as one that was loaded is, is set to train mode as a whole.

    >>> network = nn.Sequential(nn.BatchNorm1d(2), nn.Linear(2, 2).eval())
    >>> to_train_mode(network); [layer.training for layer in network]
    [True, False]
    >>> to_train_mode(network.eval()); [layer.training for layer in network]
    [True, True]
    """
    network = model.network if isinstance(model, Normalised) else model
    if not any(module.training for module in network.modules()):
        network.train()
    model.training = True


@contextmanager
def in_eval_mode(network: nn.Module) -> Iterator[None]:
    """Set a network to eval mode, and every layer back to the mode that it was in."""
    training = [module for module in network.modules() if module.training]
    network.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True


def kept_in_eval_mode(network: nn.Module) -> list[str]:
    """Return the names of the outermost layers that training leaves in eval mode.

    >>> kept_in_eval_mode(nn.Sequential(nn.Flatten(), nn.Sequential(nn.Linear(2, 2)).eval()))
    ['1']
    """
    found: list[str] = []
    if any(module.training for module in network.modules()):
        for name, module in network.named_modules():
            inside = any(name == outer or name.startswith(f"{outer}.") for outer in found)
            if name and not inside and not any(part.training for part in module.modules()):
                found.append(name)
    return found
