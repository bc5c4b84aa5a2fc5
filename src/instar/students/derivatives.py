"""The first two derivatives of an objective with respect to logits, for students that follow them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from instar.compute.tiling import use_tile_bytes
from instar.errors import MismatchError
from instar.objectives.objective import Objective
from instar.objectives.tiles import tiles
from instar.students.examples import Examples

WHOLE = 1 << 62
"""Bytes of a tile that no logits exceed: the losses of smaller tiles have no second derivative."""


@dataclass(frozen=True, eq=False)
class Derivatives:
    """The loss of all examples at some logits, and how it changes with them.

    Args:
        loss: sum of the losses of the examples.
        gradient: g = dL/dz, float64 `[examples, classes]`.
        curvature: max(0, d^2 L / dz_c^2), likewise; the weights of samples where the objective has none.
    """

    loss: float
    gradient: Tensor
    curvature: Tensor

    @classmethod
    def of(cls, objective: Objective, examples: Examples, logits: Tensor) -> Derivatives:
        """Differentiate an objective, in float64; where labels are numbers, by outputs in units of `examples.scale`.

        The diagonal of the second derivative takes a backward pass for each class, because each example has logits of
        its own: d/dz_c of the sum of g_c over examples is that of each example.

        Args:
            objective: terms of logits that relate no examples.
            examples: examples with labels and targets.
            logits: float64 `[examples, classes]`.
        """
        totals, loss, start = examples.totals(objective), 0.0, 0
        mean, spread = examples.scale
        gradient, curvature = torch.zeros_like(logits), torch.zeros_like(logits)
        with use_tile_bytes(cached=WHOLE):
            for part in examples.parts:
                for rows, batch, targets in tiles(part.batch, part.targets, examples.classes):
                    assert isinstance(rows, slice), "examples have no mask"
                    at = slice(start + rows.start, start + rows.start + len(batch))
                    z = logits[at].detach().requires_grad_()
                    value, _ = objective(mean + spread * z, batch, targets, totals)
                    (first,) = torch.autograd.grad(value, z, create_graph=True)
                    loss, gradient[at] = loss + value.item(), first.detach()
                    for one in range(examples.classes if first.requires_grad else 0):
                        (second,) = torch.autograd.grad(
                            first[:, one].sum(), z, retain_graph=True, allow_unused=True, materialize_grads=True
                        )
                        curvature[at, one] = second[:, one]
                start += len(part.batch)
        curvature = curvature.clamp(min=0)
        return cls(loss, gradient, curvature if curvature.any() else examples.samples[:, None].expand_as(curvature))


def refuse_without_derivatives(objective: Objective, noun: str) -> None:
    """Refuse an objective whose loss of an example does not follow from its logits alone.

    Raises:
        MismatchError: names the term.
    """
    for weight, term in objective.parts:
        if term.layers is not None or term.relates_examples:
            why = "compares hidden layers" if term.layers is not None else "relates the examples of a batch"
            raise MismatchError(
                f"{noun} follows the gradient of each example's logits, and {type(term).__name__} {why}; choose terms "
                "of logits, such as SoftTargets, LogitMatching and DecoupledKD."
            )
        if not isinstance(weight, int | float):
            raise MismatchError(
                f"{noun} has no training steps, and the weight '{weight}' changes over a training; give a number."
            )
