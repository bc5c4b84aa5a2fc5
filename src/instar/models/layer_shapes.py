"""Names, shapes and sizes of the layers of a network, found by one call."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from instar.compute.inputs import Inputs
from instar.models.failures import refuse_failure
from instar.models.modes import in_eval_mode
from instar.models.named_layers import name_groups
from instar.models.normalised import Normalised, unwrap


@dataclass(frozen=True)
class Layer:
    """A layer of a network.

    Args:
        name: dotted name, as in `named_modules`.
        group: name of the group of an `Architecture` that it ends, such as "stage2"; None: it ends none.
        kind: class of the module.
        shape: shape of its output for one sample; None if it has no single tensor, or no data were given.
        parameters: number of its parameters, with those of the layers inside it.
        note: why a term cannot read it; None if one can, or no data were given.
    """

    name: str
    group: str | None
    kind: str
    shape: tuple[int, ...] | None
    parameters: int
    note: str | None = None


def describe_layers(model: nn.Module, inputs: Inputs | None) -> list[Layer]:
    """Return the layers of a network in its order, with the shapes of their outputs for raw inputs `[n, ...]`.

    Args:
        model: network, or `Normalised` if there are inputs.
        inputs: a few raw inputs; None: shapes stay unknown.

    >>> from instar.models import MLP
    >>> network = MLP([4], input_shape=(3,), num_classes=2)
    >>> [(layer.name, layer.group, layer.parameters) for layer in describe_layers(network, None)][:3]
    [('layers', None, 26), ('layers.0', None, 0), ('layers.1', None, 16)]
    """
    network = unwrap(model)
    groups = {id(module): name for name, module in name_groups(network)[0].items()}
    seen = {} if inputs is None else _call(model, network, inputs)
    found = []
    for name, module in network.named_modules():
        if not name:
            continue
        group, count = groups.get(id(module)), sum(parameter.numel() for parameter in module.parameters())
        shape, note = seen.get(name, (None, "not called" if seen else None))
        found.append(Layer(name, None if group == name else group, type(module).__name__, shape, count, note))
    return found


class _Noting:
    """A forward hook that notes the shape of an output."""

    def __init__(self, name: str, seen: dict[str, tuple[tuple[int, ...] | None, str | None]]) -> None:
        self.name, self.seen = name, seen

    def __call__(self, module: nn.Module, inputs: Any, output: Any) -> None:
        values = list(output.values()) if isinstance(output, Mapping) else output
        if isinstance(values, tuple | list) and len(values) == 1:
            output = values[0]
        if self.name in self.seen:
            self.seen[self.name] = (self.seen[self.name][0], "called more than once")
        elif isinstance(output, Tensor):
            odd = None if output.is_floating_point() else f"returns {str(output.dtype).removeprefix('torch.')}"
            self.seen[self.name] = (tuple(output.shape[1:]), odd)
        else:
            self.seen[self.name] = (None, f"returns a {type(output).__name__}")


@torch.no_grad()
def _call(model: nn.Module, network: nn.Module, inputs: Inputs) -> dict[str, tuple[tuple[int, ...] | None, str | None]]:
    assert isinstance(model, Normalised), "it reads raw inputs"
    seen: dict[str, tuple[tuple[int, ...] | None, str | None]] = {}
    handles = [module.register_forward_hook(_Noting(name, seen)) for name, module in network.named_modules() if name]
    try:
        with refuse_failure("student", inputs), in_eval_mode(model):
            model(inputs)
    finally:
        for handle in handles:
            handle.remove()
    return seen
