"""How a network is executed: device, arithmetic, the layout of its images in memory, and whether it is compiled."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import AbstractContextManager
from dataclasses import dataclass
from types import FunctionType
from typing import Any, Literal

import torch
from torch import Tensor, nn

from instar.compute.precision import Precision

MemoryFormat = Literal["auto", "contiguous", "channels_last"]

MAX_CONVOLVED_SAMPLES = 64
"""Samples that a teacher with 2-d convolutions computes at once on a CPU, beside a student that trains.

The images between the layers then stay nearer to its caches, which takes up to a fifth off a ResNet-20 or WRN-16-2.
"""


@dataclass(frozen=True)
class Execution:
    """Where and how a teacher computes.

    Args:
        device: where the batches are.
        precision: arithmetic of the products.
        memory_format: layout of images.
        compiled_sizes: sizes of batches that come so often that compiling for them pays.
        max_convolved_samples: samples that a network with 2-d convolutions computes at once on a CPU.
    """

    device: torch.device
    precision: Precision
    memory_format: MemoryFormat = "auto"
    compiled_sizes: Collection[int] = ()
    max_convolved_samples: int = MAX_CONVOLVED_SAMPLES


def choose_memory_format(network: nn.Module, wanted: MemoryFormat) -> torch.memory_format:
    """Return the layout of images; "auto" is channels last for networks with 2-d convolutions.

    >>> choose_memory_format(nn.Sequential(nn.Conv2d(3, 4, 3)), "auto")
    torch.channels_last
    >>> choose_memory_format(nn.Linear(3, 4), "auto")
    torch.contiguous_format
    """
    if wanted == "auto":
        wanted = "channels_last" if any(isinstance(m, nn.Conv2d) for m in network.modules()) else "contiguous"
    return torch.channels_last if wanted == "channels_last" else torch.contiguous_format


def place(network: nn.Module, device: torch.device, wanted: MemoryFormat) -> None:
    """Move a network to a device, with its weights in the layout of its images."""
    layout = choose_memory_format(network, wanted)
    network.to(device=device, memory_format=layout)  # type: ignore[call-overload]  # torch documents it


class Compiled:
    """A network that is compiled for batches of some sizes, and called as it is for all others.

    Every size is compiled by itself, because code for any size is slower. So only sizes that come again and again are
    worth it: full batches, and not the last two of an epoch. Which way a batch goes depends on its size alone, so a run
    that resumes computes the same. Weights and buffers stay those of the network, under their own names.

    Args:
        network: whose weights are used; its mode (train or eval) counts at every call.
        sizes: of batches, or of parts of them.
    """

    def __init__(self, network: nn.Module, sizes: Collection[int]) -> None:
        self.network, self._sizes = network, frozenset(sizes)

        def call(inputs: Tensor, *state: Any, **options: Any) -> Any:
            return network(inputs, *state, **options)

        # torch keeps what it compiles by code object, up to eight variants, and `Normalised.forward` is one for all
        # networks of a process; so each network is called from a code object of its own
        own = FunctionType(call.__code__.replace(), call.__globals__, closure=call.__closure__)
        self._compiled = torch.compile(own, dynamic=False)

    def __call__(self, inputs: Tensor, *state: Any, **options: Any) -> Any:
        """Return what the network makes of `inputs` `[batch, ...]`, and of a hidden state where it has one."""
        return (self._compiled if len(inputs) in self._sizes else self.network)(inputs, *state, **options)

    def no_sync(self) -> AbstractContextManager[None]:
        """Return the context in which processes do not exchange gradients; only a network that is shared has one."""
        context: AbstractContextManager[None] = self.network.no_sync()  # type: ignore[operator]  # of DistributedDataParallel
        return context
