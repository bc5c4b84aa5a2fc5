"""What a step changes, except for the random state: the content of a checkpoint."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import nn

from instar.config import TrainingConfig
from instar.models.carried import Carried
from instar.models.normalised import Normalised
from instar.teachers.teacher import Teacher
from instar.training.optimise import WeightAverage, make_optimiser


@dataclass(frozen=True, eq=False)
class TrainState:
    """A model in training.

    Args:
        model: with its weights.
        optimiser: of the weights.
        average: of the weights, where one is kept.
        carried: hidden states: first the model's, then those of the networks that teach it.
        adapters: layers of terms by the name of the term, which are no part of the model.
    """

    model: Normalised
    optimiser: torch.optim.Optimizer
    average: WeightAverage | None
    carried: Sequence[Carried]
    adapters: nn.ModuleDict = field(default_factory=nn.ModuleDict)


def initial_state(
    model: Normalised, config: TrainingConfig, teacher: Teacher | None, adapters: nn.ModuleDict | None = None
) -> TrainState:
    """Return the state before the first step."""
    average = WeightAverage(model, config.ema) if config.ema else None
    # of teachers too: a resumed student must get the targets of a teacher that has read the text before
    carried = [Carried(model), *(teacher.carried() if teacher else [])]
    adapters = nn.ModuleDict() if adapters is None else adapters
    return TrainState(model, make_optimiser(model, config, adapters), average, carried, adapters)
