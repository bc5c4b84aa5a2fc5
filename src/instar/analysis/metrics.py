"""How good a set of predictions is."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from instar.analysis.calibration import expected_calibration_error
from instar.analysis.significance import wilson_interval
from instar.data import UNLABELLED


def quick_metrics(logits: Tensor, labels: Tensor) -> dict[str, float]:
    """Return error (share of wrong answers) and NLL (nats) of the labelled samples: what is watched while training.

    >>> quick_metrics(torch.tensor([[0.0, 9.0], [0.0, 9.0]]), torch.tensor([1, 0]))["error"]
    0.5
    """
    known = labels != UNLABELLED
    logits, labels = logits[known], labels[known]
    wrong = (logits.argmax(1) != labels).double().mean()
    return {"error": float(wrong), "nll": float(F.cross_entropy(logits.float(), labels))}


def all_metrics(logits: Tensor, labels: Tensor, classes: tuple[str, ...]) -> dict[str, Any]:
    """Return what the report shows: errors with a 95% interval, NLL, calibration, and errors of each class.

    Args:
        logits: `[samples, classes]`.
        labels: int64 `[samples]`; unlabelled samples are left out.
        classes: names of the classes.

    Returns:
        `samples`, `errors` (count), `error` (share), `error_interval` (Wilson, 95%), `nll` (nats), `ece` (share, 15
        bins), and `class_errors`, a pair [wrong, samples] by name.
    """
    known = labels != UNLABELLED
    logits, labels = logits[known].float(), labels[known]
    wrong = logits.argmax(1) != labels
    errors, samples = int(wrong.sum()), len(labels)
    return {
        "samples": samples,
        "errors": errors,
        "error": errors / samples,
        "error_interval": wilson_interval(errors, samples),
        "nll": float(F.cross_entropy(logits, labels)),
        "ece": expected_calibration_error(torch.softmax(logits, 1), labels),
        "class_errors": {
            name: [int(wrong[labels == index].sum()), int((labels == index).sum())]
            for index, name in enumerate(classes)
        },
    }
