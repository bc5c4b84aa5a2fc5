"""Predictions of teachers and models, all by the same code, and their metrics."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from instar.analysis.agreement import divergence
from instar.analysis.scores import UNLABELLED, Scores
from instar.data.batch import Batch
from instar.data.loader import Loader
from instar.data.samples import Samples
from instar.data.source import Source
from instar.errors import DataError, MismatchError, NonFiniteError, name_samples
from instar.models.class_names import explain_other_number
from instar.teachers.teacher import Teacher

BATCH_SIZE = 256
"""Samples per batch. Larger batches do not fit into the cache of a CPU, and were slower."""

STREAM_COLUMNS = 10
"""Columns that a text is read in; few, because each starts without a hidden state."""

MAX_PREDICTION_BYTES = 1 << 30
"""Largest size of the logits of a split that are stored; above it, only NLL and predicted class of each sample are."""


@torch.no_grad()
def predict(teacher: Teacher, samples: Samples, device: torch.device | str = "cpu") -> Tensor:
    """Return logits (log-probabilities up to a constant) at temperature 1, float32 on the CPU.

    Returns:
        `[samples, classes]`, or `[samples, position, classes]` with 0 at positions that are not valid.
    """
    predicted = [(batch, _logits(teacher, batch)) for batch in _batches(samples, device)]
    return _by_sample(samples, predicted)


def measure_validation(teacher: Teacher, samples: Samples, device: torch.device | str = "cpu") -> dict[str, float]:
    """Return the metrics that the task records during training, on labelled samples."""
    task = samples.source.task
    found = judge(teacher, samples, device, keep=False, observe=task.predicts_numbers)
    return task.watch(found.scores, found.observed)


@dataclass(frozen=True, eq=False)
class Judged:
    """The scores of a model on some samples, and how closely it follows a teacher.

    Args:
        samples: predicted samples.
        scores: scores of the samples, or of their valid positions.
        teacher: the teacher's scores on the same examples; None: there is no teacher.
        divergences: KL(teacher || model) in nats, `[examples]`.
        observed: further tensors that the metrics of the task need, by name.
        predictions: stored predictions of each sample, by name.
    """

    samples: Samples
    scores: Scores
    teacher: Scores | None = None
    divergences: Tensor | None = None
    observed: Mapping[str, Tensor] = field(default_factory=dict)
    predictions: dict[str, Tensor] = field(default_factory=dict)

    def unpredicted(self, scores: Scores) -> str:
        """Return the samples whose prediction is NaN, or no probability at all, in words; empty if there are none."""
        bad = scores.confidence.isnan()
        if not bad.any():
            return ""
        # examples can be named if they are samples, and stand in the order of the samples
        by_sample = len(bad) == len(self.samples) and not self.samples.source.task.is_stream
        count = f"{int(bad.sum()):,} examples"
        found = name_samples(self.samples.ids[bad].tolist()) if by_sample else count
        return f"{found} of '{self.samples.source.name}'"

    def metrics(self) -> dict[str, Any]:
        """Return the metrics of the task; with a teacher, fidelity and gain too.

        Raises:
            DataError: when no sample has a label.
            NonFiniteError: when model or teacher predict NaN, so that their errors would mean nothing.
        """
        for who, scores in (("model", self.scores), ("teacher", self.teacher)):
            if scores is not None and (bad := self.unpredicted(scores)):
                raise NonFiniteError(f"the {who} predicts NaN, or no probability at all, for {bad}.")
        source = self.samples.source
        if not (self.scores.labels != UNLABELLED).any():
            raise DataError(f"no sample of '{source.name}' has a label and a loss, so there is nothing to evaluate.")
        found = source.task.measure(self.scores, source.classes, self.observed)
        if self.teacher is not None and self.divergences is not None:
            found |= source.task.compare(self.scores, self.teacher, self.divergences, self.observed)
        return found


@torch.no_grad()
def judge(
    model: Teacher,
    samples: Samples,
    device: torch.device | str = "cpu",
    *,
    teacher: Teacher | None = None,
    keep: bool = True,
    observe: bool = True,
) -> Judged:
    """Score the predictions of a model batch by batch, so that memory does not hold the logits of all samples.

    Args:
        model: a model, or several models as one.
        samples: samples to predict.
        device: device of model and teacher.
        teacher: teacher to compare the model with.
        keep: whether to return predictions too.
        observe: whether to return what the metrics of the task need beside the scores, and training does not record.

    Raises:
        MismatchError: when the model or its teacher has other classes than the data.
    """
    logits_fit = len(samples) * (samples.source.positions or 1) * samples.num_classes * 4 <= MAX_PREDICTION_BYTES
    scores, kept = [], []
    observed, of_teacher = defaultdict(list), []
    for batch in _batches(samples, device):
        logits = _logits(model, batch, samples, "model")
        # positions are examples like samples, and those without a loss do not count
        examples = batch.examples()
        valid = slice(None) if examples.mask is None else examples.mask
        flat, labels = logits.flatten(0, -2), examples.labels  # [examples, classes] and [examples]
        found = Scores.of(flat, labels)
        theirs = None if teacher is None else _logits(teacher, batch, samples, "teacher")
        judged = found.at(valid)
        scores.append(judged)
        seen = _observe(samples, batch, logits, flat[valid], judged.labels, theirs) if observe else {}
        for name, tensor in seen.items():
            observed[name].append(tensor)
        if keep and logits_fit:
            kept.append((batch, logits))
        elif keep:  # [batch, (position,) 2]
            kept.append((batch, torch.stack([found.nll, found.answers.float()], -1).view(*batch.labels.shape, 2)))
        if theirs is not None:
            theirs = theirs.flatten(0, -2)
            of_teacher.append((Scores.of(theirs, labels).at(valid), divergence(flat[valid], theirs[valid])))
    return Judged(
        samples,
        Scores.joined(scores),
        Scores.joined([theirs for theirs, _ in of_teacher]) if of_teacher else None,
        torch.cat([divergences for _, divergences in of_teacher]).cpu() if of_teacher else None,
        {name: torch.cat(parts).cpu() for name, parts in observed.items()},
        {"logits" if logits_fit else "nll_and_answer": _by_sample(samples, kept)} if keep else {},
    )


def provides_logits(teacher: Teacher, samples: Samples, device: torch.device | str = "cpu") -> bool:
    """Return whether a teacher has logits of all classes: not if its targets have some, or another temperature."""
    try:
        _logits(teacher, next(_batches(samples, device)).part(0, 2))  # two samples tell as much as all
    except MismatchError:
        return False
    return True


def choose_batch_size(samples: Samples, most: int = BATCH_SIZE) -> int:
    """Return the batch size for predictions without training, at most `most`."""
    return min(STREAM_COLUMNS, most) if samples.source.task.is_stream else most


def _batches(samples: Samples, device: torch.device | str) -> Iterator[Batch]:
    return Loader(samples, choose_batch_size(samples), seed=0, device=device).in_order()


def _logits(model: Teacher, batch: Batch, samples: Samples | None = None, who: str = "model") -> Tensor:
    logits = model.targets(batch).logits().float()  # a teacher may compute in bfloat16
    if samples is not None and logits.shape[-1] != samples.num_classes:
        names, wanted = samples.source.classes, samples.num_classes
        raise MismatchError(explain_other_number(f"the {who}", model.classes, logits.shape[-1], names, wanted))
    return logits


def _observe(
    samples: Samples, batch: Batch, logits: Tensor, valid: Tensor, labels: Tensor, teacher: Tensor | None
) -> dict[str, Tensor]:
    """Return what the metrics of the task need of a batch; `valid` has the logits of its examples `[examples, ...]`."""
    task, known = samples.source.task, labels != UNLABELLED
    of_batch = _labels_and_lengths(batch, samples.source)
    if task.predicts_numbers:
        theirs = None if teacher is None else teacher[:, 0]
        return task.observe_numbers(logits[:, 0], batch.numbers, of_batch[0], theirs)
    of_samples = task.observe(logits, *of_batch)
    return of_samples | task.observe_examples(valid[known], labels[known])


def _labels_and_lengths(batch: Batch, source: Source) -> tuple[Tensor, Tensor]:
    """Return the labels, `UNLABELLED` in samples without any loss, and how many positions of each sample are valid."""
    labels = batch.labels
    if source.mask is not None and batch.mask is not None:
        # a metric of whole samples, such as the word error, counts a sample with any position that has a loss
        has_loss = batch.mask.reshape(len(batch), -1).any(1).view(-1, *[1] * (labels.dim() - 1))
        labels = torch.where(has_loss, labels, UNLABELLED)
    if source.lengths is not None:
        return labels, source.lengths[batch.host_ids]
    return labels, torch.full((len(batch),), math.prod(labels.shape[1:]))


def _by_sample(samples: Samples, predicted: list[tuple[Batch, Tensor]]) -> Tensor:
    """Return the predictions of batches in the order of the samples, float32 on the CPU, padded with 0."""
    positions = samples.source.positions
    if positions is None and not samples.source.task.is_stream:  # one transfer, because each makes an accelerator wait
        return torch.cat([found for _, found in predicted]).cpu()
    # a stream is read in columns, so its batches are out of order, and batches are cut to their longest sample
    whole = torch.zeros(len(samples), positions or 1, predicted[0][1].shape[-1])
    for batch, found in predicted:
        valid = found if batch.mask is None else torch.where(batch.mask[..., None], found, 0.0)
        whole[samples.places(torch.tensor(batch.host_ids)), : found.shape[1]] = valid.cpu()
    return whole
