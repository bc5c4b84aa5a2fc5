"""Execution of a network: device, arithmetic, memory layout of images, and compilation."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import AbstractContextManager
from dataclasses import dataclass
from types import FunctionType
from typing import Any, Literal

import torch
from torch import nn

from instar.compute.inputs import count_rows
from instar.compute.precision import Precision

MemoryFormat = Literal["auto", "contiguous", "channels_last"]

MAX_CONVOLVED_SAMPLES = 64
"""Samples per forward pass of a convolutional teacher on a CPU, during training of a student.

Images between the layers then fit into the caches, which makes a ResNet-20 or WRN-16-2 up to 20% faster.
"""


@dataclass(frozen=True)
class Execution:
    """Device and execution settings of a teacher.

    Args:
        device: device of the batches.
        precision: arithmetic of matrix products.
        memory_format: memory layout of images.
        compiled_sizes: batch sizes that recur often enough to compile for.
        max_convolved_samples: samples per forward pass of a network with 2-d convolutions on a CPU.
    """

    device: torch.device
    precision: Precision
    memory_format: MemoryFormat = "auto"
    compiled_sizes: Collection[int] = ()
    max_convolved_samples: int = MAX_CONVOLVED_SAMPLES


def choose_memory_format(network: nn.Module, wanted: MemoryFormat) -> torch.memory_format:
    """Return the memory layout of images; "auto" means channels last for networks with 2-d convolutions.

    >>> choose_memory_format(nn.Sequential(nn.Conv2d(3, 4, 3)), "auto")
    torch.channels_last
    >>> choose_memory_format(nn.Linear(3, 4), "auto")
    torch.contiguous_format
    """
    if wanted == "auto":
        # a training step of a ResNet-20 on a CPU took 217 ms so, and 326 ms with contiguous images
        wanted = "channels_last" if any(isinstance(m, nn.Conv2d) for m in network.modules()) else "contiguous"
    return torch.channels_last if wanted == "channels_last" else torch.contiguous_format


def place(network: nn.Module, device: torch.device, wanted: MemoryFormat) -> None:
    """Move a network to a device, with its weights in the memory layout of its images."""
    layout = choose_memory_format(network, wanted)
    network.to(device=device, memory_format=layout)  # type: ignore[call-overload]  # torch documents it


class Compiled:
    """A network that runs compiled code for some batch sizes, and plain code for all others.

    Each size is compiled separately, because code for dynamic sizes is slower. Only sizes that recur are worth
    compiling: full batches, and not the last two of an epoch. The batch size alone decides which code runs, so a
    resumed run computes the same numbers. Weights and buffers remain those of the network, under their own names.

    Args:
        network: network to compile; its mode (train or eval) is read at every call.
        sizes: sizes of batches, or of micro-batches, to compile for.
    """

    def __init__(self, network: nn.Module, sizes: Collection[int]) -> None:
        self.network, self._sizes = network, frozenset(sizes)

        # a function around the network and not `torch.compile(network)`, which would put a prefix before all names of
        # weights
        def call(*inputs: Any, **named: Any) -> Any:
            return network(*inputs, **named)

        # torch caches up to eight compiled variants per code object, and all networks of a process share
        # `Normalised.forward`; so each network is called from its own code object
        own = FunctionType(call.__code__.replace(), call.__globals__, closure=call.__closure__)
        self._compiled = torch.compile(own, dynamic=False)

    def __call__(self, *inputs: Any, **named: Any) -> Any:
        """Return the network's output for its inputs `[batch, ...]`, and for a hidden state if it has one."""
        size = count_rows(inputs[0] if inputs else named)
        return (self._compiled if size in self._sizes else self.network)(*inputs, **named)

    def no_sync(self) -> AbstractContextManager[None]:
        """Return the context in which processes do not exchange gradients; only for a distributed network."""
        context: AbstractContextManager[None] = self.network.no_sync()  # type: ignore[operator]  # of DistributedDataParallel
        return context
