"""Where inputs are held: in the memory of the device that trains, or on the host when they do not fit there."""

from __future__ import annotations

from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from instar.data.samples import Source
from instar.errors import say

HELD_IN_MEMORY = 4 << 30
"""Inputs up to this many bytes are held on the training device; larger ones stay where the cache maps them."""

# Loaders of one source (training, validation) share its copy, which lives as long as the source.
_copies: WeakKeyDictionary[Source, dict[torch.device, Tensor]] = WeakKeyDictionary()


def inputs_near(source: Source, device: torch.device) -> Tensor:
    """Return the inputs of a source on `device`, or on the host where they are too large; stderr is told when."""
    if source.inputs.nbytes > HELD_IN_MEMORY:
        return source.inputs
    copies = _copies.setdefault(source, {})
    if device not in copies:
        try:
            copies[device] = copied(source.inputs, device)
        except torch.OutOfMemoryError:
            copies[device] = source.inputs
            say(
                f"the inputs of '{source.name}' ({source.inputs.nbytes / 1e6:,.0f} MB) do not fit in the memory of "
                f"{device}; they stay on the host, and every batch is copied from there."
            )
    return copies[device]


def copied(tensor: Tensor, device: torch.device) -> Tensor:
    """Return a tensor of the host on `device`; small ones without waiting until they are there."""
    if device.type != "cuda" or tensor.nbytes > 64 << 20:  # gigabytes of the host should not be pinned
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)


def gathered(inputs: Tensor, places: Tensor, device: torch.device) -> Tensor:
    """Return the inputs at `places`, which are on the same device as `inputs`, on `device`."""
    # index_select copies whole samples, ten times as fast as the indexing of single elements by inputs[places]
    if device.type != "cuda" or inputs.device.type == "cuda":
        return inputs.index_select(0, places).to(device)
    pinned = torch.empty((len(places), *inputs.shape[1:]), dtype=inputs.dtype, pin_memory=True)
    return torch.index_select(inputs, 0, places, out=pinned).to(device, non_blocking=True)
