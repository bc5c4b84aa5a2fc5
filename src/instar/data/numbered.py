"""Sources whose labels are numbers, made of those that have a class for each distinct number."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from instar.analysis.scores import UNLABELLED
from instar.config import DataConfig
from instar.data.columns.held import NUMBERS, Held
from instar.data.source import Source
from instar.errors import DataError
from instar.tasks.regression import MAX_OFFSET, Regression


def make_numbers(sources: Mapping[str, Source], config: DataConfig) -> dict[str, Source]:
    """Return sources whose labels are numbers: a column of them, and labels that tell which are known.

    Args:
        sources: sources by split, with a class for each distinct number.
        config: its `label_column` names the numbers.

    Raises:
        DataError: when samples have several labels, or those of the training samples have no spread.
    """
    values = {split: _numbers_of(source) for split, source in sources.items()}
    train = sources["train"]
    known = values["train"] if train.mask is None else values["train"][train.mask]
    known = known[~known.isnan()]
    name = config.label_column or "label"
    spread = float(known.std(correction=0)) if len(known) > 1 else 0.0
    if not spread > 0:
        what = f"all {float(known[0]):g}" if len(known) else "all missing"
        raise DataError(
            f"the training labels of '{train.name}' are {what}; numbers need at least two different labels, because "
            "models standardise them."
        )
    task = Regression(float(known.mean()), spread)
    if abs(task.mean) > MAX_OFFSET * spread:
        raise DataError(
            f"the labels of '{train.name}' are {task.mean:.9g} on average with a spread of {spread:.3g}, too far from "
            "0 for the precision of a model; subtract a constant from them."
        )
    return {
        split: replace(
            source,
            labels=torch.where(source.labels == UNLABELLED, UNLABELLED, 0),
            classes=(name,),
            task=task,
            columns={**source.columns, NUMBERS: Held(values[split].float())},
            settings={**source.settings, "labels": "numbers"},
        )
        for split, source in sources.items()
    }


def _numbers_of(source: Source) -> Tensor:
    if source.labels.dim() > 1:
        raise DataError(
            f"data.labels=numbers needs one label for each sample, and labels of '{source.name}' have "
            f"{source.positions} positions."
        )
    if NUMBERS in source.columns:
        raise DataError(f"'{source.name}' has a column '{NUMBERS}', which is the name of the labels; rename it.")
    try:
        distinct = torch.tensor([*map(float, source.classes), torch.nan], dtype=torch.float64)
    except ValueError:
        raise DataError(
            f"labels of '{source.name}' are names of classes ({', '.join(source.classes):.60}), and no numbers; leave "
            "out data.labels=numbers."
        ) from None
    return distinct[source.labels]  # the last of them, NaN, is that of UNLABELLED
