"""Arguments of the verbs in Python: which kind stands where, and where a named setting belongs."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from instar.config import DataConfig, ModelConfig, RunConfig, StoreConfig, TrainingConfig
from instar.data import Data
from instar.errors import ConfigError
from instar.models import MODELS, Architecture
from instar.runs.run import Run
from instar.targets import TargetStore
from instar.targets.manifest import MANIFEST
from instar.teachers import Teacher

_ELSEWHERE = (
    (DataConfig, "the data; give data=instar.load_data(..., {name}=...)"),
    (StoreConfig, "the target store; give store={{'{name}': ...}}"),
    (ModelConfig, "the model; give model={{'name': ..., 'arguments': ...}}"),
)
"""Where the settings belong that a verb does not take by name."""


def run_settings(verb: str, given: Mapping[str, Any], *, decided: frozenset[str] = frozenset()) -> dict[str, Any]:
    """Return named settings as a configuration nests them: those of a run, and those of its training.

    Args:
        verb: that they were given to.
        given: by name.
        decided: those of a run that the verb decides.

    Raises:
        ConfigError: for a setting that belongs elsewhere, says where.

    >>> run_settings("train", {"epochs": 3, "start": "runs/a"})
    {'training': {'epochs': 3}, 'start': 'runs/a'}
    >>> run_settings("train", {"subset": 3})
    Traceback (most recent call last):
    instar.errors.ConfigError: 'subset' is a setting of the data; give data=instar.load_data(..., subset=...).
    """
    nested: dict[str, Any] = {"training": {}}
    for name, value in given.items():
        if name in ("data", "model", "training") or name in decided:
            raise ConfigError(f"{verb} takes no setting '{name}'.")
        if name in TrainingConfig.model_fields:
            nested["training"][name] = value
        elif name in RunConfig.model_fields:
            nested[name] = (
                str(value.path if isinstance(value, Run) else value) if isinstance(value, Run | Path) else value
            )
        else:
            for kind, place in _ELSEWHERE:
                if name in kind.model_fields:
                    raise ConfigError(f"'{name}' is a setting of {place.format(name=name)}.")
            nested["training"][name] = value  # unknown: it is refused with the nearest known name
    return nested


def refuse_swapped(verb: str, **given: Any) -> None:
    """Refuse a model where the data stand, and the like; what may be several things is left alone.

    Args:
        verb: that was called.
        given: its arguments in order, by what they are: "data", "model" or "teacher".

    Raises:
        ConfigError: names the argument, and the order.

    >>> refuse_swapped("train", data="mlp", model="digits")
    Traceback (most recent call last):
    instar.errors.ConfigError: train takes (data, model) in this order, and got a model for 'data': 'mlp'.
    """
    for role, value in given.items():
        kinds = _kinds(value)
        if kinds and role not in kinds:
            shown = repr(value) if isinstance(value, str | Path) else type(value).__name__
            order = ", ".join(given)
            raise ConfigError(f"{verb} takes ({order}) in this order, and got a {kinds[0]} for '{role}': {shown}.")


def _kinds(value: Any) -> tuple[str, ...]:
    """Return what something can be; nothing where that cannot be told."""
    if isinstance(value, list | tuple) and value:
        value = value[0] if isinstance(value[0], Run | TargetStore | Teacher | nn.Module) else None
    known = (
        (isinstance(value, Data | DataConfig) or (isinstance(value, str) and value == "digits"), ("data",)),
        (isinstance(value, Run | TargetStore | Teacher) or _is_folder_of_teacher(value), ("teacher",)),
        (isinstance(value, ModelConfig) or (isinstance(value, str) and value in MODELS), ("model",)),
        (isinstance(value, Architecture) and not value.is_built, ("model",)),
        (isinstance(value, nn.Module), ("model", "teacher")),
    )
    return next((kinds for is_so, kinds in known if is_so), ())


def _is_folder_of_teacher(value: Any) -> bool:
    names = ("result.json", MANIFEST)
    return isinstance(value, str | Path) and any(os.path.isfile(os.path.join(value, name)) for name in names)
