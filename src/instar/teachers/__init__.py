"""Who answers: networks, ensembles, a generalist with specialists, scikit-learn classifiers; alike for training."""

from instar.teachers.classifier import Classifier
from instar.teachers.conversion import as_teacher
from instar.teachers.ensemble import Ensemble
from instar.teachers.module import Module
from instar.teachers.remembered import Remembered
from instar.teachers.reordered import in_order_of
from instar.teachers.run_folders import ENSEMBLE, SPECIALISTS, opening, specialists_of
from instar.teachers.specialists import Specialist, Specialists
from instar.teachers.stored import Stored
from instar.teachers.teacher import Teacher

__all__ = [
    "ENSEMBLE",
    "SPECIALISTS",
    "Classifier",
    "Ensemble",
    "Module",
    "Remembered",
    "Specialist",
    "Specialists",
    "Stored",
    "Teacher",
    "as_teacher",
    "in_order_of",
    "opening",
    "specialists_of",
]
