"""Losses of many classes in tiles of examples, each with its gradient: no more than a tile of logits is looked at."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from instar.compute.allocator import freed_memory_kept
from instar.compute.precision import to_loss_dtype
from instar.compute.projected import Projected
from instar.compute.tiling import loss_tile_rows
from instar.data.loader import Batch
from instar.targets.targets import Targets, by_example

Rows = Tensor | slice
Loss = Callable[[Tensor, Batch, Targets | None], tuple[Tensor, dict[str, Tensor]]]


def tiles(batch: Batch, targets: Targets | None, num_classes: int) -> Iterator[tuple[Rows, Batch, Targets | None]]:
    """Yield the valid examples of a batch, positions being examples, tile by tile; at least one, which may be empty.

    Of every tile: where its examples stand among all, they as a batch of their own, and their targets.
    """
    valid, batch, targets = batch.valid(), batch.examples(), targets and targets.flat()
    if valid is not None:
        batch = replace(batch.rows(valid), mask=None)
    number = max(1, math.ceil(len(batch) / loss_tile_rows(num_classes, batch.labels.device)))
    rows = max(1, math.ceil(len(batch) / number))  # alike, because a small one takes nearly as long
    for start in range(0, max(1, len(batch)), rows):
        at = slice(start, start + rows) if valid is None else valid[start : start + rows]
        yield at, batch.part(start, start + rows), targets and targets.rows(at)


def loss_in_tiles(
    loss: Loss, logits: Tensor | Projected, batch: Batch, targets: Targets | None, *, once: bool
) -> tuple[Tensor, dict[str, Tensor]]:
    """Return the sums over tiles of what `loss` returns: a loss, and numbers beside it by name, the loss among them.

    The gradient is found tile by tile together with the loss, as if that were all that is minimised; going backward
    multiplies it by what the loss is multiplied by later. Examples that are not valid are left out.

    Args:
        loss: of a tile of logits `[examples, classes]` in float32 or float64.
        logits: `[..., classes]`, or hidden states and the layer that makes logits of them, of which none but a tile's
            are then made.
        batch: the examples.
        targets: what the teacher says about them.
        once: whether the gradient is asked for once and the logits never again. It is then made where the logits are,
            if a linear layer has made them, and multiplied in place.
    """
    source = _Hidden(logits) if isinstance(logits, Projected) else _Logits(logits, batch.mask, once)

    def sums() -> dict[str, Tensor]:
        found: dict[str, Tensor] = {}
        for at, examples, answers in tiles(batch, targets, source.num_classes):
            of_tile = _of_tile(loss, source, at, examples, answers)
            found = {name: found[name] + value for name, value in of_tile.items()} if found else of_tile
        return found

    with freed_memory_kept():
        # torch gives `apply` no types
        found: tuple[Tensor, dict[str, Tensor]] = _Found.apply(source, sums, once, *source.inputs)  # type: ignore[no-untyped-call]
    return found


def _of_tile(
    loss: Loss, source: _Hidden | _Logits, at: Rows, batch: Batch, targets: Targets | None
) -> dict[str, Tensor]:
    """Return the sums of one tile, and hand its gradient to where the logits came from."""
    logits = to_loss_dtype(source.logits(at))
    if not source.is_wanted:
        return loss(logits, batch, targets)[1]
    with torch.enable_grad():
        total, sums = loss(logits.requires_grad_(), batch, targets)
        (gradient,) = torch.autograd.grad(total, logits)
    source.take(at, gradient)
    return sums


class _Logits:
    """Logits that there are: their gradient is one more tensor like them, or takes their place."""

    def __init__(self, logits: Tensor, mask: Tensor | None, once: bool) -> None:
        self.inputs = (by_example(logits),)
        self.num_classes = logits.shape[-1]
        self.is_wanted = _is_wanted(logits)
        self._values = self.inputs[0].detach()
        in_place = once and _is_product(logits)
        self._gradient = self._values if in_place or not self.is_wanted else torch.empty_like(self._values)
        self._mask = mask

    def logits(self, at: Rows) -> Tensor:
        """Return those of a tile."""
        return self._values[at]

    def take(self, at: Rows, gradient: Tensor) -> None:
        """Put the gradient of a tile where it belongs."""
        self._gradient[at] = gradient.to(self._gradient)

    def gradients(self) -> list[Tensor | None]:
        """Return what there is for the inputs when all tiles were taken."""
        if self.is_wanted and self._mask is not None:
            self._gradient.masked_fill_(~self._mask.flatten()[:, None], 0.0)
        return [self._gradient if self.is_wanted else None]


class _Hidden:
    """Logits that a layer makes of hidden states: a tile's gradient is taken through the layer at once."""

    def __init__(self, projected: Projected) -> None:
        flat = projected.flat()
        self.inputs = tuple(tensor for tensor in (flat.hidden, flat.weight, flat.bias) if tensor is not None)
        self.num_classes = projected.num_classes
        self._layer = flat.detach().cast()
        self._gradients = [_zeros(tensor) if _is_wanted(tensor) else None for tensor in self.inputs]
        self.is_wanted = any(gradient is not None for gradient in self._gradients)

    def logits(self, at: Rows) -> Tensor:
        """Return those of a tile."""
        return self._layer.rows(at).logits()

    def take(self, at: Rows, gradient: Tensor) -> None:
        """Add what the gradient g of a tile, `[examples, classes]`, gives: dh = g W, dW += g^T h, db += sum g."""
        of_hidden, of_weight, *of_bias = self._gradients
        hidden, g = self._layer.hidden[at], gradient.to(self._layer.hidden)
        if of_hidden is not None:
            of_hidden[at] = (g @ self._layer.weight).to(of_hidden)
        if of_weight is not None and of_weight.dtype == g.dtype:
            of_weight.addmm_(g.t(), hidden)
        elif of_weight is not None:
            of_weight += g.t() @ hidden
        for total in of_bias:
            if total is not None:
                total.add_(gradient.sum(0))

    def gradients(self) -> list[Tensor | None]:
        """Return what there is for the inputs when all tiles were taken."""
        return self._gradients


class _Found(torch.autograd.Function):
    """A loss that is found together with its gradients."""

    @staticmethod
    def forward(
        ctx: Any, source: _Hidden | _Logits, sums: Callable[[], dict[str, Tensor]], once: bool, *inputs: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss, and the sums that it is one of; to find them is to take all tiles."""
        found = sums()
        ctx.save_for_backward(*source.gradients())  # which lets go of them after backward, so that nobody copies them
        ctx.once = once
        return found["loss"].clone(), found

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, scale: Tensor, _: None) -> tuple[Tensor | None, ...]:
        """Return the gradients by `scale`; torch itself refuses to do it twice in place."""
        known = ctx.saved_tensors
        scaled = [one if one is None else one.mul_(scale) if ctx.once else one * scale for one in known]
        return None, None, None, *scaled


def _zeros(tensor: Tensor) -> Tensor:
    """Return room for a sum over tiles; in half precision it would lose what the last ones add."""
    return torch.zeros_like(tensor, dtype=torch.promote_types(tensor.dtype, torch.float32))


def _is_wanted(tensor: Tensor) -> bool:
    return torch.is_grad_enabled() and tensor.requires_grad


def _is_product(logits: Tensor) -> bool:
    """Return whether logits are what a linear layer made: its backward pass looks at its inputs, not at them."""
    function = logits.grad_fn
    if function is not None and function.name() in ("ViewBackward0", "UnsafeViewBackward0"):  # of positions
        function = function.next_functions[0][0]
    return function is not None and function.name() in ("AddmmBackward0", "MmBackward0")
