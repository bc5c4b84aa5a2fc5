"""Values of all processes that share a batch; without several processes, those of this one."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, distributed


def count_processes() -> int:
    """Return the number of processes that share each batch.

    >>> count_processes()
    1
    """
    return distributed.get_world_size() if distributed.is_available() and distributed.is_initialized() else 1


@torch.no_grad()
def gather_rows(values: Tensor) -> Tensor:
    """Return the rows of all processes in their order, without gradients; processes may have other numbers of rows.

    >>> gather_rows(torch.tensor([[1.0], [2.0]]))
    tensor([[1.],
            [2.]])
    """
    number = count_processes()
    if number == 1:
        return values
    counts = [torch.zeros(1, dtype=torch.int64, device=values.device) for _ in range(number)]
    distributed.all_gather(counts, torch.tensor([len(values)], device=values.device))
    longest = max(map(int, counts))
    padded = values.new_zeros(longest, *values.shape[1:])
    padded[: len(values)] = values
    found = [torch.empty_like(padded) for _ in range(number)]
    distributed.all_gather(found, padded)
    return torch.cat([rows[: int(count)] for rows, count in zip(found, counts, strict=True)])


def sum_processes(values: Tensor) -> Tensor:
    """Return the sum over processes, through which gradients flow back to all of them."""
    found: Tensor = _Sum.apply(values) if count_processes() > 1 else values  # type: ignore[no-untyped-call]
    return found


class _Sum(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, values: Tensor) -> Tensor:
        return _reduce(values)

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> Tensor:
        return _reduce(gradients[0])  # the losses of all processes depend on the sum


def _reduce(values: Tensor) -> Tensor:
    found = values.clone(memory_format=torch.contiguous_format)
    distributed.all_reduce(found)
    return found
