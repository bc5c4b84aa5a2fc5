"""Newton's steps down an objective of logits: of groups of examples, and to the best constant."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from instar.objectives.objective import Objective
from instar.students.derivatives import Derivatives
from instar.students.examples import Examples
from instar.students.leaf_values import TINY, Floats

MAX_HALVINGS = 20
"""Times that a step which raises the loss is halved."""

BASE_STEPS = 50
"""Newton steps to the best constant logits."""


def find_base(objective: Objective, examples: Examples) -> Floats:
    """Return the constant logits with the least loss, float64 `[classes]`."""

    def at(base: Floats) -> Derivatives:
        return Derivatives.of(objective, examples, torch.from_numpy(np.tile(base, (examples.count, 1))))

    base, everything = np.zeros(examples.classes), np.zeros(examples.count, np.int64)
    now = at(base)
    for _ in range(BASE_STEPS):
        step = find_steps(now, everything, 1, 0.0)[0]
        for _ in range(MAX_HALVINGS):
            moved = at(base + step)
            if moved.loss <= now.loss:
                break
            step = step / 2
        else:
            return base
        base, now = base + step, moved
        if np.abs(step).max() < 1e-6:
            break
    return base


def find_steps(now: Derivatives, groups: NDArray[np.integer], number: int, beside: float) -> Floats:
    """Return the Newton step of each group of examples, float64 `[number, classes]`; see `BoostingStudent`.

    Args:
        now: derivatives of the loss.
        groups: group of each example; -1: none.
        number: number of groups.
        beside: curvature that each group has beside that of its examples.
    """
    inside, classes = groups >= 0, now.gradient.shape[1]
    gradient, curvature = (
        np.stack([np.bincount(groups[inside], column[inside], number) for column in values.numpy().T], 1)
        for values in (now.gradient, now.curvature)
    )
    factor = (classes - 1) / classes if classes > 1 else 1.0
    steps: Floats = -factor * gradient / np.maximum(curvature + beside, TINY)
    return np.where(gradient == 0, 0.0, steps)
