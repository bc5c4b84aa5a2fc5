"""How data were read, in one line for people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from instar.analysis.scores import UNLABELLED
from instar.data.samples import Samples
from instar.errors import one_line

if TYPE_CHECKING:
    from instar.data.dataset import Data

_SHOWN_CLASSES = 6
_SHOWN_LETTERS = 20


def describe_data(data: Data) -> str:
    """Return the samples of each split, the classes, the shape of an input and how it was read, in one line.

    >>> from instar.data import load_data
    >>> describe_data(load_data("digits")).split("; ")[:2]
    ["'digits': 1,080 train, 120 validation and 597 test samples", '10 classes (0, 1, 2, 3, 4, ..., 9)']
    """
    splits = {"train": data.train, "validation": data.validation, "test": data.test}
    counts = [f"{len(samples):,} {split}" for split, samples in splits.items() if samples is not None]
    source = data.train.source
    inputs = f"inputs {list(data.train.input_shape)} {str(source.inputs.dtype).removeprefix('torch.')}"
    parts = [
        f"'{data.config.source}': {', '.join(counts[:-1])} and {counts[-1]} samples",
        f"{len(data.classes):,} classes ({_names(data.classes)})",
        inputs + (f" ({source.reading})" if source.reading else ""),
    ]
    for split, samples in splits.items():
        if samples is not None:
            parts += _peculiar(split, samples)
    seen, asked = (_classes_of(Samples.all_of(each).judged_labels()) for each in (source, data.test.source))
    unseen = asked - seen
    if unseen and seen:
        parts.append(f"no train sample has the class {_names([data.classes[number] for number in sorted(unseen)])}")
    return "; ".join(parts)


def _peculiar(split: str, samples: Samples) -> list[str]:
    """Return how many labels are missing, and how many have no loss."""
    what = "samples" if samples.source.positions is None else "positions"
    valid = torch.ones_like(samples.labels, dtype=torch.bool)
    if samples.source.lengths is not None:
        valid = torch.arange(valid.shape[1]) < samples.source.lengths[samples.ids][:, None]
    missing = int((valid & (samples.labels == UNLABELLED)).sum())
    found = [f"{missing:,} {split} {what} without a label"] if missing else []
    if samples.source.mask is not None:
        masked = int((valid & ~samples.source.mask[samples.ids]).sum())
        found.append(f"{masked:,} {split} {what} without a loss")
    return found


def _classes_of(labels: Tensor) -> set[int]:
    return set(labels.unique().tolist()) - {UNLABELLED}


def _names(names: Sequence[str]) -> str:
    some = names if len(names) <= _SHOWN_CLASSES else [*names[: _SHOWN_CLASSES - 1], "...", names[-1]]
    cut = (name if len(name) <= _SHOWN_LETTERS else f"{name[:_SHOWN_LETTERS]}..." for name in some)
    return one_line(", ".join(cut))
