"""Cross-entropy with the true labels, in which classes have weights."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from instar.checks import checked
from instar.data.batch import Batch
from instar.data.samples import Samples
from instar.errors import ConfigError, DataError, MismatchError, nearest
from instar.objectives.aims import Aim
from instar.objectives.hard_labels import HardLabels
from instar.objectives.objective import Objective, Term
from instar.objectives.standardised import Standardised
from instar.objectives.values import Need, Value
from instar.targets.targets import Targets

BALANCED = "balanced"
"""Weights that give each class the same part of the loss."""


@checked
@dataclass(frozen=True)
class WeightedLabels(Term):
    """l = -w_y log q_y with q = softmax(z) and y the label; w_c = v_c / mean v, over the labelled training samples.

    In nats per example, at temperature 1. v_c is the weight that is given for class c; "balanced" is v_c = 1 / n_c with
    n_c its number of training samples, so w_c = N / (C n_c), as in scikit-learn. The weights have mean 1 over the
    training samples, and not over each batch: so the loss is as large as that of `HardLabels`, and depends neither on
    micro-batches nor on the other samples of a batch. The loss of an unlabelled example is 0.

    Source: King and Zeng 2001, "Logistic regression in rare events data", section 4.2.

    Args:
        class_weights: "balanced", or a weight above 0 by the name of the class; classes that are not named have 1.

    Raises:
        ConfigError: when a weight is not above 0 and finite.

    The run fits it to the classes of its training samples; `fit_to_classes` does so in a loop of your own.

    >>> rare = WeightedLabels().fit_to_classes(torch.tensor([3, 1]), ("no", "yes"))
    >>> rare(torch.zeros(3, 2), Batch.of_labels(torch.tensor([0, 1, -1])), None).loss
    tensor([0.4621, 1.3863, 0.0000])
    """

    class_weights: str | dict[str, float] = field(default=BALANCED, hash=False)
    fitted: tuple[float, ...] = field(default=(), repr=False, compare=False)

    needs = frozenset({Need.LABELS})
    name = "weighted_labels"
    is_linear_in_labels = True

    def __post_init__(self) -> None:
        given = self.class_weights
        if isinstance(given, Mapping):
            wrong = {name: value for name, value in given.items() if not _is_positive(value)}
            if wrong or not given:
                found = "none" if not given else "{1!r} for '{0}'".format(*next(iter(wrong.items())))
                raise ConfigError(f"WeightedLabels(class_weights) must be numbers above 0 by class, got {found}.")
        elif given != BALANCED:
            raise ConfigError(
                f"WeightedLabels(class_weights) must be '{BALANCED}', or weights by class such as {{'yes': 5}}, got "
                f"{given!r}."
            )

    def __call__(self, logits: Tensor, batch: Batch, targets: Targets | None) -> Value:
        """Return the weighted cross-entropy per example."""
        if not self.fitted:
            raise ConfigError("WeightedLabels has no weights yet; call fit_to_classes with the classes of the data.")
        weights = torch.tensor(self.fitted, dtype=logits.dtype, device=logits.device)
        # an unlabelled example has the weight of the first class, and a loss of 0
        return Value(HardLabels()(logits, batch, targets).loss * weights[batch.labels.clamp(min=0)])

    def aim(self, batch: Batch, targets: Targets | None, classes: int) -> Aim:
        """Return the labels as probabilities, with the weights of their classes."""
        of_all = HardLabels().aim(batch, targets, classes)
        weights = torch.tensor(self.fitted, dtype=torch.float64, device=batch.labels.device)[batch.labels.clamp(min=0)]
        assert of_all.weights is not None, "HardLabels has them, because unlabelled examples have none"
        return replace(of_all, weights=of_all.weights * weights)

    def fit_to_classes(self, counts: Tensor, classes: Sequence[str]) -> WeightedLabels:
        """Return the same term with the weights of the classes of some training samples.

        Args:
            counts: number of labelled training samples, or positions, of each class, `[classes]`.
            classes: names of the classes.

        Raises:
            DataError: when weights are given for a class that the data do not have.
        """
        numbers = counts.double()
        if isinstance(self.class_weights, Mapping):
            given = {str(name): float(value) for name, value in self.class_weights.items()}
            if unknown := next((name for name in given if name not in classes), None):
                raise DataError(f"class '{unknown}' of WeightedLabels is not in the data; {nearest(unknown, classes)}")
            values = torch.tensor([given.get(name, 1.0) for name in classes], dtype=torch.float64)
        else:  # a class without samples has no loss, whatever its weight
            values = 1 / numbers.clamp(min=1)
        mean = (values * numbers).sum() / numbers.sum().clamp(min=1)
        return replace(self, fitted=tuple((values / mean.clamp(min=1e-300)).tolist()))


def fit_to_samples(objective: Objective, samples: Samples) -> Objective:
    """Return an objective whose terms have the weights of the classes of the training samples.

    Args:
        objective: any objective; without such terms it is returned as it is.
        samples: training samples.

    Raises:
        MismatchError: when epochs of the samples are balanced already, which would count rare classes twice.
        DataError: when weights are given for a class that the data do not have.
    """
    if not any(map(_weighted, (term for _, term in objective.parts))):
        return objective
    if samples.is_balanced:
        raise MismatchError(
            "WeightedLabels and data.balanced both make up for rare classes, which would then count twice; leave one "
            "of the two out."
        )
    counts, classes = samples.count_labels()[:-1], samples.source.classes
    return Objective(tuple((weight, _fit(term, counts, classes)) for weight, term in objective.parts))


def _weighted(term: Term) -> bool:
    return isinstance(term, WeightedLabels) or (isinstance(term, Standardised) and _weighted(term.term))


def _fit(term: Term, counts: Tensor, classes: Sequence[str]) -> Term:
    if isinstance(term, Standardised):
        return replace(term, term=_fit(term.term, counts, classes))
    return term.fit_to_classes(counts, classes) if isinstance(term, WeightedLabels) else term


def _is_positive(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < math.inf
