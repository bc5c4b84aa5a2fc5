"""Placement of inputs and other columns: in the memory of the training device, or on the host if they do not fit."""

from __future__ import annotations

from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from instar.data.columns.held import INPUTS
from instar.data.samples import Samples
from instar.data.source import Source
from instar.errors import say

MAX_DEVICE_INPUT_BYTES = 4 << 30
"""Size up to which inputs are copied to the training device; larger inputs stay in the memory-mapped cache."""

MAX_PINNED_BYTES = 64 << 20
"""Size up to which a tensor is copied through pinned memory; larger ones would lock too much of the host's memory."""

# the loaders of one source (training, validation) share its copy, which lives as long as the source
_copies: WeakKeyDictionary[Source, dict[tuple[str, torch.device], Tensor]] = WeakKeyDictionary()


def place_column(source: Source, name: str, device: torch.device) -> Tensor:
    """Return a column of a source on `device`, or on the host if it is too large, with a notice on stderr.

    Raises:
        DataError: when the source has no such column.
    """
    values = source.column(name)
    if values.nbytes > MAX_DEVICE_INPUT_BYTES:
        return values
    copies = _copies.setdefault(source, {})
    if (name, device) not in copies:
        try:
            copies[name, device] = copy_to_device(values, device)
        except torch.OutOfMemoryError:
            copies[name, device] = values  # remembered, so that the next loader neither tries nor tells again
            noun = INPUTS if name == INPUTS else f"values of column '{name}'"
            say(
                f"the {noun} of '{source.name}' ({values.nbytes / 1e6:,.0f} MB) do not fit in the memory of "
                f"{device}; they stay on the host, and each batch is copied from there."
            )
    return copies[name, device]


def place_labels(samples: Samples, device: torch.device) -> Tensor:
    """Return the labels of samples by id on `device`, or on the host if they are too large, as those of a long text."""
    labels = samples.labels_by_id()
    return labels if labels.nbytes > MAX_DEVICE_INPUT_BYTES else copy_to_device(labels, device)


def copy_to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """Copy a tensor from the host to `device`, without waiting for small tensors."""
    if device.type != "cuda" or tensor.nbytes > MAX_PINNED_BYTES:
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)


def gather_inputs(inputs: Tensor, places: Tensor, device: torch.device) -> Tensor:
    """Return the inputs at the indices `places` on `device`; `inputs` and `places` must be on one device."""
    # index_select copies whole samples, ten times as fast as inputs[places]
    if device.type != "cuda" or inputs.device.type == "cuda":
        return inputs.index_select(0, places).to(device)
    # gathered into pinned memory, because only from there does the device copy while the host goes on
    pinned = torch.empty((len(places), *inputs.shape[1:]), dtype=inputs.dtype, pin_memory=True)
    return torch.index_select(inputs, 0, places, out=pinned).to(device, non_blocking=True)
