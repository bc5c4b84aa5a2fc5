"""What became NaN or infinite, and why."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from instar.data.loader import Batch
from instar.errors import InstarError, NonFiniteError
from instar.teachers.teacher import Teacher


class Finiteness:
    """Finds weights that became NaN or infinite, and ignores those that are so by design, such as attention masks.

    Args:
        model: before its first step.

    Raises:
        NonFiniteError: when a trained weight is NaN or infinite already.

    >>> model = nn.Module()
    >>> model.register_buffer("mask", torch.tensor([0.0, -torch.inf]))
    >>> start = Finiteness(model)
    >>> start.first_bad(model.state_dict()), start.first_bad({"mask": torch.tensor([0.0, torch.nan])})
    (None, 'mask')
    """

    def __init__(self, model: nn.Module) -> None:
        trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
        self._start = {name: tensor.clone() for name, tensor in model.state_dict().items() if not _is_finite(tensor)}
        for name in self._start:
            if name in trained:
                raise NonFiniteError(f"weight '{name}' is NaN or infinite before the first step; mend the model.")

    def first_bad(self, weights: Mapping[str, Tensor]) -> str | None:
        """Return the name of the first weight or buffer that has become NaN or infinite; None: there is none."""
        for name, tensor in weights.items():  # buffers too: the statistics of a batch normalisation may overflow alone
            if not _is_finite(tensor) and not self._is_as_it_was(name, tensor):
                return name
        return None

    def _is_as_it_was(self, name: str, tensor: Tensor) -> bool:
        start = self._start.get(name)
        if start is None or start.shape != tensor.shape:
            return False
        same = (tensor == start.to(tensor.device)) | (tensor.isnan() & start.to(tensor.device).isnan())
        return bool((tensor.isfinite() | same).all())


def _is_finite(tensor: object) -> bool:
    return not isinstance(tensor, Tensor) or tensor.layout != torch.strided or bool(torch.isfinite(tensor).all())


def averages(tensor: Tensor) -> bool:
    """Return whether a weight or buffer has a moving average; masks do not, because the mean of -inf is NaN."""
    return tensor.is_floating_point() and _is_finite(tensor)


def explain_nan(batch: Batch, teacher: Teacher | None, is_first: bool) -> str:
    """Return a sentence that says why the loss of a batch is not finite, and what to do.

    Args:
        batch: of the first step whose loss was not finite, with its views.
        teacher: the teacher that was queried about it.
        is_first: the step is the first one, so no weight had changed before.
    """
    if found := _bad_inputs(batch):
        return found
    if teacher is not None and (found := _bad_answers(batch, teacher)):
        return found
    if is_first:
        return (
            "No weight has been changed yet, so the student's own outputs are not finite, or a term takes the log of a "
            "probability of 0; check the student's initial weights and the objective."
        )
    return "Lower the learning rate."


def _bad_inputs(batch: Batch) -> str:
    inputs = batch.inputs
    if not inputs.is_floating_point() or inputs.isfinite().all():
        return ""
    bad = ~inputs.isfinite().flatten(1).all(1)
    after, source = "", batch.origin.samples.source if batch.origin else None
    if source is not None and source.inputs[batch.ids[bad].cpu()].isfinite().all():
        after = " after the views"
    return f"The inputs of {_named(batch, bad)} are NaN or infinite{after}; mend or leave out those samples."


@torch.no_grad()
def _bad_answers(batch: Batch, teacher: Teacher) -> str:
    try:
        answers = teacher.targets(batch)
        bad = ~answers.confidence().isfinite()
    except (InstarError, RuntimeError):  # targets of a few classes or another temperature, or a stream out of order
        return ""
    if batch.mask is not None:
        bad = bad & batch.mask
    bad = bad.flatten(1).any(1) if bad.dim() > 1 else bad
    if not bad.any():
        return ""
    return f"The teacher predicts NaN, or no probability at all, for {_named(batch, bad)}; check the teacher."


def _named(batch: Batch, bad: Tensor) -> str:
    source = f" of '{batch.origin.samples.source.name}'" if batch.origin else ""
    return name_samples(batch.ids[bad].tolist()) + source


def name_samples(ids: list[int]) -> str:
    """Return the ids of samples in words, at most ten of them.

    >>> name_samples([3]), name_samples([3, 5])
    ('sample 3', '2 samples (ids 3, 5)')
    """
    if len(ids) == 1:
        return f"sample {ids[0]}"
    return f"{len(ids):,} samples (ids {', '.join(map(str, ids[:10]))}{', ...' if len(ids) > 10 else ''})"
