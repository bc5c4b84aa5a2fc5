"""What a student minimises: weighted sums of terms, one term per file."""

from instar.objectives.aims import Aim
from instar.objectives.confidence_weighted import ConfidenceWeighted
from instar.objectives.correlation import Correlation
from instar.objectives.decoupled import DecoupledKD
from instar.objectives.features.attention_transfer import AttentionTransfer
from instar.objectives.features.attentions import Attentions
from instar.objectives.features.contrastive import Contrastive
from instar.objectives.features.feature_term import FeatureTerm
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
from instar.objectives.notation import TERMS, as_objective, distillation, exact, parse_objective
from instar.objectives.numbers.huber import Huber
from instar.objectives.numbers.number_term import NumberTerm
from instar.objectives.numbers.quantile import Quantile
from instar.objectives.numbers.squared_error import SquaredError
from instar.objectives.objective import Objective, Term
from instar.objectives.permuted_dark_knowledge import PermutedDarkKnowledge
from instar.objectives.schedules import WeightSchedule, decay, warmup
from instar.objectives.soft_targets import SoftTargets
from instar.objectives.standardised import Standardised
from instar.objectives.unlabelled_soft_targets import UnlabelledSoftTargets
from instar.objectives.values import Need, Value
from instar.objectives.weighted_labels import WeightedLabels, fit_to_samples

__all__ = [
    "TERMS",
    "Aim",
    "AttentionTransfer",
    "Attentions",
    "ConfidenceWeighted",
    "Contrastive",
    "Correlation",
    "DecoupledKD",
    "FeatureTerm",
    "FlowOfSolution",
    "HardLabels",
    "HiddenStates",
    "Hints",
    "Huber",
    "LogitMatching",
    "Need",
    "NumberTerm",
    "Objective",
    "PermutedDarkKnowledge",
    "ProbabilisticTransfer",
    "Quantile",
    "Relational",
    "ReviewDistillation",
    "SimilarityPreserving",
    "SoftTargets",
    "SquaredError",
    "Standardised",
    "Term",
    "UnlabelledSoftTargets",
    "Value",
    "ValueRelations",
    "VariationalInformation",
    "WeightSchedule",
    "WeightedLabels",
    "as_objective",
    "decay",
    "distillation",
    "exact",
    "fit_to_samples",
    "parse_objective",
    "warmup",
]
