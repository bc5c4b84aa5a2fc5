"""Errors of predicted numbers, and their 95% intervals."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from torch import Tensor

from instar.analysis.linearised import NORMAL_QUANTILE, Linearised, constant, ratio_of
from instar.analysis.significance import mean_interval

KEPT = "r2_kept"
"""Name of the share of the teacher's R² that its student has."""


def measure_numbers(predicted: Tensor, numbers: Tensor) -> dict[str, Any]:
    """Return the errors of predictions in the unit of the numbers, and R², with 95% intervals over samples.

    With the errors e_i = predicted_i - y_i of n samples: RMSE = sqrt(mean e²), MAE = mean |e|, and
    R² = 1 - sum e² / sum (y - mean y)². The intervals of RMSE and MAE are Student's, of the mean of e² and of |e|; that
    of R² is normal, from its influence function (delta method). An interval of one sample is left out, and so is R² if
    all numbers are equal.

    Args:
        predicted: `[samples]`.
        numbers: true numbers y, `[samples]`.

    >>> import torch
    >>> found = measure_numbers(torch.tensor([1.0, 2.0, 3.0]), torch.tensor([1.0, 2.0, 6.0]))
    >>> round(found["rmse"], 4), found["mae"], round(found["r2"], 4)
    (1.7321, 1.0, 0.3571)
    """
    y, errors = numbers.double().numpy(), (predicted.double() - numbers.double()).numpy()
    squared, statistics = errors**2, linearise_numbers(predicted, numbers)
    found: dict[str, Any] = {"samples": len(y)} | {name: each.value for name, each in statistics.items()}
    found["below"] = float((errors < 0).mean())
    if len(y) > 1 and bool(np.isfinite(squared).all()):
        found["rmse_interval"] = [math.sqrt(max(0.0, end)) for end in mean_interval(squared)[1:]]
        found["mae_interval"] = [max(0.0, end) for end in mean_interval(np.abs(errors))[1:]]
        if "r2" in statistics:
            half = NORMAL_QUANTILE * statistics["r2"].standard_error
            found["r2_interval"] = [found["r2"] - half, min(1.0, found["r2"] + half)]
    return found


def linearise_numbers(predicted: Tensor, numbers: Tensor) -> dict[str, Linearised]:
    """Return RMSE, MAE and R² by name, with the influence of each sample; no R² if all numbers are equal.

    With m = mean e² and v = mean (y - mean y)²: d RMSE = dm / (2 RMSE), and dR² = -(dm - (m / v) dv) / v.

    Args:
        predicted: `[samples]`.
        numbers: true numbers y, `[samples]`.
    """
    y, errors = numbers.double().numpy(), (predicted.double() - numbers.double()).numpy()
    squared, absolute, count = errors**2, np.abs(errors), max(1, len(y))
    mean, variance = float(squared.mean()), float(y.var())
    rmse = math.sqrt(mean)
    with np.errstate(invalid="ignore"):  # an infinite prediction has infinite errors, and no influences
        found = {
            "rmse": Linearised(rmse, (squared - mean) / (2 * (rmse or 1.0) * count)),
            "mae": Linearised(float(absolute.mean()), (absolute - absolute.mean()) / count),
        }
        if variance > 0:
            distances = (y - y.mean()) ** 2
            influences = -(squared - mean / variance * distances) / (variance * count)
            found["r2"] = Linearised(1 - mean / variance, influences)
    return found


def compare_with_teacher(own: Tensor, teacher: Tensor, numbers: Tensor) -> dict[str, tuple[Linearised, Linearised]]:
    """Return the statistics of a teacher and of its student by name, of the same samples, which pairs them.

    Beside RMSE, MAE and R² these are:

    - "rmse_to_teacher": root of the mean squared difference of their predictions, with or without a label; 0 for the
      teacher itself.
    - "r2_kept": R² of the student / R² of the teacher; 1 for the teacher. Left out where the interval of the teacher's
      R² holds 0, because a share of nothing says nothing.

    Args:
        own: predictions of the student, `[samples]`.
        teacher: predictions of the teacher, `[samples]`.
        numbers: true numbers, NaN where they are unknown, `[samples]`.

    >>> import torch
    >>> numbers = torch.arange(100.0)
    >>> found = compare_with_teacher(numbers + 4, numbers + 3, numbers)
    >>> [round(one.value, 4) for one in (*found["rmse_to_teacher"], *found["r2_kept"])]
    [0.0, 1.0, 1.0, 0.9915]
    """
    known = ~numbers.isnan()
    theirs, mine = (linearise_numbers(predicted[known], numbers[known]) for predicted in (teacher, own))
    found = {name: (theirs[name], mine[name]) for name in theirs}
    found["rmse_to_teacher"] = constant(0.0, len(own)), linearise_numbers(own, teacher)["rmse"]
    if "r2" in found and (kept := ratio_of(mine["r2"], theirs["r2"])) is not None:
        found[KEPT] = constant(1.0, int(known.sum())), kept
    return found
