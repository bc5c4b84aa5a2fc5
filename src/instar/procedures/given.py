"""What users give as Python objects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from instar.config import DataConfig
from instar.data import Data, load_data
from instar.errors import ConfigError
from instar.models import Architecture


def as_data(data: Data | str | Sequence[Any] | DataConfig) -> Data:
    """Return data that a user gave in any form."""
    return data if isinstance(data, Data) else load_data(data)


def given_network(model: object) -> nn.Module | None:
    """Return the user's own network, which is trained from where it is; ours are made anew under the run's seed.

    Raises:
        ConfigError: when `model` is of no kind that can be trained.
    """
    if isinstance(model, Architecture):
        return None
    if model is None or (not isinstance(model, str | Mapping | nn.Module) and not hasattr(model, "arguments")):
        raise ConfigError(f"model must be a name, a configuration or a torch module, got {type(model).__name__}.")
    return model if isinstance(model, nn.Module) else None
