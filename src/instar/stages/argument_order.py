"""The order of arguments: data first, then the teacher, then the model; a call in another order is refused."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from instar.config import DataConfig, ModelConfig
from instar.data.dataset import Data
from instar.data.from_function import names_a_function
from instar.errors import ConfigError
from instar.models.architecture import Architecture
from instar.models.build import MODELS
from instar.models.imported_estimator import is_estimator_object
from instar.runs.run import Run
from instar.targets.manifest import MANIFEST_FILE
from instar.targets.store import TargetStore
from instar.teachers.classifier import is_estimator
from instar.teachers.foreign import ForeignTeacher, names_a_foreign_teacher
from instar.teachers.teacher import Teacher

_NOUNS = {"data": "data", "teacher": "a teacher", "model": "a model"}
_ROLES = dict(zip(_NOUNS, _NOUNS, strict=True)) | dict.fromkeys(("subject", "members", "generalist"), "teacher")
"""What is expected of an argument, by its name."""


def refuse_swapped(verb: str, **given: Any) -> None:
    """Refuse data where a teacher is expected, and the like; a value that can be several things is never refused.

    Args:
        verb: the name of the function.
        given: its arguments in order, by name.

    Raises:
        ConfigError: names the argument, and the order.

    >>> refuse_swapped("train", data="mlp", model="digits")
    Traceback (most recent call last):
    instar.errors.ConfigError: train takes (data, model) in this order, and got a model for 'data': 'mlp'.
    """
    for name, value in given.items():
        kinds = kinds_of(value)
        if kinds and _ROLES[name] not in kinds:
            shown = f"'{value}'" if isinstance(value, str | Path) else type(value).__name__
            order, found = ", ".join(given), " or ".join(_NOUNS[kind] for kind in kinds)
            raise ConfigError(f"{verb} takes ({order}) in this order, and got {found} for '{name}': {shown}.")


def kinds_of(value: object) -> tuple[str, ...]:
    """Return what a value can be: "data", "teacher", "model", several of them, or none if that is unknown.

    >>> kinds_of("resnet"), kinds_of(nn.Linear(2, 2)), kinds_of([[0.5], [0.1]]), kinds_of("owner/name")
    (('model',), ('teacher', 'model'), ('data',), ())
    >>> kinds_of("mine:Name"), kinds_of("transformers:vit")
    (('data', 'teacher', 'model'), ('teacher', 'model'))
    """
    known: tuple[tuple[Any, tuple[str, ...]], ...] = (
        (isinstance(value, Data | DataConfig), ("data",)),
        # before modules, because a description without weights cannot teach
        (isinstance(value, ModelConfig) or (isinstance(value, Architecture) and not value.is_built), ("model",)),
        (isinstance(value, nn.Module), ("teacher", "model")),
        (isinstance(value, Run | TargetStore | Teacher | ForeignTeacher), ("teacher",)),
        (is_estimator_object(value), ("teacher", "model")),
        (is_estimator(value), ("teacher",)),
    )
    for is_so, kinds in known:
        if is_so:
            return kinds
    if isinstance(value, str | Path):
        return _kinds_of_text(str(value))
    if isinstance(value, Mapping):
        keys = set(value)
        return ("model",) if keys and keys <= ModelConfig.model_fields.keys() else ("data",) if "train" in keys else ()
    if isinstance(value, list | tuple):
        return _kinds_of_several(value) if value else ()
    return ("data",) if hasattr(value, "__array__") or hasattr(value, "__getitem__") else ()


def _kinds_of_text(text: str) -> tuple[str, ...]:
    found = {"data"} if text == "digits" or names_a_function(text) else set()
    if not text:  # which would be the working directory
        return ()
    if text in MODELS:
        found.add("model")
    if names_a_foreign_teacher(text):  # all of these can be students too, except a teacher's whole notation
        found |= {"model", "teacher"}
    if any(os.path.isfile(os.path.join(text, name)) for name in ("environment.json", "result.json", MANIFEST_FILE)):
        found.add("teacher")
    elif os.path.isdir(text):  # perhaps data, perhaps a run folder that is not whole
        found |= {"data", "teacher"}
    return tuple(kind for kind in _NOUNS if kind in found)


def _kinds_of_several(values: Sequence[Any]) -> tuple[str, ...]:
    kinds = [kinds_of(each) for each in values]
    if all("teacher" in each for each in kinds):  # several teachers are one, and folders may be data
        return ("data", "teacher") if all("data" in each for each in kinds) else ("teacher",)
    # rows of numbers, or arrays
    return ("data",) if isinstance(values[0], list | tuple) or kinds[0] == ("data",) else ()
