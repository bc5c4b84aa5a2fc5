"""How many samples each sample counts as in an objective."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from instar.data.source import Source
from instar.data.splits import match_splits
from instar.errors import DataError


def apply_weights(sources: Mapping[str, Source], given: Any) -> dict[str, Source]:
    """Return sources whose samples have weights.

    Args:
        sources: sources by split.
        given: weights per split by name, a pair (train, test), or one array for a single source, `[samples]`; None: all
            samples count once.

    Raises:
        DataError: when weights have another shape, an unknown split, are below 0 or not finite, or are all 0.

    >>> source = Source("three", torch.zeros(3, 2), torch.tensor([0, 1, 0]), ("a", "b"))
    >>> apply_weights({"train": source}, [1, 0, 2.5])["train"].weights.tolist()
    [1.0, 0.0, 2.5]
    """
    if given is None:
        return dict(sources)
    weights = match_splits(sources, given, "weights", "weights={'train': ..., 'test': ...}")
    return {
        split: replace(source, weights=_read_weights(source, weights[split])) if split in weights else source
        for split, source in sources.items()
    }


def _read_weights(source: Source, given: Any) -> Tensor:
    array = given.detach().cpu().numpy() if isinstance(given, Tensor) else np.asarray(given)
    if source.labels.dim() != 1 or array.shape != (len(source),) or array.dtype.kind not in "biuf":
        raise DataError(
            f"the weights of '{source.name}' must be one number for each of its {len(source)} samples, which have one "
            f"label each; got {array.dtype} of shape {list(array.shape)}."
        )
    found = array.astype(np.float64)
    with np.errstate(over="ignore"):
        total = found.sum()
    # losses and sums of them are float32
    if not (np.isfinite(found).all() and (found >= 0).all() and 0 < total < np.finfo(np.float32).max):
        raise DataError(
            f"the weights of '{source.name}' must be finite numbers of at least 0, not all 0, with a sum below 3e38; "
            f"got {found.min():g} to {found.max():g}."
        )
    return torch.from_numpy(found)
