"""What predicts targets: networks, ensembles, a generalist with specialists, classifiers and target stores."""

from instar.teachers.classifier import Classifier
from instar.teachers.conversion import as_teacher
from instar.teachers.ensemble import Ensemble
from instar.teachers.foreign import ForeignTeacher
from instar.teachers.given import GivenPredictions
from instar.teachers.module import Module
from instar.teachers.remembered import Remembered
from instar.teachers.reordered import reorder_classes
from instar.teachers.run_folders import ENSEMBLE, SPECIALISTS, make_specialists, refuse_nesting
from instar.teachers.specialists import Specialist, Specialists
from instar.teachers.stored import Stored
from instar.teachers.teacher import Teacher

__all__ = [
    "ENSEMBLE",
    "SPECIALISTS",
    "Classifier",
    "Ensemble",
    "ForeignTeacher",
    "GivenPredictions",
    "Module",
    "Remembered",
    "Specialist",
    "Specialists",
    "Stored",
    "Teacher",
    "as_teacher",
    "make_specialists",
    "refuse_nesting",
    "reorder_classes",
]
