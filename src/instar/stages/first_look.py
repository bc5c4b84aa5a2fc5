"""The first look at a teacher: its error on a few samples beside that of chance, before anything is learnt from it."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from instar.analysis import wilson_interval
from instar.data import UNLABELLED, Batch, Data, Identity, Loader, Samples
from instar.errors import MismatchError, NonFiniteError, say
from instar.objectives import Objective
from instar.targets import DenseTargets, ProjectedTargets, SparseTargets, Targets
from instar.targets.targets import by_example
from instar.teachers import Teacher
from instar.training.finite import name_samples

MOST_SAMPLES, MOST_POSITIONS, AT_ONCE = 256, 1024, 64
"""Samples that a teacher is queried about, of those with positions about so many of these, and samples at a time."""

SMALLEST_SKILL = 0.1
"""Share of the errors of chance that a teacher must avoid, so that it is not called near chance."""

PROBABILITIES = (
    "the teacher's outputs are at least 0 and sum to 1: they look like probabilities, and are read as logits. "
    "Return their logarithms"
)
NEAR_CHANCE = (
    "the teacher is hardly better than chance on these samples; check how it expects its inputs to be normalised, and "
    "the order of its classes"
)


@dataclass(frozen=True)
class FirstLook:
    """What a teacher is worth on a few samples.

    Args:
        split: "validation", or "train" where no labelled validation sample can be asked about; none: no labels.
        examples: how many were counted.
        errors: how many of them it gets wrong.
        chance: the error of who always names the commonest class.
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
        """Say it on stderr."""
        if self.examples and self.chance is not None:
            share, where = self.errors / self.examples, "training" if self.split == "train" else "validation"
            known = f"{share:.1%} on {self.examples} {where} examples; chance: {self.chance:.1%}"
            say(f"instar: the teacher's error is {known}.")
        else:
            say("instar: the teacher's error is not known: no labels can be compared with its answers.")
        for sentence in self.warnings:
            say(f"instar: warning: {sentence}.")


def look_at(teacher: Teacher, data: Data, loader: Loader, objective: Objective | None = None) -> FirstLook:
    """Query a teacher about at most a few hundred samples, and change nothing: no random state and no hidden one.

    Args:
        teacher: on the device of the loader.
        data: whose labelled validation samples are asked about, or where there are none, training samples.
        loader: of the training samples; its views are shown where the teacher does not know samples as they are.
        objective: is tried on the answers; none: they are kept, and whoever keeps them names those that are NaN.

    Raises:
        NonFiniteError: when an answer is NaN, or the objective is not finite on the answers; names the samples.
    """
    split, samples = _labelled(teacher, data)
    few = _few(samples if samples is not None else data.train)
    as_they_are = teacher.knows(few)
    shown = Loader(
        few,
        min(AT_ONCE, loader.batch_size) if few.source.task.is_stream else AT_ONCE,
        seed=loader.seed,
        views=Identity() if as_they_are else loader.views,
        num_views=loader.num_views,
        view_seed=loader.origin.seed,
        device=loader.device,
    )
    examples = errors = 0
    suspects: list[bool] = []
    with _unchanged(teacher, loader.device), torch.no_grad():
        for batch in shown.in_order():
            answers = teacher.targets(batch)
            if objective is not None:
                _refuse_nan(answers, batch, objective)
            found = _wrong(answers, batch)
            examples, errors = examples + len(found), errors + int(found.sum())
            if not suspects:  # the first batch; whoever is made of others is asked through each of them
                suspects = [
                    _is_probabilities(one.targets(batch), batch) for one in _leaves(teacher) if one is not teacher
                ]
                suspects = suspects or [_is_probabilities(answers, batch)]
        warnings = [PROBABILITIES] if any(suspects) else []
    if not examples or samples is None:
        return FirstLook(warnings=tuple(warnings))
    chance = samples.source.task.chance(samples.labels[samples.labels != UNLABELLED])
    is_near = wilson_interval(errors, examples)[1] >= chance or errors / examples > (1 - SMALLEST_SKILL) * chance
    if is_near and chance > 0:
        warnings.append(NEAR_CHANCE)
    return FirstLook(split, examples, errors, chance, tuple(warnings))


