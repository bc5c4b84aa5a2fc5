"""`instar specialists`: experts on the classes that a generalist confuses.

`cluster` finds the classes, `train` trains the experts, `combine` makes one teacher of them and the generalist, and
`evaluate` shows where the teacher is better than the generalist. It is a teacher like any other: distil it into one
network.
"""

from instar.procedures.specialists.clusters import Clusters, cluster
from instar.procedures.specialists.combining import combine
from instar.procedures.specialists.evaluating import Coverage, evaluate
from instar.procedures.specialists.training import SpecialistRuns, plan, train

__all__ = ["Clusters", "Coverage", "SpecialistRuns", "cluster", "combine", "evaluate", "plan", "train"]
