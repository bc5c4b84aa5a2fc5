"""A one-line description of data and how they were read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from instar.analysis.scores import UNLABELLED
from instar.data.columns.held import INPUTS, NUMBERS
from instar.data.columns.raw import RawColumn
from instar.data.columns.sounds import Sounds
from instar.data.columns.texts import Texts
from instar.data.samples import Samples
from instar.data.source import Column
from instar.errors import one_line

_MAX_SHOWN_CLASSES = 6
_MAX_CLASS_CHARACTERS = 20


def describe_splits(name: str, splits: Mapping[str, Samples]) -> str:
    """Describe in one line the samples per split, the classes, the input shape and how inputs were read.

    Args:
        name: name of the data.
        splits: `train`, `test` and, if there is one, `validation`.
    """
    counts = [f"{len(samples):,} {split}" for split, samples in splits.items()]
    source = splits["train"].source
    named = source.input_names or (INPUTS,)
    inputs = ", ".join(f"{name} {_form(source.find(name))}" for name in named)
    inputs = f"inputs {inputs}" if source.input_names and not source.raw_inputs else inputs
    parts = [
        f"'{name}': {', '.join(counts[:-1])} and {counts[-1]} samples",
        source.task.describe_labels(source.classes)
        or f"{len(source.classes):,} class{'' if len(source.classes) == 1 else 'es'} ({_names(source.classes)})",
        inputs + (f" ({source.reading})" if source.reading else ""),
    ]
    for column, held in source.read_columns.items():
        if column not in (INPUTS, NUMBERS, *named) and not isinstance(held, Sounds):  # frames tell of them
            noun = f"of {held.noun} " if isinstance(held, RawColumn) else ""
            parts.append(f"column '{column}' {noun}{_form(held)}")
    for split, samples in splits.items():
        parts += _empty(split, samples) + _peculiar(split, samples)
    # of the whole sources: classes that a selection leaves out are left out on purpose
    seen, judged = (_classes_of(Samples.all_of(splits[name].source)) for name in ("train", "test"))
    unseen = judged - seen
    if unseen and seen:  # a transfer set without labels has seen none, and needs none
        parts.append(f"no training sample has class {_names([source.classes[number] for number in sorted(unseen)])}")
    return "; ".join(parts)


def _form(column: Column) -> str:
    return column.describe() if isinstance(column, RawColumn) else f"{list(column.shape)} {column.dtype}"


def _empty(split: str, samples: Samples) -> list[str]:
    texts = {name: held for name, held in samples.source.read_columns.items() if isinstance(held, Texts)}
    counts = {name: int((held.sizes[samples.ids] == 0).sum()) for name, held in texts.items()}
    return [f"{count:,} {split} samples with an empty '{name}'" for name, count in counts.items() if count]


def _peculiar(split: str, samples: Samples) -> list[str]:
    what = "samples" if samples.source.positions is None else "positions"
    if samples.source.mask is None:
        missing = int(samples.count_labels()[-1])
        return [f"{missing:,} {split} {what} without a label"] if missing else []
    valid = torch.ones_like(samples.labels, dtype=torch.bool)
    if (lengths := samples.source.label_lengths) is not None:  # padding has no labels either, and is not worth a note
        valid = torch.arange(valid.shape[1]) < lengths[samples.ids][:, None]
    missing = int((valid & (samples.labels == UNLABELLED)).sum())
    found = [f"{missing:,} {split} {what} without a label"] if missing else []
    masked = int((valid & ~samples.source.mask[samples.ids]).sum())
    return [*found, f"{masked:,} {split} {what} without a loss"]


def _classes_of(samples: Samples) -> set[int]:
    return set(samples.count_labels()[:-1].nonzero().flatten().tolist())


def _names(names: Sequence[str]) -> str:
    some = names if len(names) <= _MAX_SHOWN_CLASSES else [*names[: _MAX_SHOWN_CLASSES - 1], "...", names[-1]]
    cut = (name if len(name) <= _MAX_CLASS_CHARACTERS else f"{name[:_MAX_CLASS_CHARACTERS]}..." for name in some)
    return one_line(", ".join(cut))  # a class name may hold a line end
