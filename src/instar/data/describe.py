"""A one-line description of data and how they were read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from instar.analysis.scores import UNLABELLED
from instar.data.samples import Samples
from instar.errors import one_line

_SHOWN_CLASSES = 6
_SHOWN_LETTERS = 20


def describe_splits(name: str, splits: Mapping[str, Samples]) -> str:
    """Describe in one line the samples per split, the classes, the input shape and how inputs were read.

    Args:
        name: of the data.
        splits: `train`, `test` and, where there is one, `validation`.
    """
    counts = [f"{len(samples):,} {split}" for split, samples in splits.items()]
    source = splits["train"].source
    inputs = f"inputs {list(splits['train'].input_shape)} {str(source.inputs.dtype).removeprefix('torch.')}"
    parts = [
        f"'{name}': {', '.join(counts[:-1])} and {counts[-1]} samples",
        f"{len(source.classes):,} classes ({_names(source.classes)})",
        inputs + (f" ({source.reading})" if source.reading else ""),
    ]
    for split, samples in splits.items():
        parts += _peculiar(split, samples)
    seen, judged = (_classes_of(Samples.all_of(splits[name].source).judged_labels()) for name in ("train", "test"))
    unseen = judged - seen
    if unseen and seen:
        parts.append(f"no training sample has class {_names([source.classes[number] for number in sorted(unseen)])}")
    return "; ".join(parts)


def _peculiar(split: str, samples: Samples) -> list[str]:
    """Return notes on missing labels and on samples or positions without a loss."""
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
