"""The reason why the loss of a batch is NaN or infinite."""

from __future__ import annotations

import torch
from torch import Tensor

from instar.compute.inputs import Inputs, are_tensors, list_tensors
from instar.data.batch import Batch
from instar.data.columns.held import INPUTS
from instar.errors import InstarError, name_samples
from instar.teachers.teacher import Teacher


def explain_nan(batch: Batch, teacher: Teacher | None, is_first: bool) -> str:
    """Return a sentence that says why the loss of a batch is not finite, and what to do.

    Args:
        batch: augmented batch of the first step whose loss was not finite.
        teacher: teacher of the student.
        is_first: whether the step is the first one, so that no weight had changed before.
    """
    # from cause to effect: bad inputs make the teacher's predictions and the student's logits bad too
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
    inputs = batch.column(INPUTS)
    if not are_tensors(inputs):  # texts are never NaN
        return ""
    bad = _are_bad(inputs)
    if not bad.any():
        return ""
    ids, after, source = batch.ids[bad].cpu(), "", batch.origin.samples.source if batch.origin else None
    if source is not None:
        # the NaN of a mixed sample may be that of its partner
        read = ids if batch.mixture is None else torch.cat([ids, batch.mixture.partners[bad].cpu()])
        stored = read[_are_bad(source.take(INPUTS, read))]
        # if the stored samples are finite, an augmentation made the NaN, and mending the data would not help
        ids, after = (stored, "") if len(stored) else (ids, " after the views")
    return f"The inputs of {_named(batch, ids)} are NaN or infinite{after}; mend or leave out those samples."


def _are_bad(inputs: Inputs) -> Tensor:
    # bool [samples]; whole numbers are finite
    return torch.stack([~tensor.isfinite().flatten(1).all(1) for tensor in list_tensors(inputs)]).any(0)


@torch.no_grad()
def _bad_answers(batch: Batch, teacher: Teacher) -> str:
    try:
        answers = teacher.targets(batch)
        bad = ~answers.confidence().isfinite()  # NaN if a logit is NaN or +inf, or all are -inf; one -inf is legal
    except (InstarError, RuntimeError):  # targets of a few classes or another temperature, or a stream out of order
        return ""
    if batch.mask is not None:
        bad = bad & batch.mask  # padding may be anything
    bad = bad.flatten(1).any(1) if bad.dim() > 1 else bad
    if not bad.any():
        return ""
    return (
        f"The teacher predicts NaN, or no probability at all, for {_named(batch, batch.ids[bad])}; check the teacher."
    )


def _named(batch: Batch, ids: Tensor) -> str:
    source = f" of '{batch.origin.samples.source.name}'" if batch.origin else ""
    return name_samples(list(dict.fromkeys(ids.tolist()))) + source
