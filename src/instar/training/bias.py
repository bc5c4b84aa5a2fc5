"""Offsets for classes that a transfer set lacked, or held too often.

A student that has never been shown a class gives it too small a bias, and ranks it well among its own candidates all
the same: "the relatively high error is mainly because the learned bias for the 3 class is much too low" (Hinton et al.
2015, section 3). The paper chose its offsets on the test set; the two rules here do not look at it.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from instar.errors import ConfigError
from instar.models import last_bias


def prior_offset(logits: Tensor, classes: list[int], prior: Tensor, iterations: int = 10_000) -> Tensor:
    """Find b such that the mean predicted probability of each named class equals its prior, without labels.

    Solves (1/N) sum_n softmax(z_n + b)_k = prior_k for k in `classes`, b = 0 elsewhere, by b_k <- b_k + log(prior_k /
    mean_k) until all differ by less than 1e-6 relative.

    Args:
        logits: of unlabelled samples that have all classes, `[samples, classes]`.
        classes: indices of the classes to shift.
        prior: share of each class among such samples, `[classes]`.
        iterations: the most updates.

    Returns:
        b, `[classes]`, in nats.

    Raises:
        ConfigError: when a prior is 0 or those of the named classes sum to 1 or more.

    >>> logits = torch.tensor([[0.0, -3.0], [0.0, -1.0]])
    >>> b = prior_offset(logits, [1], torch.tensor([0.5, 0.5]))
    >>> torch.softmax(logits + b, 1).mean(0)
    tensor([0.5000, 0.5000])
    """
    named = torch.tensor(classes)
    wanted = prior[named].double()
    if not (wanted > 0).all() or not wanted.sum() < 1:
        raise ConfigError(
            f"the priors of the shifted classes must be above 0 with a sum below 1, got {wanted.tolist()}."
        )
    offset = torch.zeros(logits.shape[1], dtype=torch.float64)
    logits = logits.double()
    for _ in range(iterations):
        # a class that was never shown may have probabilities that underflow
        mean = torch.softmax(logits + offset, dim=1).mean(0)[named].clamp(min=1e-300)
        offset[named] += (wanted / mean).log()
        if ((mean / wanted - 1).abs() < 1e-6).all():
            break
    return offset.float()


def labelled_offset(logits: Tensor, labels: Tensor, classes: list[int]) -> Tensor:
    """Find b that minimises the NLL of labelled samples over the offsets of the named classes; a convex problem.

    Args:
        logits: `[samples, classes]`.
        labels: int64 `[samples]`, every sample with its label.
        classes: indices of the classes to shift.

    Returns:
        b, `[classes]`, in nats; 0 for the other classes.

    >>> logits = torch.tensor([[0.0, -3.0], [0.0, -1.0], [0.0, -2.0], [0.0, -2.0]])
    >>> b = labelled_offset(logits, torch.tensor([0, 1, 0, 1]), [1])
    >>> round(b[1].item(), 2)
    2.0
    """
    from scipy.optimize import minimize

    z, named = logits.double(), torch.tensor(classes)

    def loss(values: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        offset = torch.zeros(z.shape[1], dtype=torch.float64)
        offset[named] = torch.as_tensor(values)
        log_probs = torch.log_softmax(z + offset, dim=1)
        nll = -log_probs.gather(1, labels[:, None]).mean()
        shares = torch.nn.functional.one_hot(labels, z.shape[1]).double()
        return float(nll), (log_probs.exp() - shares).mean(0)[named].numpy()

    offset = torch.zeros(z.shape[1])
    found = minimize(loss, np.zeros(len(classes)), jac=True, method="BFGS").x
    offset[named] = torch.as_tensor(found, dtype=torch.float32)
    return offset


@torch.no_grad()
def shift_logits(model: nn.Module, offset: Tensor) -> None:
    """Add `offset` `[classes]` to the last bias of a model, in place.

    Raises:
        MismatchError: when the model does not end in a linear layer with a bias.
    """
    bias = last_bias(model, len(offset))
    bias.add_(offset.to(bias))
