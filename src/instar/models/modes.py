"""Train and eval mode per layer, so that frozen layers stay in eval mode."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

from instar.models.normalised import unwrap


def set_train_mode(model: nn.Module) -> None:
    """Set a model to train mode; layers in eval mode stay in it if other layers are in train mode.

    A network with all layers in eval mode, such as a loaded one, is set to train mode completely.

    >>> network = nn.Sequential(nn.BatchNorm1d(2), nn.Linear(2, 2).eval())
    >>> set_train_mode(network); [layer.training for layer in network]
    [True, False]
    >>> set_train_mode(network.eval()); [layer.training for layer in network]
    [True, True]
    """
    network = unwrap(model)
    # some layers in eval mode are the user's choice; a whole network in eval mode is how loading leaves it
    if not any(module.training for module in network.modules()):
        network.train()
    model.training = True


@contextmanager
def in_eval_mode(network: nn.Module) -> Iterator[None]:
    """Set a network to eval mode inside the context, and restore the mode of each layer afterwards."""
    training = [module for module in network.modules() if module.training]
    network.eval()
    try:
        yield
    finally:
        # the flag alone, because train() would also switch the layers inside a module
        for module in training:
            module.training = True


def find_frozen_layers(network: nn.Module) -> list[str]:
    """Return the names of the outermost layers that training leaves in eval mode.

    >>> find_frozen_layers(nn.Sequential(nn.Flatten(), nn.Sequential(nn.Linear(2, 2)).eval()))
    ['1']
    """
    found: list[str] = []
    if any(module.training for module in network.modules()):
        for name, module in network.named_modules():
            inside = any(name == outer or name.startswith(f"{outer}.") for outer in found)
            if name and not inside and not any(part.training for part in module.modules()):
                found.append(name)
    return found
