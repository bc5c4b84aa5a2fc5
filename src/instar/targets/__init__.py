"""Soft targets: what teachers predict and students learn from, in memory and on disk."""

from instar.targets.manifest import Answering, Manifest, PartDescription
from instar.targets.projected import ProjectedTargets
from instar.targets.records import Keep, Number, Record
from instar.targets.sparse import SparseTargets
from instar.targets.store import StoredPart, TargetStore
from instar.targets.targets import DenseTargets, MixtureTargets, Targets

__all__ = [
    "Answering",
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
]