def _labelled(teacher: Teacher, data: Data) -> tuple[str | None, Samples | None]:
    """Return labelled samples of validation or train, and which of them."""
    for split, samples in (("validation", data.held_out), ("train", data.train)):
        if samples is None:
            continue
        known = (samples.labels != UNLABELLED).reshape(len(samples), -1).any(1)
        if known.any() and (split == "train" or teacher.knows(samples)):
            return split, samples if known.all() or samples.source.task.is_stream else samples.select(known)
    return None, None


def _few(samples: Samples) -> Samples:
    """Return some samples; a generator of their own draws them."""
    positions = samples.source.positions
    most = MOST_SAMPLES if positions is None else min(MOST_SAMPLES, max(4, math.ceil(MOST_POSITIONS / positions)))
    return samples.subset(min(most, len(samples)), seed=0)


def _wrong(answers: Targets, batch: Batch) -> Tensor:
    """Return whether the likeliest class is not the label, of labelled examples; none where that cannot be told."""
    if isinstance(answers, SparseTargets):
        likeliest = answers.ids[..., 0]
    elif isinstance(answers, DenseTargets):
        likeliest = answers.values.argmax(-1)
    else:
        likeliest = answers.logits().argmax(-1)
    known = batch.labels != UNLABELLED
    if batch.mask is not None:
        known = known & batch.mask
    if answers.is_estimate:  # of classes that were drawn, none is the likeliest
        known = torch.zeros_like(known)
    return (likeliest != batch.labels)[known]


def _refuse_nan(answers: Targets, batch: Batch, objective: Objective) -> None:
    """Refuse answers that are NaN, and those that a term cannot be computed from."""
    try:
        bad = ~answers.confidence().isfinite()
    except MismatchError:  # of another temperature, or of classes that were drawn
        return
    bad = bad if batch.mask is None else bad & batch.mask
    if bad.any():
        ids = batch.ids[bad.reshape(len(batch), -1).any(1)].tolist()
        raise NonFiniteError(
            f"the teacher predicts NaN, or no probability at all, for {name_samples(ids)}; check the teacher."
        )
    if isinstance(answers, SparseTargets | ProjectedTargets):
        return
    try:
        least = answers.logits().amin()
        if bool(least == -torch.inf):
            _refuse_infinite(objective, answers, batch)
    except MismatchError:
        return


def _refuse_infinite(objective: Objective, answers: Targets, batch: Batch) -> None:
    """Refuse terms that are not finite for answers of -inf, as those are that compare logits."""
    shape = (*batch.labels.shape, answers.num_classes)
    _, sums = objective(torch.zeros(shape, device=batch.labels.device), batch, answers)
    for name, value in sums.items():
        if name != "loss" and not value.isfinite():
            raise NonFiniteError(
                f"the term '{name}' is not finite, because the teacher's logits are -inf for some classes; choose a "
                "term that compares probabilities, such as SoftTargets."
            )


def _is_probabilities(answers: Targets, batch: Batch) -> bool:
    """Whether what is read as logits is at least 0 and sums to 1 for each example."""
    if not isinstance(answers, DenseTargets | ProjectedTargets) or not answers.holds_at_any_temperature:
        return False
    values = by_example(answers.logits())
    values = values if batch.mask is None else values[batch.mask.flatten()]
    return bool((values >= 0).all() and ((values.sum(1) - 1).abs() < 1e-3).all())


def _leaves(teacher: Teacher) -> Iterator[Teacher]:
    """Yield the teachers that are not made of others."""
    for member in teacher.members:
        yield from _leaves(member)
    if not teacher.members:
        yield teacher


@contextmanager
def _unchanged(teacher: Teacher, device: torch.device) -> Iterator[None]:
    """Put random states back afterwards, and let no hidden state be carried over."""
    devices = [device] if device.type == "cuda" else []
    of_numpy, of_python = np.random.get_state(), random.getstate()
    try:
        with torch.random.fork_rng(devices):
            yield
    finally:
        np.random.set_state(of_numpy)
        random.setstate(of_python)
        for carried in teacher.carried():
            carried.load({}, device)
