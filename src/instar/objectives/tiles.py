"""Losses of many classes in tiles of examples. Each tile's gradient is computed together with its loss."""

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
from instar.data.batch import Batch
from instar.targets.targets import Targets, by_example

Rows = Tensor | slice
Loss = Callable[[Tensor, Batch, Targets | None], tuple[Tensor, dict[str, Tensor]]]


def tiles(batch: Batch, targets: Targets | None, num_classes: int) -> Iterator[tuple[Rows, Batch, Targets | None]]:
    """Yield the valid examples of a batch in tiles, with each position as an example; at least one tile.

    A tile is the rows of its examples among all examples, a batch of them, and their targets. It may be empty.
    """
    valid, batch, targets = batch.valid(), batch.examples(), targets and targets.flat()
    if valid is not None:
        # left out of the tiles, because a padded batch may be mostly padding
        batch = replace(batch.rows(valid), mask=None)
    number = max(1, math.ceil(len(batch) / loss_tile_rows(num_classes, batch.labels.device)))
    # of one size, because every tile reads all weights of the output layer, so a small one takes nearly as long
    rows = max(1, math.ceil(len(batch) / number))
    # an empty batch is one empty tile, without which the sums would have no names
    for start in range(0, max(1, len(batch)), rows):
        at = slice(start, start + rows) if valid is None else valid[start : start + rows]
        yield at, batch.part(start, start + rows), targets and targets.rows(at)


def loss_in_tiles(
    loss: Loss, logits: Tensor | Projected, batch: Batch, targets: Targets | None, *, once: bool
) -> tuple[Tensor, dict[str, Tensor]]:
    """Return the sums over tiles of what `loss` returns: the loss, and the numbers that are recorded by name.

    The gradient of each tile is computed together with its loss, as if nothing else were minimised. The backward pass
    multiplies it by the factor that the loss gets later. Examples that are not valid are left out.

    Args:
        loss: function of a tile of logits `[examples, classes]`, float32 or float64.
        logits: logits of the student, `[..., classes]`; or `Projected`, of which only one tile of logits exists at a
            time.
        batch: batch with labels and mask.
        targets: targets of the teacher, if a term needs them.
        once: True if the gradient is computed once and the logits are not used later. If a linear layer returned the
            logits, the gradient overwrites them.
    """
    source = _Hidden(logits) if isinstance(logits, Projected) else _Logits(logits, batch.mask, once)

    def add_tiles() -> dict[str, Tensor]:
        sums: dict[str, Tensor] = {}
        for at, examples, tile_targets in tiles(batch, targets, source.num_classes):
            of_tile = _add_tile(loss, source, at, examples, tile_targets)
            sums = {name: sums[name] + value for name, value in of_tile.items()} if sums else of_tile
        return sums

    # here too, because a loss may be computed outside a training step: each tile is some tensors of up to 28 MiB
    with freed_memory_kept():
        # torch gives `apply` no types
        found: tuple[Tensor, dict[str, Tensor]] = _TiledLoss.apply(source, add_tiles, once, *source.inputs)  # type: ignore[no-untyped-call]
    return found


def _add_tile(
    loss: Loss, source: _Hidden | _Logits, at: Rows, batch: Batch, targets: Targets | None
) -> dict[str, Tensor]:
    logits = to_loss_dtype(source.logits(at))
    if not source.is_wanted:
        return loss(logits, batch, targets)[1]
    with torch.enable_grad():  # an autograd function's forward runs without
        # a graph of this tile alone, which `grad` frees before the next tile is computed
        total, sums = loss(logits.requires_grad_(), batch, targets)
        (gradient,) = torch.autograd.grad(total, logits)
    source.take(at, gradient)
    return sums


