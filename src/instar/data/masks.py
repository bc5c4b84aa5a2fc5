"""Masks of samples or positions that have a loss."""

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


def apply_masks(sources: Mapping[str, Source], given: Any) -> dict[str, Source]:
    """Return sources whose samples or positions have a loss only where a mask is true.

    A masked example differs from an unlabelled one: an unlabelled example still has soft targets, but a masked example
    is neither trained on nor evaluated.

    Args:
        sources: sources by split.
        given: a mask per split by name, a pair (train, test), or one mask for a single source. A mask is bool (or 0 and
            1), `[samples]` or in the shape of the labels; None: all examples have a loss.

    Raises:
        DataError: when a mask has another shape, other values, an unknown split, or is false everywhere.

    >>> source = Source("three", torch.zeros(3, 2), torch.tensor([0, 1, 0]), ("a", "b"))
    >>> apply_masks({"train": source}, [1, 1, 0])["train"].mask.tolist()
    [True, True, False]
    """
    if given is None:
        return dict(sources)
    masks = match_splits(sources, given, "mask", "mask={'train': ..., 'test': ...}")
    return {
        split: replace(source, mask=_read_mask(source, masks[split])) if split in masks else source
        for split, source in sources.items()
    }


def _read_mask(source: Source, given: Any) -> Tensor:
    array = given.detach().cpu().numpy() if isinstance(given, Tensor) else np.asarray(given)
    # masks that come from arithmetic are 0.0 and 1.0; NaN is neither
    if array.dtype.kind not in "biuf" or not np.isin(array, (0, 1)).all():
        raise DataError(f"the mask of '{source.name}' must be True and False, or 1 and 0; got {array.dtype} values.")
    shape = tuple(source.labels.shape)
    if array.shape not in {shape, shape[:1]}:
        raise DataError(
            f"the mask of '{source.name}' must have the shape of its labels, {list(shape)}, or {list(shape[:1])} for "
            f"whole samples; got {list(array.shape)}."
        )
    mask = torch.from_numpy(array.astype(bool))
    if mask.dim() < len(shape):
        mask = mask[:, None].expand(shape)  # [samples, position]
    if source.label_lengths is not None:  # padding has no loss, and a mask that is true only there leaves none
        mask = mask & (torch.arange(shape[1]) < source.label_lengths[:, None])
    if source.mask is not None:  # prompts of instructions have no loss, whatever else has none
        mask = mask & source.mask
    if not mask.any():
        raise DataError(f"the mask of '{source.name}' is False everywhere, so no sample has a loss.")
    return mask.contiguous()
