"""Forms that a distillation loss may have, and which of them a gradient is made of.

With the logits z of the student and v of the teacher, q = softmax(z / T) and p = softmax(v / T), the definition is

    L = T^2 (1 / n) sum over examples sum over classes p (log p - log q)

(Hinton, Vinyals and Dean 2015, section 2). Losses of other code are other functions of the same numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

FIT_TOLERANCE = 1e-4
"""Relative size of what a form may leave of a gradient: float32 leaves 1e-6, and other forms leave more than 1e-2."""

Form = Callable[[Tensor, Tensor, Tensor, float], Tensor]
"""Loss of each example of (student logits, teacher logits, labels, temperature), without T^2."""


def forward_divergence(z: Tensor, v: Tensor, y: Tensor, temperature: float) -> Tensor:
    """Return KL(p || q) of each example."""
    p, log_q = (v / temperature).softmax(-1), (z / temperature).log_softmax(-1)
    return (p * ((v / temperature).log_softmax(-1) - log_q)).sum(-1)


def _reverse_divergence(z: Tensor, v: Tensor, y: Tensor, temperature: float) -> Tensor:
    return forward_divergence(v, z, y, temperature)


def _jensen_shannon(z: Tensor, v: Tensor, y: Tensor, temperature: float) -> Tensor:
    q, p = (z / temperature).softmax(-1), (v / temperature).softmax(-1)
    log_mean = ((p + q) / 2).log()
    return (p * (p.log() - log_mean) + q * (q.log() - log_mean)).sum(-1) / 2


def _squared_logits(z: Tensor, v: Tensor, y: Tensor, temperature: float) -> Tensor:
    return (z - v).square().sum(-1) / 2


def _squared_probabilities(z: Tensor, v: Tensor, y: Tensor, temperature: float) -> Tensor:
    return ((z / temperature).softmax(-1) - (v / temperature).softmax(-1)).square().sum(-1)


def _student_undivided(z: Tensor, v: Tensor, y: Tensor, temperature: float) -> Tensor:
    return -((v / temperature).softmax(-1) * z.log_softmax(-1)).sum(-1)


def _teacher_undivided(z: Tensor, v: Tensor, y: Tensor, temperature: float) -> Tensor:
    return -(v.softmax(-1) * (z / temperature).log_softmax(-1)).sum(-1)


def _without_logarithm(z: Tensor, v: Tensor, y: Tensor, temperature: float) -> Tensor:
    return -((v / temperature).softmax(-1) * (z / temperature).softmax(-1)).sum(-1)


def _standardised(z: Tensor, v: Tensor, y: Tensor, temperature: float) -> Tensor:
    z, v = ((x - x.mean(-1, keepdim=True)) / x.std(-1, keepdim=True) for x in (z, v))
    return forward_divergence(z, v, y, temperature)


def _likeliest_class(z: Tensor, v: Tensor, y: Tensor, temperature: float) -> Tensor:
    return _labels(z, v, v.argmax(-1), temperature)


def _labels(z: Tensor, v: Tensor, y: Tensor, temperature: float) -> Tensor:
    return F.cross_entropy(z.flatten(0, -2), y.flatten(), reduction="none").view(y.shape)


def _labels_divided(z: Tensor, v: Tensor, y: Tensor, temperature: float) -> Tensor:
    return _labels(z / temperature, v, y, temperature)


DEFINITION = "KL(teacher || student)"
DIVIDED_LABELS = "cross-entropy with labels, of logits divided by T"

SOFT_FORMS: Mapping[str, Form] = {
    DEFINITION: forward_divergence,
    "KL(student || teacher)": _reverse_divergence,
    "Jensen-Shannon divergence": _jensen_shannon,
    "squared difference of logits, halved": _squared_logits,
    "squared difference of probabilities": _squared_probabilities,
    "cross-entropy with student logits that are not divided by T": _student_undivided,
    "cross-entropy with teacher logits that are not divided by T": _teacher_undivided,
    "KL of probabilities where their logarithm belongs": _without_logarithm,
    "KL(teacher || student) of standardised logits": _standardised,
    "cross-entropy with the teacher's likeliest class": _likeliest_class,
}
"""What may follow the teacher."""

LABEL_FORMS: Mapping[str, Form] = {
    "cross-entropy with labels": _labels,
    DIVIDED_LABELS: _labels_divided,
}
"""What may follow the labels."""


@dataclass(frozen=True)
class Fit:
    """A gradient as a sum of those of known forms, each a sum over examples.

    Args:
        soft: name of the form that follows the teacher, if any.
        labels: name of the form that follows the labels, if any.
        temperature: temperature at which the forms fit.
        weight: factor of `soft`.
        label_weight: factor of `labels`.
    """

    soft: str | None
    labels: str | None
    temperature: float
    weight: float
    label_weight: float

    @property
    def is_definition(self) -> bool:
        """Whether the form that follows the teacher is that of the definition, at some temperature."""
        return self.soft == DEFINITION

    @property
    def divides_labels(self) -> bool:
        """Whether the form that follows the labels divides logits by T."""
        return self.labels == DIVIDED_LABELS

    def same_forms(self, other: Fit) -> bool:
        """Return whether another gradient is made of the same forms."""
        return (self.soft, self.labels) == (other.soft, other.labels)


def gradient(form: Form, z: Tensor, v: Tensor, y: Tensor, temperature: float) -> Tensor:
    """Return the gradient of the sum over examples with respect to the student's logits."""
    z = z.detach().double().requires_grad_()
    (found,) = torch.autograd.grad(form(z, v.detach().double(), y, temperature).sum(), z)
    return found


def fit_forms(found: Tensor, z: Tensor, v: Tensor, y: Tensor, temperatures: tuple[float, ...]) -> Fit | None:
    """Return the forms that a gradient is made of, fewest and nearest to the definition first; None for other losses.

    Args:
        found: gradient with respect to the student's logits, `[..., classes]`.
        z: logits of the student, in float64.
        v: logits of the teacher.
        y: labels.
        temperatures: temperatures to try.

    >>> z, v, y = torch.tensor([[1.0, 0.0, 2.0]]), torch.tensor([[0.0, 3.0, 1.0]]), torch.tensor([1])
    >>> fit = fit_forms(0.5 * gradient(forward_divergence, z, v, y, 4.0), z, v, y, (4.0,))
    >>> fit.soft, round(fit.weight, 6), fit.labels
    ('KL(teacher || student)', 0.5, None)
    """
    target = found.double().flatten()
    if not bool(target.isfinite().all()) or float(target.norm()) == 0:
        return None
    for soft, labels in (*_ALONE, *_PAIRS):
        names = [name for name in (soft, labels) if name is not None]
        for temperature in temperatures:
            columns = [gradient(_FORMS[name], z, v, y, temperature).flatten() for name in names]
            weights = torch.linalg.lstsq(torch.stack(columns, 1), target[:, None]).solution[:, 0]
            rest = sum(weight * column for weight, column in zip(weights, columns, strict=True)) - target
            if float(rest.norm() / target.norm()) < FIT_TOLERANCE:
                factors = dict(zip(names, weights.tolist(), strict=True))
                return Fit(soft, labels, temperature, factors.get(soft or "", 0.0), factors.get(labels or "", 0.0))
    return None


_FORMS = {**SOFT_FORMS, **LABEL_FORMS}
_ALONE = [(soft, None) for soft in SOFT_FORMS] + [(None, labels) for labels in LABEL_FORMS]
_PAIRS = [(soft, labels) for soft in SOFT_FORMS for labels in LABEL_FORMS]
