"""Any term on standardised logits, so that a student need not match the scale of its teacher's logits."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor

from instar.data.batch import Batch
from instar.errors import ConfigError
from instar.objectives.objective import Term
from instar.objectives.soft_targets import SoftTargets
from instar.objectives.values import Need, Value
from instar.targets.targets import DenseTargets, Targets

_MIN_DEVIATION = 1e-7  # added to the standard deviation, so that equal logits become 0 and not NaN


@dataclass(frozen=True)
class Standardised(Term):
    """l(z, v) = l_term(s(z), s(v)), where s(z)_c = (z_c - mean z) / (std z + 1e-7), for student and teacher alike.

    Per example over its C classes, in the unit of the inner term, which also determines what is needed. Shifting the
    logits or scaling them by a positive number does not change the loss, so a small student may be less confident than
    its teacher. The values of the inner term are recorded as `standardised_...`.

    Source: Sun et al. 2024, "Logit standardization in knowledge distillation", whose authors use
    `9 * Standardised(SoftTargets(2)) + 0.1 * HardLabels()`. std divides by C - 1.

    Args:
        term: inner term, such as `SoftTargets`, `DecoupledKD` or `LogitMatching`.

    Raises:
        ConfigError: when `term` is not a `Term`.

    >>> import torch
    >>> batch, teacher = Batch.of_labels(torch.tensor([0])), DenseTargets(torch.tensor([[2.0, 0.0, 1.0]]))
    >>> value = Standardised(SoftTargets(2))(torch.tensor([[25.0, 5.0, 15.0]]), batch, teacher)
    >>> round(value.beside["standardised_kl_to_teacher"].item(), 4)
    0.0
    """

    term: Term = field(default_factory=lambda: SoftTargets(2))

    def __post_init__(self) -> None:
        if not isinstance(self.term, Term) or self.term.layers is not None:
            raise ConfigError(f"Standardised(term) must be one term, for example SoftTargets(2), got {self.term!r}.")

    @property
    def needs(self) -> frozenset[Need]:
        """Needs of the inner term."""
        return self.term.needs

    @property
    def name(self) -> str:
        """Name of the inner term with the prefix `standardised_`."""
        return f"standardised_{self.term.name}"

    @property
    def weighs_examples(self) -> bool:
        """Whether the inner term has weights."""
        return self.term.weighs_examples

    @property
    def relates_examples(self) -> bool:
        """Whether the inner term relates examples."""
        return self.term.relates_examples

    @property
    def is_linear_in_labels(self) -> bool:
        """Whether the inner term is linear in the labels."""
        return self.term.is_linear_in_labels

    def __call__(self, logits: Tensor, batch: Batch, targets: Targets | None) -> Value:
        """Return the value of the inner term for standardised logits."""
        value = self.term(_standardised(logits), batch, _standardised_targets(targets))
        return Value(value.loss, {f"standardised_{name}": found for name, found in value.beside.items()})

    def weights(self, batch: Batch, targets: Targets | None) -> Tensor | None:
        """Return the weights of the inner term, which sees standardised targets here too."""
        return self.term.weights(batch, _standardised_targets(targets))


def _standardised(logits: Tensor) -> Tensor:
    if logits.numel() == 0:  # an empty tile: torch warns about a standard deviation of nothing
        return logits
    return (logits - logits.mean(-1, keepdim=True)) / (logits.std(-1, keepdim=True) + _MIN_DEVIATION)


def _standardised_targets(targets: Targets | None) -> Targets | None:
    # a mixture has no logits, but any constant per example cancels, so its log-probabilities at temperature 1 will do
    return None if targets is None else DenseTargets(_standardised(targets.logits()))
