"""Calibration: whether predicted probabilities match accuracies."""

from __future__ import annotations

from torch import Tensor


def expected_calibration_error(confidence: Tensor, is_right: Tensor, bins: int = 15) -> float:
    """Return ECE = sum_b (n_b / n) |accuracy_b - confidence_b| over bins of equal width of the largest probability.

    Source: Guo et al. 2017, "On calibration of modern neural networks", equation 3.

    Args:
        confidence: largest probability of each example, `[examples]`.
        is_right: whether the predicted class is the label, bool `[examples]`.
        bins: number of bins.

    >>> import torch
    >>> round(expected_calibration_error(torch.tensor([0.7, 0.7]), torch.tensor([True, False])), 3)
    0.2
    """
    from torchmetrics.functional.classification import binary_calibration_error

    # torchmetrics treats values outside 0..1 as logits, and rounding may leave a probability above 1
    return float(binary_calibration_error(confidence.float().clamp(0, 1), is_right.long(), n_bins=bins))
