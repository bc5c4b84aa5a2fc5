"""Gradients of the label loss with respect to hidden layers or inputs, in place of the outputs of these layers."""

from __future__ import annotations

from collections.abc import Collection

import torch
import torch.nn.functional as F
from torch import Tensor

from instar.analysis.scores import UNLABELLED
from instar.compute.projected import Projected
from instar.errors import MismatchError

GRADIENT = "gradient of "
"""What stands before the name of a layer whose gradient is asked for, and not its output."""

INPUTS = "inputs"
"""Name of what the network is called with, among layers whose gradient is asked for."""


def want_gradients(names: Collection[str]) -> bool:
    """Return whether any of some names asks for a gradient.

    >>> want_gradients(["stage1"]), want_gradients(["gradient of stage1"])
    (False, True)
    """
    return any(name.startswith(GRADIENT) for name in names)


def replace_by_gradients(
    features: dict[str, Tensor], logits: Tensor | Projected, labels: Tensor, who: str, *, keep_graph: bool
) -> None:
    """Replace outputs of layers whose gradient was asked for by d/dA -log softmax(z)_y of each sample.

    Args:
        features: outputs of layers by name, `[batch, ...]`, with their graph; changed in place.
        logits: logits z, `[batch, classes]`.
        labels: labels y; a sample without a label has gradients of 0.
        who: what has the layers, for error messages, such as "the student".
        keep_graph: allow gradients of these gradients.

    Raises:
        MismatchError: when there is not one label for each sample, or no gradient reaches a layer.

    >>> x, labels = torch.zeros(1, 2, requires_grad=True), torch.tensor([0])
    >>> features = {"gradient of x": x}
    >>> replace_by_gradients(features, 3 * x, labels, "the student", keep_graph=False)
    >>> features["gradient of x"]
    tensor([[-1.5000,  1.5000]])
    """
    names = [name for name in features if name.startswith(GRADIENT)]
    if not names:
        return
    if not isinstance(logits, Tensor) or labels.dim() != 1:
        raise MismatchError("gradients of layers need logits of one label for each sample.")
    with torch.enable_grad():  # a teacher is called without
        loss = F.cross_entropy(logits.float(), labels, ignore_index=UNLABELLED, reduction="sum")
    layers = [features[name] for name in names]
    if not loss.requires_grad or not all(layer.requires_grad for layer in layers):
        raise MismatchError(f"no gradient reaches the layers of {who}; its weights before them are frozen.")
    # a sum and no mean, so that the gradient of a sample is its own, whatever the size of the batch
    found = torch.autograd.grad(loss, layers, create_graph=keep_graph, allow_unused=True)
    for name, gradient in zip(names, found, strict=True):
        if gradient is None:
            raise MismatchError(f"the logits of {who} do not depend on its layer '{name.removeprefix(GRADIENT)}'.")
        features[name] = gradient
