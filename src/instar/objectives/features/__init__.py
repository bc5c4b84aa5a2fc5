"""Terms that compare hidden layers of student and teacher, one per file."""

from instar.objectives.features.adapters import Adapters
from instar.objectives.features.attention_transfer import AttentionTransfer
from instar.objectives.features.attentions import Attentions
from instar.objectives.features.contrastive import Contrastive
from instar.objectives.features.feature_term import FeatureTerm
from instar.objectives.features.flow_of_solution import FlowOfSolution
from instar.objectives.features.hidden_states import HiddenStates
from instar.objectives.features.hints import Hints
from instar.objectives.features.pairing import STAGES
from instar.objectives.features.probabilistic_transfer import ProbabilisticTransfer
from instar.objectives.features.relational import Relational
from instar.objectives.features.review_distillation import ReviewDistillation
from instar.objectives.features.similarity_preserving import SimilarityPreserving
from instar.objectives.features.value_relations import ValueRelations
from instar.objectives.features.variational_information import VariationalInformation

__all__ = [
    "STAGES",
    "Adapters",
    "AttentionTransfer",
    "Attentions",
    "Contrastive",
    "FeatureTerm",
    "FlowOfSolution",
    "HiddenStates",
    "Hints",
    "ProbabilisticTransfer",
    "Relational",
    "ReviewDistillation",
    "SimilarityPreserving",
    "ValueRelations",
    "VariationalInformation",
]
