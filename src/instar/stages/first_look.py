"""The first look at a teacher: its error on a few samples beside chance, before a student learns from it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from instar.analysis.scores import UNLABELLED
from instar.analysis.significance import wilson_interval
from instar.data.batch import Batch
from instar.data.dataset import Data
from instar.data.loader import Loader
from instar.data.samples import Samples
from instar.data.views.identity import Identity
from instar.errors import MismatchError, NonFiniteError, name_samples, say
from instar.objectives.objective import Objective
from instar.stages.first_look_at_numbers import NumbersLook, look_at_numbers
from instar.stages.look_samples import LOOK_BATCH_SIZE, choose_labelled, draw_few, keep_unchanged
from instar.stages.teacher_readers import find_reader_faults
from instar.targets.projected import ProjectedTargets
from instar.targets.sparse import SparseTargets
from instar.targets.targets import DenseTargets, Targets, by_example
from instar.teachers.classifier import Classifier
from instar.teachers.teacher import Teacher

MIN_SKILL = 0.1
"""Share of the errors of chance that a teacher must avoid, or it is near chance."""

PROBABILITIES = (
    "the teacher's outputs are never negative, and are at most 1 or sum to one number for all samples: they look like "
    "probabilities, and are read as logits. Return logits, or logarithms of probabilities"
)
NEAR_CHANCE = (
    "the teacher is hardly better than chance on these samples; check how it reads its inputs, such as their scale, "
    "and the order of its classes"
)
MANY_CLASSES = 7
"""With so many classes, less than one in a hundred untrained networks has no negative logit: 1 / 2^7."""
TOO_FEW = "these are too few samples to tell whether the teacher is better than chance"
PIXEL_ORDER = (
    ". The classifier gets the values of each image flattened in the order {order}; it may have been fitted to another "
    "order"
)


@dataclass(frozen=True)
class FirstLook:
    """The error of a teacher on a few samples.

    Args:
        split: "validation", or "train" where the teacher can predict no labelled validation sample; None: no labels.
        examples: number of examples.
        errors: number of wrong predictions.
        chance: the error of always predicting the commonest class.
        warnings: sentences on what seems wrong.
    """

    split: str | None = None
    examples: int = 0
    errors: int = 0
    chance: float | None = None
    warnings: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return the values for JSON; `error` and `chance` are shares."""
        error = self.errors / self.examples if self.examples else None
        counts = {"split": self.split, "examples": self.examples, "errors": self.errors if self.examples else None}
        return {**counts, "error": error, "chance": self.chance, "warnings": list(self.warnings)}

    def tell(self) -> None:
        """Print it on stderr."""
        if self.examples and self.chance is not None:
            share, where = self.errors / self.examples, "training" if self.split == "train" else "validation"
            known = f"{share:.1%} on {self.examples} {where} examples; chance: {self.chance:.1%}"
            say(f"instar: the teacher's error is {known}.")
        else:
            say("instar: the teacher's error is not known: no labels can be compared with its answers.")
        for sentence in self.warnings:
            say(f"instar: warning: {sentence}.")


Look = FirstLook | NumbersLook
"""What a first look has found, for classes or numbers."""


def look_at(teacher: Teacher, data: Data, loader: Loader, objective: Objective | None = None) -> Look:
    """Query a teacher about a few hundred samples at most; random and hidden states stay as they are.

    Args:
        teacher: on the device of the loader.
        data: its labelled validation samples are used; without any, its training samples.
        loader: loader of the training samples; its views are used if the teacher does not know samples without views.
        objective: objective to try on the targets; None for targets of a store, where labelling names those that are
            NaN.

    Raises:
        NonFiniteError: when a target is NaN, or the objective is not finite for the targets; names the samples.
    """
    if data.train.source.task.predicts_numbers:
        return look_at_numbers(teacher, data, loader)
    split, samples = choose_labelled(teacher, data)
    few = draw_few(samples if samples is not None else data.train)
    as_they_are = teacher.knows(few)
    shown = Loader(
        few,
        min(LOOK_BATCH_SIZE, loader.batch_size) if few.source.task.is_stream else LOOK_BATCH_SIZE,
        seed=loader.seed,
        views=Identity() if as_they_are else loader.views,
        num_views=loader.num_views,
        view_seed=loader.origin.seed,
        device=loader.device,
        partners=loader.origin.partners,
    )
    examples = errors = 0
    suspects: list[bool] = []
    with keep_unchanged(teacher, loader.device), torch.no_grad():
        for batch in shown.in_order():
            targets = teacher.targets(batch)
            if objective is not None:
                _refuse_nan(targets, batch, objective)
            found = _wrong(targets, batch)
            examples, errors = examples + len(found), errors + int(found.sum())
            if not suspects:  # in the first batch, each member of an ensemble by itself
                suspects = [
                    _is_probabilities(one.targets(batch), batch) for one in _leaves(teacher) if one is not teacher
                ]
                suspects = suspects or [_is_probabilities(targets, batch)]
        warnings = [*find_reader_faults(teacher, data), *([PROBABILITIES] if any(suspects) else [])]
    if not examples or samples is None:
        return FirstLook(warnings=tuple(warnings))
    chance = samples.source.task.chance(samples.count_labels()[:-1])
    if chance > 0:  # where all labels are one class, chance makes no errors
        if errors / examples > (1 - MIN_SKILL) * chance:  # better by too little to teach
            warnings.append(NEAR_CHANCE + _pixel_order(teacher, samples))
        elif wilson_interval(errors, examples)[1] >= chance:
            warnings.append(TOO_FEW)
    return FirstLook(split, examples, errors, chance, tuple(warnings))


