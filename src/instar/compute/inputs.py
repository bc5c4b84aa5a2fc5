"""Inputs of a network: one tensor, or several tensors by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor

Value = TypeVar("Value")

Inputs = Tensor | Mapping[str, Tensor]
"""One tensor, or the tensors that a network is called with by keyword, such as `input_ids` and `attention_mask`."""

Shape = tuple[int, ...]

Shapes = Shape | Mapping[str, Shape]
"""Shape of one input, or the shapes of several by name."""


def map_tensors(change: Callable[[Tensor], Value], inputs: Inputs) -> Value | dict[str, Value]:
    """Return the result of a function for one tensor, or its results by name for several.

    >>> import torch
    >>> map_tensors(len, {"ids": torch.zeros(2, 3), "mask": torch.ones(2, 3)})
    {'ids': 2, 'mask': 2}
    """
    if isinstance(inputs, Tensor):  # asked first, because it is ten times as fast as whether it is a mapping
        return change(inputs)
    return {str(name): change(tensor) for name, tensor in inputs.items()}


def change_tensors(change: Callable[[Tensor], Tensor], inputs: Inputs) -> Inputs:
    """Return inputs of which every tensor is changed, under the same names."""
    changed: Inputs = map_tensors(change, inputs)
    return changed


def are_tensors(inputs: object) -> bool:
    """Return whether inputs are tensors already, and nothing that a reader turns into tensors, such as texts.

    >>> are_tensors(["a text"])
    False
    """
    return isinstance(inputs, Tensor) or (
        isinstance(inputs, Mapping) and all(isinstance(one, Tensor) for one in inputs.values())
    )


def move_inputs(inputs: Inputs, device: torch.device) -> Inputs:
    """Return inputs on a device."""
    if isinstance(inputs, Tensor):
        return inputs.to(device)
    return {name: tensor.to(device) for name, tensor in inputs.items()}


def call_network(network: Callable[..., Any], inputs: Inputs, *state: Any, **options: Any) -> Any:
    """Return the output of a network; several inputs are passed by keyword."""
    if isinstance(inputs, Tensor):
        return network(inputs, *state, **options)
    return network(*state, **inputs, **options)


def name_tensors(inputs: Inputs) -> dict[str, Tensor]:
    """Return tensors by name; the only one is called "inputs"."""
    return {"inputs": inputs} if isinstance(inputs, Tensor) else dict(inputs)


def list_tensors(inputs: Inputs) -> list[Tensor]:
    """Return the only tensor, or all of them in their order."""
    return [inputs] if isinstance(inputs, Tensor) else list(inputs.values())


def count_rows(inputs: Inputs) -> int:
    """Return the number of samples; of a traced graph it stays free, which `len` would fix."""
    one = inputs if isinstance(inputs, Tensor) else next(iter(inputs.values()))
    return one.shape[0]


def split_rows(inputs: Inputs, sizes: Sequence[int]) -> list[Inputs]:
    """Return parts of inputs with so many samples each.

    >>> import torch
    >>> [part["ids"].tolist() for part in split_rows({"ids": torch.arange(3)}, [2, 1])]
    [[0, 1], [2]]
    """
    parts = zip(*(tensor.split(list(sizes)) for tensor in list_tensors(inputs)), strict=True)
    if isinstance(inputs, Tensor):
        return [only for (only,) in parts]
    return [dict(zip(inputs, part, strict=True)) for part in parts]


def shapes_of(inputs: Inputs, axis: int = 1) -> Shapes:
    """Return the shape of one sample, or with `axis` 0 of all; by name for several inputs."""
    found: Shapes = map_tensors(lambda tensor: tuple(tensor.shape[axis:]), inputs)
    return found


def as_shapes(found: object) -> Shapes:
    """Return lists of sizes, as JSON holds them, as tuples.

    >>> as_shapes([3, 8, 8]), as_shapes({"ids": [16]})
    ((3, 8, 8), {'ids': (16,)})
    """
    if isinstance(found, Mapping):
        return {str(name): tuple(shape) for name, shape in found.items()}
    assert isinstance(found, list | tuple), "a description has sizes"
    return tuple(found)


def as_lists(shapes: Shapes) -> list[int] | dict[str, list[int]]:
    """Return shapes as JSON holds them; see `as_shapes`."""
    return {name: list(shape) for name, shape in shapes.items()} if isinstance(shapes, Mapping) else list(shapes)


def describe_shapes(shapes: Shapes) -> str:
    """Return one shape, or several by name, as text.

    >>> describe_shapes((3, 8, 8)), describe_shapes({"ids": (16,), "mask": (16,)})
    ('[3, 8, 8]', 'ids [16], mask [16]')
    """
    if isinstance(shapes, Mapping):
        return ", ".join(f"{name} {list(shape)}" for name, shape in shapes.items())
    return str(list(shapes))
