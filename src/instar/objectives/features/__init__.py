"""Terms that compare hidden layers of student and teacher, one per file."""

from instar.objectives.features.attention_transfer import AttentionTransfer
from instar.objectives.features.feature_term import STAGES, FeatureTerm

__all__ = ["STAGES", "AttentionTransfer", "FeatureTerm"]
