"""Calibration: whether predicted probabilities match accuracies."""

from __future__ import annotations

import torch
from torch import Tensor


def expected_calibration_error(confidence: Tensor, is_right: Tensor, bins: int = 15) -> float:
    """Return ECE = sum_b (n_b / n) |accuracy_b - confidence_b| over bins of equal width of the largest probability.

    Source: Guo et al. 2017, "On calibration of modern neural networks", equation 3.

    Args:
        confidence: largest probability of each example, `[examples]`.
        is_right: whether the predicted class is the label, bool `[examples]`.
        bins: number of bins.

    >>> round(expected_calibration_error(torch.tensor([0.7, 0.7]), torch.tensor([True, False])), 3)
    0.2
    """
    # rounding may leave a probability above 1
    confidence = confidence.float().clamp(0, 1)
    edges = torch.linspace(0, 1, bins + 1, device=confidence.device)
    places = torch.bucketize(confidence, edges, right=True) - 1  # a confidence of 1 has a bin of its own
    totals = torch.zeros(3, bins + 1, device=confidence.device)
    for total, values in zip(totals, (torch.ones_like(confidence), confidence, is_right.float()), strict=True):
        total.scatter_add_(0, places, values)
    counts, means = totals[0], (totals[1:] / totals[0]).nan_to_num()
    return float(((means[1] - means[0]).abs() * (counts / counts.sum())).sum())
