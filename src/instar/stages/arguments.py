"""Arguments of the verbs in Python: what each may be, and the settings of a configuration that it stands for."""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from instar.config import DataConfig, ModelConfig
from instar.data.dataset import Data, load_data
from instar.errors import ConfigError, nearest
from instar.models.architecture import Architecture
from instar.models.copying import refuse_unhashable
from instar.models.imported_estimator import is_estimator_object
from instar.objectives.notation import distillation
from instar.objectives.objective import Objective, Term
from instar.paths import local_path

DataLike = Data | str | Path | Sequence[Any] | DataConfig
ModelLike = str | ModelConfig | Mapping[str, Any] | nn.Module


def target_settings(targets: str | Path | None, store: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return the settings of a run for what a user says about targets: a way to have them, or a folder of stores.

    Raises:
        ConfigError: for what looks like a way, and is none.

    >>> target_settings("runs/targets")
    {'targets': 'store', 'store': {'folder': 'runs/targets'}}
    >>> target_settings("memroy")
    Traceback (most recent call last):
    instar.errors.ConfigError: targets 'memroy' is unknown; did you mean 'memory'? A folder is written './memroy'.
    """
    if targets is None:
        return {"store": dict(store)} if store else {}
    local_path(targets, "targets")
    where, ways = str(targets), ("online", "memory", "store")
    if where in ways:
        return {"targets": where, "store": dict(store or {})}
    # a folder that is not there yet will be made, so a typing error would make one
    if not os.path.exists(where) and difflib.get_close_matches(where, ways):
        raise ConfigError(f"targets '{where}' is unknown; {nearest(where, ways)} A folder is written './{where}'.")
    return {"targets": "store", "store": {**(store or {}), "folder": where}}


def shared_target_settings(folder: Path, targets: str) -> dict[str, Any]:
    """Return the same for several runs in a folder; in float32, so that nothing depends on where targets come from."""
    where = str(folder / "targets") if targets == "store" else targets
    return target_settings(where, {"dtype": "float32"})


def as_data(data: DataLike, *, trust: bool = False) -> Data:
    """Return data that a user gave in any form; `trust` allows the import of a function that returns them."""
    return data if isinstance(data, Data) else load_data(data, trust=trust)


def distillation_objective(
    objective: str | Objective | Term | None, temperature: float | None
) -> str | Objective | Term | None:
    """Return the objective of a distillation: the one that was given, or the usual one at a temperature, or None.

    Raises:
        ConfigError: when both are given.

    >>> distillation_objective(None, 20)
    'SoftTargets(20) + 0.1 * HardLabels()'
    """
    if objective is not None and temperature is not None:
        raise ConfigError("give temperature or objective, not both: the objective holds its temperature.")
    return objective if temperature is None else distillation(temperature)


def refuse_weights(verb: str, part: str, *models: object) -> None:
    """Refuse modules where each part of a search or a lineage starts from fresh weights.

    Raises:
        ConfigError: names what the verb needs.
    """
    for model in models:
        if model is not None and given_network(model) is not None:
            raise ConfigError(
                f"every {part} starts from fresh weights, so {verb} needs a model by name, by package.module:Class or "
                f"as a description; got a {type(model).__name__} with weights."
            )


def given_network(model: object) -> nn.Module | None:
    """Return the user's own network, which is trained from where it is; a description is made under the run's seed.

    Raises:
        ConfigError: when `model` is of no kind that can be trained.
    """
    if isinstance(model, Architecture) and not model.is_built:  # a module without weights: a description
        return None
    if is_estimator_object(model):
        return None
    if model is None or (not isinstance(model, str | Mapping | nn.Module) and not hasattr(model, "arguments")):
        raise ConfigError(
            f"model must be a name, a configuration, a torch module or an estimator, got {type(model).__name__}."
        )
    if isinstance(model, nn.Module):
        refuse_unhashable(model)
    return model if isinstance(model, nn.Module) else None
