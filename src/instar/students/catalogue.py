"""Which student a model is."""

from __future__ import annotations

from instar.models.architecture import Architecture
from instar.models.boosting import Boosting
from instar.models.build import MODELS
from instar.models.estimator import Estimator
from instar.models.forest import Forest
from instar.models.nearest import Nearest
from instar.models.tree import Tree
from instar.students.boosting import BoostingStudent
from instar.students.estimator import EstimatorStudent
from instar.students.forest import ForestStudent
from instar.students.nearest import NearestStudent
from instar.students.network import NetworkStudent
from instar.students.student import Student
from instar.students.tree import TreeStudent

STUDENTS: dict[type[Architecture], Student] = {
    Tree: TreeStudent(),
    Forest: ForestStudent(),
    Boosting: BoostingStudent(),
    Estimator: EstimatorStudent(),
    Nearest: NearestStudent(),
}
"""How each family without gradients learns; add one line for a new family."""

_NETWORK = NetworkStudent()


def student_of(name: str) -> Student:
    """Return how a model learns.

    Args:
        name: the name in its configuration.

    >>> type(student_of("tree")).__name__, type(student_of("mlp")).__name__
    ('TreeStudent', 'NetworkStudent')
    """
    family = MODELS.get(name)
    return _NETWORK if family is None else STUDENTS.get(family, _NETWORK)
