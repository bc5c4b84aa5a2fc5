"""How models learn: networks by gradients, trees and others in their own ways."""

from instar.students.boosting import BoostingStudent
from instar.students.catalogue import STUDENTS, student_of
from instar.students.estimator import EstimatorStudent
from instar.students.fitted import FittedStudent
from instar.students.forest import ForestStudent
from instar.students.nearest import NearestStudent
from instar.students.network import NetworkStudent
from instar.students.student import Lesson, Student
from instar.students.tree import TreeStudent

__all__ = [
    "STUDENTS",
    "BoostingStudent",
    "EstimatorStudent",
    "FittedStudent",
    "ForestStudent",
    "Lesson",
    "NearestStudent",
    "NetworkStudent",
    "Student",
    "TreeStudent",
    "student_of",
]
