"""Offsets for classes that were missing from a transfer set, or too frequent in it.

A student that has never seen a class learns about it from the soft targets of the other classes, but its bias for this
class is too small. Shifting its logit repairs most of the errors (Hinton et al. 2015, section 3). The paper chose its
offsets on the test set; the two rules here do not use it.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from instar.compute.inputs import Inputs
from instar.data.samples import Samples
from instar.errors import ConfigError
from instar.models.build import last_layer


def prior_offset(logits: Tensor, classes: list[int], prior: Tensor) -> Tensor:
    """Find b such that the mean predicted probability of each named class equals its prior, without labels.

    Solves (1/N) sum_n softmax(z_n + b)_k = prior_k for k in `classes`, with b = 0 elsewhere.

    Args:
        logits: logits of unlabelled samples of all classes, `[samples, classes]`.
        classes: indices of the classes to shift.
        prior: share of each class among such samples, `[classes]`.

    Returns:
        b, `[classes]`, in nats.

    Raises:
        ConfigError: when a prior is 0 or those of the named classes sum to 1 or more.

    >>> logits = torch.tensor([[0.0, -3.0], [0.0, -1.0]])
    >>> b = prior_offset(logits, [1], torch.tensor([0.5, 0.5]))
    >>> torch.softmax(logits + b, 1).mean(0)
    tensor([0.5000, 0.5000])
    """
    wanted = prior[classes].double()
    # a mean probability of exactly 0 or 1 would need an infinite offset
    if not (wanted > 0).all() or not wanted.sum() < 1:
        raise ConfigError(
            f"the priors of the shifted classes must be above 0 with a sum below 1, got {wanted.tolist()}."
        )
    return _offset_for_means(logits, classes, wanted)


def to_prior(samples: Samples) -> Tensor:
    """Return the offset that corrects the prior of a model whose epochs are half special samples, or balanced.

    With pi the share of special samples in the data, and 1/2 in each epoch, Bayes' rule multiplies the odds of the rest
    by (1 - pi) / pi. Its logarithm is added to the logits of all other classes, which may be one dustbin. This is exact
    for a model that learns from labels, and nearly right for one that learns the rest from soft targets, because these
    give some probability to the special classes. Balanced epochs have each of C classes with probability 1 / C, so
    log(C pi_c) is added to the logit of class c.

    Source: Hinton et al. 2015, section 5.1 ("the log of the proportion by which the specialist class is oversampled").

    Args:
        samples: labelled samples, some of them special, or balanced.

    Returns:
        b, `[classes]`, in nats.

    >>> from instar.data import load_data
    >>> digits = load_data("digits", special_classes=["0"], rest="dustbin").train
    >>> to_prior(digits)
    tensor([0.0000, 2.2076])
    """
    if samples.is_balanced:
        shares = samples.count_labels()[:-1].double() / len(samples)
        # a class without samples is never drawn, and keeps its logit
        return torch.where(shares > 0, (shares * (shares > 0).sum()).log(), 0.0).float()
    assert samples.special is not None, "a configuration that corrects a prior has special classes"
    special = int(samples.special.sum())
    # log((1 - pi) / pi) with pi = special / len(samples)
    offset = torch.full((samples.num_classes,), math.log((len(samples) - special) / special))
    offset[samples.labels[samples.special].unique()] = 0.0
    return offset


def labelled_offset(logits: Tensor, labels: Tensor, classes: list[int]) -> Tensor:
    """Find the one offset of all named classes with the fewest errors on labelled samples.

    The model predicts the best of the named classes K if b exceeds the margin of a sample, the largest logit outside K
    minus the largest in K. So the number of errors changes only at margins, and its minimum is found exactly; b is the
    middle of the widest interval between two margins with this minimum. (One offset per class, fitted by NLL, would be
    `prior_offset` with the shares of these labels as priors: the gradient of the NLL is their difference.)

    Args:
        logits: `[samples, classes]`.
        labels: int64 `[samples]`, without unlabelled samples.
        classes: indices of the classes to shift.

    Returns:
        b, `[classes]`, in nats; 0 for the other classes.

    >>> logits = torch.tensor([[0.0, -3.0], [0.0, -1.0], [0.0, -3.0], [0.0, -2.0]])
    >>> labelled_offset(logits, torch.tensor([0, 1, 0, 1]), [1])
    tensor([0.0000, 2.5000])
    """
    named = torch.zeros(logits.shape[1], dtype=torch.bool)
    named[classes] = True
    best_other, other = logits.masked_fill(named, -torch.inf).max(1)
    best_named, chosen = logits.masked_fill(~named, -torch.inf).max(1)
    margins, order = (best_other - best_named).double().sort()
    # errors, up to a constant, with no sample predicted as a named class, with the first one, with the first two, ...
    gained = (chosen != labels).long() - (other != labels).long()
    errors = torch.cat([torch.zeros(1, dtype=torch.int64), gained[order].cumsum(0)])
    # the outer intervals have no end; a width of 1 nat keeps b near the margins that were seen
    edges = torch.cat([margins[:1] - 1, margins, margins[-1:] + 1])
    widths = torch.where(errors == errors.min(), edges.diff(), -1.0)  # below all widths, which equal margins make 0
    at = int(widths.argmax())
    return named * float(edges[at : at + 2].mean())


def _offset_for_means(logits: Tensor, classes: list[int], wanted: Tensor) -> Tensor:
    from scipy.optimize import minimize

    # the minimum of the convex F(b) = (1/N) sum_n log sum_c exp(z_nc + b_c) - sum_k wanted_k b_k; repeating
    # b_k += log(wanted_k / mean_k) ends there too, after tens of thousands of rounds if nearly all classes are shifted
    z = logits.double()

    def probabilities(values: NDArray[np.float64]) -> tuple[Tensor, Tensor]:
        shifted = z.clone()
        shifted[:, classes] += torch.as_tensor(values)
        return shifted.logsumexp(1).mean(), torch.softmax(shifted, 1)[:, classes]

    def value_and_gradient(values: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        level, found = probabilities(values)
        # dF/db_k = mean_k - wanted_k
        return float(level) - float(wanted.numpy() @ values), (found.mean(0) - wanted).numpy()

    def curvature(values: NDArray[np.float64]) -> NDArray[np.float64]:
        _, found = probabilities(values)
        # the mean covariance of the predictions, diag(mean p) - mean(p p^T)
        second: NDArray[np.float64] = (found.mean(0).diag() - found.T @ found / len(found)).numpy()
        return second

    found = minimize(
        value_and_gradient,
        np.zeros(len(classes)),
        jac=True,
        hess=curvature,
        method="trust-exact",
        options={"gtol": 1e-9, "max_trust_radius": 1e6},
    ).x
    offset = torch.zeros(logits.shape[1])
    offset[classes] = torch.as_tensor(found, dtype=torch.float32)
    return offset


@torch.no_grad()
def shift_logits(model: nn.Module, offset: Tensor, inputs: Inputs) -> None:
    """Add `offset` `[classes]` to the last bias of a model in place; finds it with a few raw `inputs` `[n, ...]`.

    Raises:
        MismatchError: when the model does not end in a linear layer with a bias.
    """
    _, layer = last_layer(model, len(offset), "shift its logits", inputs)
    layer.bias.add_(offset.to(layer.bias))
