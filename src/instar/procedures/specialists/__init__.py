"""`instar specialists`: experts on the classes that a generalist confuses, and what they are worth together.

`cluster` finds the classes, `train` the experts, `combine` makes one teacher of them and the generalist, and `evaluate`
says where it gained. What `combine` returns is a teacher like any other: distil it into one net.
"""

from instar.procedures.specialists.clusters import Clusters, cluster
from instar.procedures.specialists.combining import combine, folders_in
from instar.procedures.specialists.evaluating import Coverage, evaluate
from instar.procedures.specialists.training import SpecialistRuns, plan, train

__all__ = ["Clusters", "Coverage", "SpecialistRuns", "cluster", "combine", "evaluate", "folders_in", "plan", "train"]
