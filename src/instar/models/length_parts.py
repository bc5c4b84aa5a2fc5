"""Parts of a batch that a network is called with one by one, and what a layer returns for them, as one tensor."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

import torch
from torch import Tensor

from instar.errors import MismatchError


@dataclass(frozen=True, eq=False)
class LengthPart:
    """The samples of one length of a batch, which are called without their padding.

    Args:
        rows: their rows in the batch, int64 `[n]`.
        mask: which positions of the batch they have, bool `[n, position]`, as many of each.
    """

    rows: Tensor
    mask: Tensor


_called: ContextVar[LengthPart | None] = ContextVar("called part of a batch", default=None)


@contextmanager
def calling(part: LengthPart) -> Iterator[None]:
    """Say which part of its batch a network is called with."""
    token = _called.set(part)
    try:
        yield
    finally:
        _called.reset(token)


def called_part() -> LengthPart | None:
    """Return the part of its batch that a network is called with; None: all of it."""
    return _called.get()


def join_parts(outputs: Sequence[tuple[LengthPart, Tensor]], which: str) -> Tensor:
    """Return what a layer returns for a whole batch, with zeros at padding.

    Args:
        outputs: of each part, `[n, ...]` of one shape, or `[n, length, ...]`.
        which: name of the layer, for error messages.

    Raises:
        MismatchError: when their shapes depend on the length in another way.

    >>> rows, mask = torch.tensor([[1], [0]]), torch.tensor([[[True, False]], [[True, True]]])
    >>> outputs = [torch.full((1, length, 1), 1.0 * length) for length in (1, 2)]
    >>> join_parts([(LengthPart(*part), out) for *part, out in zip(rows, mask, outputs)], "it")[..., 0]
    tensor([[2., 2.],
            [1., 0.]])
    """
    order = torch.cat([part.rows for part, _ in outputs]).argsort()
    has_rows = all(output.dim() and len(output) == len(part.rows) for part, output in outputs)
    if has_rows and all(out.dim() > 2 and out.shape[1] == part.mask[0].sum() for part, out in outputs):
        joined = []
        for part, output in outputs:
            padded = output.new_zeros(*part.mask.shape, *output.shape[2:])
            joined.append(padded.index_put((part.mask,), output.flatten(0, 1)))
        return torch.cat(joined)[order]
    shapes = {tuple(output.shape[1:]) for _, output in outputs}
    if not has_rows or len(shapes) > 1:
        raise MismatchError(
            f"{which} is called with the samples of each length by themselves, and returns shapes that are neither "
            f"equal nor [batch, position, ...], such as {list(outputs[0][1].shape)}; choose another layer."
        )
    return torch.cat([output for _, output in outputs])[order]
