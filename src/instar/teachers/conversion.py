"""Makes teachers from what users have."""

from __future__ import annotations

from functools import singledispatch
from typing import Any

from torch import nn

from instar.errors import ConfigError
from instar.models.architecture import Architecture
from instar.targets.store import TargetStore
from instar.teachers.classifier import Classifier, is_estimator
from instar.teachers.module import Module
from instar.teachers.regressor import Regressor, predicts_numbers
from instar.teachers.stored import Stored
from instar.teachers.teacher import Teacher


@singledispatch
def as_teacher(thing: Any, *, trust: bool = False) -> Teacher:
    """Make a teacher from a teacher, a module, a run, a target store, a classifier, or the path of a run or store.

    A text may also name a `ForeignTeacher`, as `package.module:Name` does, or `transformers:` with a folder or Hub id,
    or `timm:` with a name; or the file of a fitted classifier, see `read_model_file`.

    Args:
        thing: what a user has.
        trust: allow run folders whose model is a class outside `instar.models`.

    Raises:
        ConfigError: when it is none of these.
        RunError: when the folder has no complete run.
        StoreError: when the folder has a target store that is not complete.
    """
    # dispatched by type, so that `run_folders`, which needs ensembles, adds folders without an import in a circle
    if isinstance(thing, Teacher):
        return thing
    if is_estimator(thing):
        return Regressor(thing) if predicts_numbers(thing) else Classifier(thing)
    raise ConfigError(
        "a teacher must be a torch module, a run folder, a fitted estimator of scikit-learn or a Teacher, "
        f"got {type(thing).__name__}."
    )


@as_teacher.register(nn.Module)
def _of_module(thing: nn.Module, *, trust: bool = False) -> Teacher:
    if isinstance(thing, Teacher):  # a user's class may be both
        return thing
    if isinstance(thing, Architecture) and not thing.is_built:
        raise ConfigError(f"{type(thing).__name__} has no weights yet; train it, or give input_shape and num_classes.")
    return Module(thing)


@as_teacher.register(TargetStore)
def _of_store(thing: TargetStore, *, trust: bool = False) -> Teacher:
    return Stored(thing)