def _pixel_order(teacher: Teacher, samples: Samples) -> str:
    """Return a sentence about the order of the pixels that classifiers of colour images get; otherwise nothing."""
    # grey images, and rows of numbers, have one order only
    has_classifier = any(isinstance(one, Classifier) for one in _leaves(teacher))
    if not has_classifier or len(samples.input_shape) != 3 or samples.input_shape[0] == 1:
        return ""
    is_given_last = samples.source.settings.get("layout") == "HWC"
    return PIXEL_ORDER.format(order="height, width, channels" if is_given_last else "channels, height, width")


def _wrong(targets: Targets, batch: Batch) -> Tensor:
    """Return for labelled examples whether the likeliest class is wrong; no example where that cannot be told."""
    if isinstance(targets, SparseTargets):
        likeliest = targets.ids[..., 0]  # the likeliest is stored first
    elif isinstance(targets, DenseTargets):
        likeliest = targets.values.argmax(-1)
    else:
        likeliest = targets.logits().argmax(-1)
    if likeliest.shape != batch.labels.shape:
        expected, found = ([*shape, "classes"] for shape in (batch.labels.shape, likeliest.shape))
        raise MismatchError(f"the teacher must return logits of shape {expected}, got {found}.".replace("'", ""))
    known = batch.labels != UNLABELLED
    if batch.mixture is not None:  # of two labels, neither is the right one
        known = torch.zeros_like(known)
    if batch.mask is not None:
        known = known & batch.mask
    if targets.is_estimate:  # of classes that were drawn, none is the likeliest
        known = torch.zeros_like(known)
    return (likeliest != batch.labels)[known]


def _refuse_nan(targets: Targets, batch: Batch, objective: Objective) -> None:
    """Refuse targets that are NaN, and targets for which a term cannot be computed."""
    try:
        bad = ~targets.confidence().isfinite()
    except MismatchError:  # of another temperature, or of classes that were drawn
        return
    bad = bad if batch.mask is None else bad & batch.mask  # padding may have any prediction
    if bad.any():
        ids = batch.ids[bad.reshape(len(batch), -1).any(1)].tolist()
        raise NonFiniteError(
            f"the teacher predicts NaN, or no probability at all, for {name_samples(ids)}; check the teacher."
        )
    # sparse targets have no logits of all classes, and those of projected ones would take much memory
    if isinstance(targets, SparseTargets | ProjectedTargets):
        return
    try:
        least = targets.logits().amin()
        if bool(least == -torch.inf):  # a class of probability 0, which terms that compare logits cannot take
            _refuse_infinite(objective, targets, batch)
    except MismatchError:
        return


def _refuse_infinite(objective: Objective, targets: Targets, batch: Batch) -> None:
    """Refuse terms that are not finite for logits of -inf, such as those that compare logits."""
    shape = (*batch.labels.shape, targets.num_classes)
    _, sums = objective(torch.zeros(shape, device=batch.labels.device), batch, targets)
    for name, value in sums.items():
        if name != "loss" and not value.isfinite():
            raise NonFiniteError(
                f"the term '{name}' is not finite, because the teacher's logits are -inf for some classes; choose a "
                "term that compares probabilities, such as SoftTargets."
            )


def _is_probabilities(targets: Targets, batch: Batch) -> bool:
    if not isinstance(targets, DenseTargets | ProjectedTargets) or not targets.holds_at_any_temperature:
        return False
    values = by_example(targets.logits())
    return are_probabilities(values if batch.mask is None else values[batch.mask.flatten()])


def are_probabilities(values: Tensor) -> bool:
    """Return whether what is read as logits, `[examples, classes]`, looks like probabilities; see `PROBABILITIES`.

    >>> are_probabilities(torch.eye(3)), are_probabilities(torch.eye(3) - 1)
    (True, False)
    """
    if len(values) == 0 or values.amin() < 0 or values.amin() == values.amax():  # a new network may return only zeros
        return False
    sums = values.double().sum(1)
    if (sums - 1).abs().max() < 1e-4:
        return True
    # at most 1: sigmoids too; of one sum: rounded, clipped or in percent
    scale = 1.0 if values.amax() <= 1 else float(sums.mean())
    has_one_sum = len(sums) > 1 and bool((sums - scale).abs().max() < 1e-3 * scale)
    # the first logits of a network are small and nearly the same for all examples; those of few classes, none of them
    # negative, are then no rare accident
    spread = float((values.amax(0) - values.amin(0)).max())
    is_rare = values.shape[1] >= MANY_CLASSES or spread >= scale / 2
    return (scale == 1 or has_one_sum) and is_rare


def _leaves(teacher: Teacher) -> Iterator[Teacher]:
    """Yield the teachers that have no members."""
    for member in teacher.members:
        yield from _leaves(member)
    if not teacher.members:
        yield teacher
