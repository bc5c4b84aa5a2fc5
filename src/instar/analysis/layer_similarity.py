"""Similarity of the layers of two networks, whatever their widths."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def linear_cka(first: Sequence[Tensor], second: Sequence[Tensor]) -> Tensor:
    """Return || Y'X ||_F^2 / (|| X'X ||_F || Y'Y ||_F) for each layer X of one network and Y of another, centred.

    1 for outputs that are rotations and multiples of each other, 0 for outputs that have nothing in common, and NaN
    where one of them is constant.

    Source: Kornblith et al. 2019, "Similarity of neural network representations revisited", equation 4.

    Args:
        first: outputs of layers, each `[samples, ...]`.
        second: outputs of the other network for the same samples.

    Returns:
        float64 `[first, second]`.

    >>> x = torch.tensor([[0.0, 1.0], [2.0, 1.0], [1.0, 4.0]])
    >>> linear_cka([x], [3 * x.flip(1), x[:, :1]]).round(decimals=3)
    tensor([[1.0000, 0.3160]], dtype=torch.float64)
    """
    rows, columns = ([_centred_products(outputs) for outputs in network] for network in (first, second))
    return torch.stack([torch.stack([(a * b).sum() / (a.norm() * b.norm()) for b in columns]) for a in rows])


def _centred_products(outputs: Tensor) -> Tensor:
    # products of samples, because layers have more values than there are samples; || Y'X || is the sum of both
    values = outputs.flatten(1).double()
    centred = values - values.mean(0)
    products: Tensor = centred @ centred.T
    return products
