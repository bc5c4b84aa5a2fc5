"""Soft targets: what teachers predict and students learn from, in memory and on disk."""

from instar.targets.manifest import Manifest, PartDescription, TeacherDescription
from instar.targets.projected import ProjectedTargets
from instar.targets.records import Keep, Number, Record
from instar.targets.sparse import SparseTargets
from instar.targets.store import TargetStore
from instar.targets.stored_part import StoredPart
from instar.targets.targets import DenseTargets, MixtureTargets, Targets

__all__ = [
    "DenseTargets",
    "Keep",
    "Manifest",
    "MixtureTargets",
    "Number",
    "PartDescription",
    "ProjectedTargets",
    "Record",
    "SparseTargets",
    "StoredPart",
    "TargetStore",
    "Targets",
    "TeacherDescription",
]
