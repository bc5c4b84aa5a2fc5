"""Where there is a loss: a mask beside the labels, per sample or per position."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from instar.data.samples import Source
from instar.errors import DataError


def with_masks(sources: Mapping[str, Source], given: Any) -> dict[str, Source]:
    """Return sources whose samples, or positions of samples, have a loss only where a mask is true.

    A mask is not the lack of a label: an example without a label still has soft targets, one without a loss has
    nothing that is learnt or judged.

    Args:
        sources: by split.
        given: a mask for each split by its name, or a pair (train, test); or one mask, where there is one source. It is
            bool (or 0 and 1), `[samples]` or in the shape of the labels; none: there is a loss everywhere.

    Raises:
        DataError: when a mask has another shape, holds other values, names no split, or leaves no loss at all.

    >>> source = Source("three", torch.zeros(3, 2), torch.tensor([0, 1, 0]), ("a", "b"))
    >>> with_masks({"train": source}, [1, 1, 0])["train"].mask.tolist()
    [True, True, False]
    """
    if given is None:
        return dict(sources)
    masks: dict[str, Any]
    if isinstance(given, Mapping):
        masks = dict(given)
    elif len(sources) == 1:
        masks = dict.fromkeys(sources, given)
    elif isinstance(given, tuple) and len(given) == 2:
        masks = dict(zip(("train", "test"), given, strict=True))
    else:
        raise DataError("give a mask for each split, as mask={'train': ..., 'test': ...}; None: a loss everywhere.")
    unknown = [name for name in masks if name not in sources]
    if unknown:
        raise DataError(f"the mask names the split '{unknown[0]}'; the data have: {', '.join(sources)}.")
    return {
        split: source if masks.get(split) is None else replace(source, mask=_read_mask(source, masks[split]))
        for split, source in sources.items()
    }


def _read_mask(source: Source, given: Any) -> Tensor:
    array = given.detach().cpu().numpy() if isinstance(given, Tensor) else np.asarray(given)
    if array.dtype.kind not in "biuf" or not np.isin(array, (0, 1)).all():
        raise DataError(f"the mask of '{source.name}' must hold True and False, or 1 and 0; got {array.dtype} values.")
    shape = tuple(source.labels.shape)
    if array.shape not in {shape, shape[:1]}:
        raise DataError(
            f"the mask of '{source.name}' must have the shape of its labels, {list(shape)}, or {list(shape[:1])} for "
            f"whole samples; got {list(array.shape)}."
        )
    mask = torch.from_numpy(array.astype(bool))
    if mask.dim() < len(shape):
        mask = mask[:, None].expand(shape)
    if source.lengths is not None:
        mask = mask & (torch.arange(shape[1]) < source.lengths[:, None])
    if not mask.any():
        raise DataError(f"the mask of '{source.name}' is False everywhere, so that there is no loss at all.")
    return mask.contiguous()
