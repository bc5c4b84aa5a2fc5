"""Metrics of predictions."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from instar.analysis.calibration import expected_calibration_error
from instar.analysis.scores import Scores
from instar.analysis.significance import wilson_interval

MAX_COUNTED_CLASSES = 1000
"""Largest number of classes whose errors are counted per class."""

MAX_EXPONENT = 700.0
"""Largest mean NLL in nats whose exponential is computed; float64 overflows at 709.8."""


def quick_metrics(scores: Scores) -> dict[str, float]:
    """Return error (share of wrong predictions) and NLL (nats) of the labelled examples, for validation.

    >>> quick_metrics(Scores.of(torch.tensor([[0.0, 9.0], [0.0, 9.0]]), torch.tensor([1, 0])))["error"]
    0.5
    """
    scores = scores.known()
    # float64, because a mean over millions of float32 values loses digits
    return {"error": float(scores.wrong.double().mean()), "nll": float(scores.nll.double().mean())}


def perplexity(nll: float) -> float:
    """Return exp(NLL) of a mean NLL in nats; infinite if it overflows.

    >>> perplexity(0.0), perplexity(1e6)
    (1.0, inf)
    """
    return math.exp(nll) if nll < MAX_EXPONENT else math.inf


def nll_of_each(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the NLL of each example in nats, float64 `[examples]`.

    Args:
        logits: logits, `[examples, classes]`.
        labels: known labels, int64 `[examples]`.
    """
    return F.cross_entropy(logits.double(), labels, reduction="none")


def all_metrics(scores: Scores, classes: tuple[str, ...]) -> dict[str, Any]:
    """Return errors with a 95% interval, NLL, calibration error, and errors of each class.

    Args:
        scores: scores of a model; unlabelled examples are left out.
        classes: class names.

    Returns:
        `samples`, `errors` (count), `error` (share), `error_interval` (Wilson, 95%), `nll` (nats), `ece` (share, 15
        bins), and, for up to 1,000 classes, `class_errors`, a pair [wrong, samples] by name.
    """
    scores = scores.known()
    errors, samples = int(scores.wrong.sum()), len(scores.labels)
    found: dict[str, Any] = {
        "samples": samples,
        "errors": errors,
        "error": errors / samples,
        "error_interval": wilson_interval(errors, samples),
        "nll": quick_metrics(scores)["nll"],
        "ece": expected_calibration_error(scores.confidence, ~scores.wrong),
    }
    if len(classes) <= MAX_COUNTED_CLASSES:  # result.json would be mostly this table
        counts = [labels.bincount(minlength=len(classes)) for labels in (scores.labels[scores.wrong], scores.labels)]
        found["class_errors"] = dict(zip(classes, torch.stack(counts, 1).tolist(), strict=True))
    return found
