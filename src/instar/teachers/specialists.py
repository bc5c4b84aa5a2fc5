"""A generalist and its specialists as one teacher."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from instar.compute.execution import Execution
from instar.content import hash_repr
from instar.data.batch import Batch
from instar.errors import ConfigError, MismatchError
from instar.targets.targets import DenseTargets, by_example
from instar.teachers.combining.combination import Divergence, combine_opinions
from instar.teachers.combining.opinion import Opinion
from instar.teachers.conversion import as_teacher
from instar.teachers.teacher import Teacher


@dataclass(frozen=True, eq=False)
class Specialist:
    """A teacher that is queried when one of its classes is likely.

    Args:
        teacher: teacher of `classes` in this order and, last, all others as one class; or of all classes.
        classes: indices of its special classes among those of the generalist.
        dustbin: True if all other classes are one class of the teacher; False if it predicts all classes.
        weight: weight of its divergence, above 0.
    """

    teacher: Teacher
    classes: tuple[int, ...]
    dustbin: bool = True
    weight: float = 1.0


class Specialists(Teacher):
    """The q that is nearest to the predictions of a generalist and of its active specialists.

    A specialist is active if it has one of the n classes that the generalist finds likeliest. q minimises, at
    temperature 1, with q summed over the dustbin of a specialist before the two are compared,

        w KL(p^g || q) + sum over active m of w_m KL(p^m || q)

    If no specialist is active, q is the generalist's prediction. Only active specialists are queried.

    Source: Hinton et al. 2015, section 5.4, equation 5; there n = 1 and all weights are 1.

    Args:
        generalist: a teacher, torch module or run folder.
        specialists: the specialists.
        top: n, at least 1.
        weight: w, above 0.
        divergence: "forward", KL(p || q), or "reverse", KL(q || p): without dustbins, the arithmetic mean or the
            normalised geometric mean.
        trust: allow run folders whose model is a class outside `instar.models`.

    Raises:
        ConfigError: when a number is out of its range.

    >>> from torch import nn
    >>> from instar.data import Loader, load_data
    >>> from instar.teachers import Module
    >>> network = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    >>> batch = Loader(load_data("digits").train, 8, seed=0).batch(0)
    >>> alone = Specialists(network, [])
    >>> torch.equal(alone.targets(batch).log_probs(1.0), Module(network).targets(batch).log_probs(1.0))
    True
    """

    def __init__(
        self,
        generalist: Any,
        specialists: Sequence[Specialist],
        *,
        top: int = 1,
        weight: float = 1.0,
        divergence: Divergence = "forward",
        trust: bool = False,
    ) -> None:
        if top < 1:
            raise ConfigError(f"Specialists(top) must be at least 1, got {top}.")
        if divergence not in ("forward", "reverse"):
            raise ConfigError(f"Specialists(divergence) must be 'forward' or 'reverse', got {divergence!r}.")
        for given in (weight, *(specialist.weight for specialist in specialists)):
            if not 0 < given < float("inf"):
                raise ConfigError(f"the weights of a generalist and its specialists must be above 0, got {given}.")
        self.generalist: Teacher = as_teacher(generalist, trust=trust)
        self.classes = self.generalist.classes
        self.specialists = tuple(specialists)
        self.members = [self.generalist, *(specialist.teacher for specialist in self.specialists)]
        self.top, self.weight, self.divergence = top, weight, divergence

    without_layers = "has those of several networks; give its generalist as the teacher"

    def targets(self, batch: Batch) -> DenseTargets:
        """Return log q; where no specialist is active, the generalist's logits to the last bit.

        Raises:
            MismatchError: when a specialist does not predict its classes, or has one that the generalist lacks.
        """
        predicted = self.generalist.targets(batch)
        # positions are examples of their own: another specialist may be active for the next word
        logits, log_p = predicted.logits(), by_example(predicted.log_probs(1.0))
        likeliest = log_p.topk(min(self.top, log_p.shape[1]), 1).indices  # [examples, n]
        opinions = [self._opinion(number, batch, log_p, likeliest) for number in range(len(self.specialists))]
        active = [opinion for opinion in opinions if len(opinion.rows)]
        if not active:
            return DenseTargets(logits)
        rows = torch.cat([opinion.rows for opinion in active]).unique()
        # only these rows: the others keep the generalist's logits, and log-probabilities have other bits
        values = by_example(logits.clone())
        values[rows] = combine_opinions(log_p, active, self.divergence, self.weight)[rows].to(values)
        return DenseTargets(values.view(logits.shape))

    def _opinion(self, number: int, batch: Batch, log_p: Tensor, likeliest: Tensor) -> Opinion:
        """Return the prediction of a specialist for the examples for which it is active."""
        specialist, all_classes = self.specialists[number], log_p.shape[1]
        if max(specialist.classes) >= all_classes:
            raise MismatchError(
                f"specialist {number} has class {max(specialist.classes)}, and the generalist {all_classes} classes."
            )
        classes = torch.tensor(specialist.classes, device=log_p.device)
        rows = torch.isin(likeliest, classes).any(1).nonzero()[:, 0]  # of its examples
        known = classes if specialist.dustbin else torch.arange(all_classes, device=log_p.device)
        width = len(known) + specialist.dustbin
        if not len(rows):
            return Opinion(rows, log_p.new_empty(0, width), known, specialist.weight)
        # a sample is queried whole, once, if any of its positions is active: a network reads all of them
        positions = len(log_p) // len(batch)
        samples, place = (rows // positions).unique(return_inverse=True)
        found = by_example(specialist.teacher.targets(batch.rows(samples)).log_probs(1.0))
        if found.shape[1] != width:
            raise MismatchError(
                f"specialist {number} predicts {found.shape[1]} classes, expected {width}: "
                f"{len(specialist.classes)} special ones and one dustbin, or all {all_classes}."
            )
        return Opinion(rows, found[place * positions + rows % positions], known, specialist.weight)

    def fingerprint(self) -> str:
        """Return a hash of the generalist, the specialists with their classes, and how they are combined."""
        parts = [(s.teacher.fingerprint(), s.classes, s.dustbin, s.weight) for s in self.specialists]
        return hash_repr([self.generalist.fingerprint(), self.top, self.weight, self.divergence, parts])

    def prepare(self, execution: Execution) -> None:
        """Prepare the generalist and all specialists; only the generalist is compiled."""
        self.generalist.prepare(execution)
        # a batch of a specialist has as many samples as it is active for, which is no size that recurs
        for specialist in self.specialists:
            specialist.teacher.prepare(replace(execution, compiled_sizes=()))

    def settings(self) -> dict[str, Any]:
        """Return the settings that the generalist needs."""
        return self.generalist.settings()
