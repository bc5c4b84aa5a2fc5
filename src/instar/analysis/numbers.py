"""Errors of predicted numbers, and their 95% intervals."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from torch import Tensor

from instar.analysis.significance import mean_interval

Z_95 = 1.959963984540054
"""Quantile of the normal distribution for a 95% interval."""


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
    squared, variance = errors**2, float(y.var())
    found: dict[str, Any] = {
        "samples": len(y),
        "rmse": math.sqrt(squared.mean()),
        "mae": float(np.abs(errors).mean()),
        "below": float((errors < 0).mean()),
    }
    is_bounded = len(y) > 1 and bool(np.isfinite(squared).all())
    if is_bounded:
        found["rmse_interval"] = [math.sqrt(max(0.0, end)) for end in mean_interval(squared)[1:]]
        found["mae_interval"] = [max(0.0, end) for end in mean_interval(np.abs(errors))[1:]]
    if variance > 0:
        found["r2"] = 1 - float(squared.mean()) / variance
        if is_bounded:
            # R² = 1 - m / v for the means m of e² and v of the squared distances: dR² = -(dm - (m / v) dv) / v
            distances = (y - y.mean()) ** 2
            influence = (squared - squared.mean() / variance * distances) / variance
            half = Z_95 * float(influence.std(ddof=1)) / math.sqrt(len(y))
            found["r2_interval"] = [found["r2"] - half, min(1.0, found["r2"] + half)]
    return found
