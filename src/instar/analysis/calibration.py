"""Whether probabilities mean what they say."""

from __future__ import annotations

from torch import Tensor


def expected_calibration_error(probabilities: Tensor, labels: Tensor, bins: int = 15) -> float:
    """Return ECE = sum_b (n_b / n) |accuracy_b - confidence_b| over bins of equal width of the largest probability.

    Source: Guo et al. 2017, "On calibration of modern neural networks", equation 3.

    Args:
        probabilities: `[samples, classes]`.
        labels: int64 `[samples]`.
        bins: number of bins.

    >>> import torch
    >>> round(expected_calibration_error(torch.tensor([[0.3, 0.7], [0.3, 0.7]]), torch.tensor([1, 0])), 3)
    0.2
    """
    from torchmetrics.functional.classification import multiclass_calibration_error

    return float(multiclass_calibration_error(probabilities, labels, probabilities.shape[1], n_bins=bins))