class _Logits:
    """Logits that exist already. Their gradient is a second tensor of their size, or overwrites them."""

    def __init__(self, logits: Tensor, mask: Tensor | None, once: bool) -> None:
        self.inputs = (by_example(logits),)
        self.num_classes = logits.shape[-1]
        self.is_wanted = _is_wanted(logits)
        self._values = self.inputs[0].detach()
        # for 50,000 classes this is most of the memory of a loss; each tile is read before it is overwritten
        in_place = once and _is_product(logits)
        self._gradient = self._values if in_place or not self.is_wanted else torch.empty_like(self._values)
        self._mask = mask

    def logits(self, at: Rows) -> Tensor:
        return self._values[at]

    def take(self, at: Rows, gradient: Tensor) -> None:
        self._gradient[at] = gradient.to(self._gradient)

    def gradients(self) -> list[Tensor | None]:
        if self.is_wanted and self._mask is not None:
            # no tile had these rows, so they hold uninitialised memory, or logits
            self._gradient.masked_fill_(~self._mask.flatten()[:, None], 0.0)
        return [self._gradient if self.is_wanted else None]


class _Hidden:
    """Logits of an output layer, one tile at a time. The gradient of a tile goes through the layer at once."""

    def __init__(self, projected: Projected) -> None:
        flat = projected.flat()
        self.inputs = tuple(tensor for tensor in (flat.hidden, flat.weight, flat.bias) if tensor is not None)
        self.num_classes = projected.num_classes
        self._layer = flat.detach().cast()  # cast once, and not in every tile
        self._gradients = [_zeros(tensor) if _is_wanted(tensor) else None for tensor in self.inputs]
        self.is_wanted = any(gradient is not None for gradient in self._gradients)

    def logits(self, at: Rows) -> Tensor:
        return self._layer.rows(at).logits()

    def take(self, at: Rows, gradient: Tensor) -> None:
        # z = W h + b with the gradient g of z, [examples, classes]: dh = g W, dW = sum over tiles of g^T h, db = sum g
        of_hidden, of_weight, *of_bias = self._gradients
        hidden, g = self._layer.hidden[at], gradient.to(self._layer.hidden)
        if of_hidden is not None:
            of_hidden[at] = (g @ self._layer.weight).to(of_hidden)
        if of_weight is not None and of_weight.dtype == g.dtype:
            of_weight.addmm_(g.t(), hidden)  # without a temporary matrix of [classes, units]
        elif of_weight is not None:  # a product in bfloat16, and a sum in float32
            of_weight += g.t() @ hidden
        for total in of_bias:
            if total is not None:
                total.add_(gradient.sum(0))  # of the float32 gradient: g may be bfloat16

    def gradients(self) -> list[Tensor | None]:
        return self._gradients


# `targets/many_classes.py` has the other autograd function that computes its gradient in the forward pass, and says why
# there are two
class _TiledLoss(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, source: _Hidden | _Logits, add_tiles: Callable[[], dict[str, Tensor]], once: bool, *inputs: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss, and all sums. `inputs` are those of `source`, which torch only sees as arguments."""
        sums = add_tiles()  # before `gradients`, which are complete after the last tile
        # autograd frees saved tensors after backward; a reference of `ctx` would make it copy them into `.grad`
        ctx.save_for_backward(*source.gradients())
        ctx.once = once
        # a copy, because torch marks an output as differentiable, and what is recorded must be free of the graph
        return sums["loss"].clone(), sums

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, scale: Tensor, _: None) -> tuple[Tensor | None, ...]:
        """Return the gradients times `scale`."""
        known = ctx.saved_tensors
        # in place they are not given twice: torch refuses saved tensors that were changed
        scaled = [one if one is None else one.mul_(scale) if ctx.once else one * scale for one in known]
        return None, None, None, *scaled


def _zeros(tensor: Tensor) -> Tensor:
    # for a sum over tiles, at least in float32: a sum in half precision loses what its last tiles add
    return torch.zeros_like(tensor, dtype=torch.promote_types(tensor.dtype, torch.float32))


def _is_wanted(tensor: Tensor) -> bool:
    return torch.is_grad_enabled() and tensor.requires_grad


def _is_product(logits: Tensor) -> bool:
    # whether a linear layer returned them: its backward pass reads its inputs, where that of tanh reads its outputs
    function = logits.grad_fn
    if function is not None and function.name() in ("ViewBackward0", "UnsafeViewBackward0"):  # of positions
        function = function.next_functions[0][0]
    return function is not None and function.name() in ("AddmmBackward0", "MmBackward0")
