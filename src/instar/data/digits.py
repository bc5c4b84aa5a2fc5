"""The built-in data set: scikit-learn's 1,797 handwritten digits of 8 x 8 pixels."""

from __future__ import annotations

import torch

from instar.data.samples import Samples
from instar.data.source import Source


def load_digits() -> tuple[Source, None, Source]:
    """Return (train, None, test) with 1,200 and 597 digits, split at random with a fixed seed; pixels are in 0..1.

    Source: UCI "Optical Recognition of Handwritten Digits" (Alpaydin and Kaynak 1998), as scikit-learn ships it.
    """
    from sklearn import datasets

    found = datasets.load_digits()
    inputs = torch.as_tensor(found.images, dtype=torch.float32)[:, None] / 16  # 17 grey levels
    labels = torch.as_tensor(found.target, dtype=torch.int64)
    classes = tuple(str(name) for name in found.target_names)
    # scikit-learn has no test split of its own
    train, test = Samples.all_of(Source("digits", inputs, labels, classes)).split(597 / 1797, seed=0)
    return (
        Source("digits (train)", train.inputs(), train.labels, classes),
        None,
        Source("digits (test)", test.inputs(), test.labels, classes),
    )
