"""What users give as Python objects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from instar.config import DataConfig
from instar.data import Data, describe_data, load_data
from instar.errors import ConfigError, say
from instar.models import Architecture
from instar.objectives import Objective, Term, distillation


def as_data(data: Data | str | Sequence[Any] | DataConfig) -> Data:
    """Return data that a user gave in any form."""
    return data if isinstance(data, Data) else load_data(data)


def distillation_objective(
    objective: str | Objective | Term | None, temperature: float | None
) -> str | Objective | Term:
    """Return the objective of a distillation: the one that was given, or the usual one at a temperature.

    Raises:
        ConfigError: when both are given.

    >>> distillation_objective(None, 20)
    'SoftTargets(20) + 0.1 * HardLabels()'
    """
    if objective is not None and temperature is not None:
        raise ConfigError("give temperature or objective, not both: the objective holds its temperature.")
    if objective is not None:
        return objective
    return distillation() if temperature is None else distillation(temperature)


def announce(data: Data) -> None:
    """Say on stderr how the data of a run were read."""
    say(f"instar: data {describe_data(data)}.")


def given_network(model: object) -> nn.Module | None:
    """Return the user's own network, which is trained from where it is; a description is made under the run's seed.

    Raises:
        ConfigError: when `model` is of no kind that can be trained.
    """
    if isinstance(model, Architecture) and not model.is_built:
        return None
    if model is None or (not isinstance(model, str | Mapping | nn.Module) and not hasattr(model, "arguments")):
        raise ConfigError(f"model must be a name, a configuration or a torch module, got {type(model).__name__}.")
    return model if isinstance(model, nn.Module) else None
