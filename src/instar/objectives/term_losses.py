"""The loss of one term for each example: of logits, of samples that are mixed, and of hidden layers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from torch import Tensor

from instar.data.batch import Batch
from instar.errors import ConfigError, MismatchError
from instar.objectives.values import Hidden, Value, in_loss_dtype
from instar.targets.targets import Targets

# terms are of any type here, because `objective.py` has their class and imports this file


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
    if hidden.attention_mask is not None:
        batch = replace(batch, attention_mask=hidden.attention_mask)
    student, teacher = in_loss_dtype(hidden.student), in_loss_dtype(hidden.teacher)
    losses: Tensor = term.of_layers(student, teacher, batch, hidden.adapters.get(term.name))
    if losses.shape != batch.labels.shape:
        raise MismatchError(
            f"{type(term).__name__} returns a loss of shape {list(losses.shape)}, and the labels are "
            f"{list(batch.labels.shape)}; a term needs one loss for each label."
        )
    return losses
