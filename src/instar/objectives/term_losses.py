"""The losses of terms for each example, of logits and of hidden layers, and their weighted sums."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from instar.analysis.scores import UNLABELLED
from instar.compute.precision import to_loss_dtype
from instar.compute.projected import Projected
from instar.compute.tiling import exceeds_loss_tile
from instar.data.batch import Batch
from instar.errors import ConfigError, MismatchError
from instar.objectives.tiles import loss_in_tiles
from instar.objectives.values import Hidden, Value, in_loss_dtype, masked_sum
from instar.targets.targets import Targets

# terms are of any type here, because `objective.py` has their class and imports this file
Parts = Sequence[tuple[float, Any]]
"""Terms with their weights."""


def sum_logits(
    parts: Parts,
    logits: Tensor | Projected,
    batch: Batch,
    targets: Targets | None,
    totals: Tensor | None,
    *,
    once: bool,
    in_tiles: bool,
) -> tuple[Tensor, dict[str, Tensor]]:
    """Return what `add_terms` does, in tiles of examples where there are many classes.

    Args:
        parts: weights and terms.
        logits: logits of the student, or `Projected`.
        batch: batch with labels and mask.
        targets: targets of the teacher, if a term needs them.
        totals: see `Objective.totals`.
        once: whether the logits are not used later; see `loss_in_tiles`.
        in_tiles: False: examples must stay together, however many classes there are.
    """
    # terms see one tile or all logits, and cannot tell which
    if in_tiles and (isinstance(logits, Projected) or exceeds_loss_tile(logits)):
        return loss_in_tiles(partial(add_terms, parts, totals), logits, batch, targets, once=once)
    logits = to_loss_dtype(logits.logits() if isinstance(logits, Projected) else logits)
    if batch.mask is not None:
        # an invalid position may have any logits, and NaN * 0 is NaN in a gradient too
        logits = torch.where(batch.mask[..., None], logits, 0.0)
        batch = replace(batch, labels=torch.where(batch.mask, batch.labels, UNLABELLED))
    return add_terms(parts, totals, logits, batch, targets)


def add_terms(
    parts: Parts, totals: Tensor | None, logits: Tensor, batch: Batch, targets: Targets | None
) -> tuple[Tensor, dict[str, Tensor]]:
    """Return the weighted sum of the terms of logits over examples, and the detached sum of each term by name.

    Args:
        parts: weights and terms; those of hidden layers are left out.
        totals: see `Objective.totals`; None: no term has weights of examples.
        logits: logits of the student in the dtype of the loss.
        batch: batch with labels and mask.
        targets: targets of the teacher, if a term needs them.
    """
    weighted: list[Tensor] = []
    sums: dict[str, Tensor] = {}
    for index, (weight, term) in enumerate(parts):
        if term.layers is not None:  # kept in the list, because `totals` has a row for each term
            continue
        value = value_of(term, logits, batch, targets)
        losses = _weigh(term, value.loss, term.weights(batch, targets), None if totals is None else totals[index])
        loss = masked_sum(_count(losses, batch), batch.mask)
        # each operation that is left out saves a kernel forward and one back
        weighted.append(loss if weight == 1 else weight * loss)
        sums[term.name] = loss.detach()
        for name, values in value.beside.items():
            sums[name] = masked_sum(_count(values.detach(), batch), batch.mask)
    total = sum(weighted[1:], start=weighted[0])  # not from 0, which would be one more addition
    return total, {"loss": total.detach()} | sums


def _weigh(term: Any, losses: Tensor, weights: Tensor | None, total: Tensor | None) -> Tensor:
    if weights is None:
        return losses
    if total is None or not term.weighs_examples:
        # the loop computes totals only for terms that declare weights; without them a loss would depend on how its
        # batch is split
        raise ConfigError(f"{type(term).__name__} returns weights; set its weighs_examples to True.")
    whole, positive = total.to(losses)
    # v_n / mean(v) over the whole batch; clamped, because all weights may be 0
    weighed: Tensor = losses * weights * (positive / whole.clamp(min=torch.finfo(losses.dtype).tiny))
    return weighed


def _count(losses: Tensor, batch: Batch) -> Tensor:
    """Return the loss of each example times the number of samples that it counts as."""
    weights = batch.weights
    return losses if weights is None else losses * weights.to(losses)


def add_layers(
    parts: Parts, total: Tensor, sums: dict[str, Tensor], batch: Batch, hidden: Hidden | None
) -> tuple[Tensor, dict[str, Tensor]]:
    """Return a sum of terms and the sums by name, with those of hidden layers added; see `add_terms`."""
    for weight, term in parts:
        if term.layers is not None:
            loss = masked_sum(_count(layer_losses(term, batch, hidden), batch), batch.mask)
            total, sums = total + weight * loss, sums | {term.name: loss.detach()}
    return total, {"loss": total.detach()} | {name: value for name, value in sums.items() if name != "loss"}


def value_of(term: Any, logits: Tensor, batch: Batch, targets: Targets | None) -> Value:
    """Return the value of a term of logits, of samples that a view has mixed too.

    Raises:
        MismatchError: when a term of the user's returns something else than one loss for each example.
    """
    value: Value = term(logits, batch, targets)
    if not type(term).__module__.startswith("instar."):  # of the user's
        _refuse_means(term, value, batch)
    if batch.mixture is None or not term.is_linear_in_labels:
        return value
    other, own = term(logits, replace(batch, labels=batch.mixture.labels), targets), batch.mixture.ratios

    def mix(first: Tensor, second: Tensor) -> Tensor:
        return own * first + (1 - own) * second

    beside = {name: mix(found, other.beside[name]) for name, found in value.beside.items()}
    return Value(mix(value.loss, other.loss), beside)


def _refuse_means(term: Any, value: Value, batch: Batch) -> None:
    # a mean over the batch would count once, and the gradient would be too small by the size of the batch
    shapes = [values.shape for values in (value.loss, *value.beside.values())] if isinstance(value, Value) else []
    if not shapes or any(shape != batch.labels.shape for shape in shapes):
        found = f"shape {list(shapes[0])}" if shapes else type(value).__name__
        raise MismatchError(
            f"the term {type(term).__name__} must return Value(loss) with one loss per example, of shape "
            f"{list(batch.labels.shape)}, got {found}."
        )


def layer_losses(term: Any, batch: Batch, hidden: Hidden | None) -> Tensor:
    """Return the losses of a term of hidden layers in the shape of the labels.

    Raises:
        ConfigError: when there are no hidden layers.
        MismatchError: when the losses have another shape.
    """
    if hidden is None:
        raise ConfigError(f"{type(term).__name__} compares hidden layers, and the loss was given none.")
    batch = hidden.describe_positions(batch)
    student, teacher = in_loss_dtype(hidden.student), in_loss_dtype(hidden.teacher)
    losses: Tensor = term.of_layers(student, teacher, batch, hidden.adapters.get(term.name))
    if losses.shape != batch.labels.shape:
        told = (
            "; HiddenStates, Attentions, ValueRelations and Hints compare positions" if batch.labels.dim() > 1 else ""
        )
        raise MismatchError(
            f"{type(term).__name__} returns a loss of shape {list(losses.shape)}, and the labels are "
            f"{list(batch.labels.shape)}; a term needs one loss for each label{told}."
        )
    return losses
