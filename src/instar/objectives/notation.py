"""Objectives as text, as they are in a configuration: the list of terms, a parser, and the usual objective."""

from __future__ import annotations

from instar.errors import ConfigError
from instar.expressions import parse
from instar.objectives.confidence_weighted import ConfidenceWeighted
from instar.objectives.correlation import Correlation
from instar.objectives.decoupled import DecoupledKD
from instar.objectives.features.attention_transfer import AttentionTransfer
from instar.objectives.features.attentions import Attentions
from instar.objectives.features.contrastive import Contrastive
from instar.objectives.features.flow_of_solution import FlowOfSolution
from instar.objectives.features.hidden_states import HiddenStates
from instar.objectives.features.hints import Hints
from instar.objectives.features.probabilistic_transfer import ProbabilisticTransfer
from instar.objectives.features.relational import Relational
from instar.objectives.features.review_distillation import ReviewDistillation
from instar.objectives.features.similarity_preserving import SimilarityPreserving
from instar.objectives.features.value_relations import ValueRelations
from instar.objectives.features.variational_information import VariationalInformation
from instar.objectives.hard_labels import HardLabels
from instar.objectives.logit_matching import LogitMatching
from instar.objectives.numbers.huber import Huber
from instar.objectives.numbers.quantile import Quantile
from instar.objectives.numbers.squared_error import SquaredError
from instar.objectives.objective import Objective, Term
from instar.objectives.permuted_dark_knowledge import PermutedDarkKnowledge
from instar.objectives.schedules import FACTORS
from instar.objectives.soft_targets import SoftTargets
from instar.objectives.standardised import Standardised
from instar.objectives.unlabelled_soft_targets import UnlabelledSoftTargets
from instar.objectives.weighted_labels import WeightedLabels

# a configuration may come from a stranger, so the parser calls only these
_TERM_TYPES: tuple[type[Term], ...] = (
    HardLabels,
    SoftTargets,
    LogitMatching,
    ConfidenceWeighted,
    PermutedDarkKnowledge,
    DecoupledKD,
    Standardised,
    UnlabelledSoftTargets,
    WeightedLabels,
    Correlation,
    AttentionTransfer,
    FlowOfSolution,
    Hints,
    ProbabilisticTransfer,
    Relational,
    SimilarityPreserving,
    VariationalInformation,
    Contrastive,
    ReviewDistillation,
    HiddenStates,
    Attentions,
    ValueRelations,
    SquaredError,
    Huber,
    Quantile,
)

TERMS: dict[str, type[Term]] = {term.__name__: term for term in _TERM_TYPES}
"""Terms by name, for the text of a configuration. A new term takes one line above."""


def as_objective(objective: str | Objective | Term, *, trust: bool = False) -> Objective:
    """Return the objective that a user gave as text, as one term or as a sum of terms.

    Args:
        objective: text or object.
        trust: allow a text to import terms outside `instar.objectives`.

    >>> as_objective(HardLabels())
    HardLabels(label_smoothing=0.0)
    """
    if isinstance(objective, Objective):
        return objective
    return 1.0 * objective if isinstance(objective, Term) else parse_objective(objective, trust=trust)


def distillation(temperature: float = 4.0, weight: float = 0.1) -> str:
    """Return the objective of `instar distill` as text, SoftTargets(T) + w HardLabels().

    Args:
        temperature: temperature T.
        weight: weight w of the labels; 0 leaves them out.

    >>> distillation(), distillation(20, 0)
    ('SoftTargets(4) + 0.1 * HardLabels()', 'SoftTargets(20)')
    """
    soft = f"SoftTargets({exact(temperature)})"
    return f"{soft} + {exact(weight)} * HardLabels()" if weight else soft


def exact(number: float) -> str:
    """Return the shortest text that is read as the same number.

    >>> exact(4.0), exact(0.1)
    ('4', '0.1')
    """
    return repr(number).removesuffix(".0")


def parse_objective(text: str, *, trust: bool = False) -> Objective:
    """Parse the text of an objective.

    Args:
        text: sum of terms; `package.module:Name` is a term of the user's.
        trust: allow the import of such a term.

    Raises:
        ConfigError: when the text is no sum of terms, or names an unknown term or argument, or a term of the user's
            without trust.

    >>> parse_objective("SoftTargets(20) + 0.5 * HardLabels")
    SoftTargets(temperature=20) + 0.5 * HardLabels(label_smoothing=0.0)
    """
    found = parse(text, TERMS, "term", kind=Term, trust=trust, factors=FACTORS)
    if isinstance(found, Term):
        found = 1.0 * found
    if not isinstance(found, Objective):
        raise ConfigError(
            f"objective '{text}' must be a sum of terms, for example 'SoftTargets(4) + 0.1 * HardLabels()'."
        )
    return found
