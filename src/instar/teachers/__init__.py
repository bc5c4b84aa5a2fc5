"""Who answers: networks, ensembles, scikit-learn classifiers; alike for training."""

from pathlib import Path
from typing import Any

from torch import nn

from instar.errors import ConfigError
from instar.models import Architecture, load_model
from instar.run import Run
from instar.targets import TargetStore
from instar.targets.manifest import MANIFEST
from instar.teachers.classifier import Classifier
from instar.teachers.ensemble import Ensemble
from instar.teachers.module import Module
from instar.teachers.remembered import Remembered
from instar.teachers.stored import Stored
from instar.teachers.teacher import Teacher

__all__ = ["ENSEMBLE", "Classifier", "Ensemble", "Module", "Remembered", "Stored", "Teacher", "as_teacher"]


ENSEMBLE = "ensemble"
"""The model's name in a run folder that stands for several, its teachers, and has no weights of its own."""


def as_teacher(thing: Any, *, trust: bool = False) -> Teacher:
    """Make a teacher of what a user has: a teacher, a torch module, a run, a target store or its folder, a classifier.

    Raises:
        ConfigError: when it is none of these.
        RunError: when the folder holds no complete run.
        StoreError: when it holds a target store that is not whole.
    """
    if isinstance(thing, Teacher):
        return thing
    if isinstance(thing, Architecture) and not thing.is_built:
        raise ConfigError(f"{type(thing).__name__} has no weights yet; train it, or give input_shape and num_classes.")
    if isinstance(thing, nn.Module):
        return Module(thing)
    if isinstance(thing, str | Path) and (Path(thing) / MANIFEST).is_file():
        thing = TargetStore(thing)
    if isinstance(thing, TargetStore):
        return Stored(thing)
    if isinstance(thing, str | Path):
        thing = Run(thing)
    if isinstance(thing, Run):
        thing.result  # noqa: B018 (refuses a run that is not complete)
        if thing.config["model"]["name"] == ENSEMBLE:
            members = [_find_member(member, thing) for member in thing.config["teachers"]]
            return Ensemble(members, thing.config["combine"], trust=trust)
        return Module(load_model(thing, trust=trust, network=getattr(thing, "network", None)))
    if hasattr(thing, "predict_proba"):
        return Classifier(thing)
    raise ConfigError(
        "a teacher must be a torch module, a run folder, a fitted scikit-learn classifier or a Teacher, "
        f"got {type(thing).__name__}."
    )


def _find_member(member: str, run: Run) -> Path:
    """Return the folder of a member; where the runs were moved together, beside the ensemble."""
    given = Path(member)
    return given if given.exists() else run.path.parent / given.name
