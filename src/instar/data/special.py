"""Training data of a specialist: half from its classes, half from the rest, which may be one class or unlabelled."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import torch

from instar.analysis.scores import UNLABELLED
from instar.config import DataConfig
from instar.data.samples import Samples
from instar.data.source import Source
from instar.errors import DataError
from instar.seeds import generator

DUSTBIN = "(all others)"
"""Name of the last class, which stands for all classes that are not special."""


def select_special_classes(
    config: DataConfig, train: Samples, held_out: Samples | None, test: Samples
) -> tuple[Samples, Samples | None, Samples]:
    """Return training, validation and test samples for a specialist.

    All training samples stay, marked so that half of each epoch is special. Validation keeps as many special samples as
    others, the same ones in each epoch, so that scores are comparable. All test samples stay.

    Raises:
        DataError: when a class is unknown or named twice, or one of the halves has no samples.
    """
    names = list(config.special_classes)
    if len(set(names)) < len(names):
        raise DataError("'special_classes' names a class twice.")
    special, classes = train.of_classes(names), train.class_indices(names)
    train = replace(train, special=special)
    if held_out is not None:
        held_out = _balance_halves(held_out, held_out.of_classes(names), config.split_seed)
    # an unlabelled sample may be of the rest, because soft targets teach it; one without a loss teaches nothing
    judged, has_loss = train.judged_labels(), train.source.valid(train.ids)
    absent = [name for name, index in zip(names, classes.tolist(), strict=True) if index not in judged]
    rest = ~special if has_loss is None else ~special & has_loss
    if absent or not rest.any():
        missing = f"special class '{absent[0]}'" if absent else "the rest"
        raise DataError(f"'{train.source.name}' has no training samples of {missing}.")
    if config.rest == "dustbin":
        # cached, so that train and validation of one source still share one
        reduced = cache(lambda source: _with_dustbin(source, names))
        return (
            train.move(*reduced(train.source)),
            None if held_out is None else held_out.move(*reduced(held_out.source)),
            test.move(*reduced(test.source)),
        )
    if config.rest == "unlabelled":
        train = replace(train, own_labels=torch.where(special, train.labels, UNLABELLED))
    return train, held_out, test


def _balance_halves(samples: Samples, special: torch.Tensor, seed: int) -> Samples:
    judged = samples.judged_labels() != UNLABELLED  # samples that are not judged would unbalance the halves
    halves = (special & judged).nonzero()[:, 0], (~special & judged).nonzero()[:, 0]
    count = min(map(len, halves))
    if count == 0:  # an unbalanced score is better than none
        return samples
    drawn = [half[torch.randperm(len(half), generator=generator(seed, "half"))[:count]] for half in halves]
    return samples.select(torch.cat(drawn).sort().values)


def _with_dustbin(source: Source, names: list[str]) -> tuple[Source, torch.Tensor]:
    if DUSTBIN in names:
        raise DataError(
            f"'{DUSTBIN}' is the name of the dustbin class and cannot be a special class; rename the class."
        )
    new = torch.full((len(source.classes) + 1,), len(names))  # the number of the dustbin for each old class
    new[Samples.all_of(source).class_indices(names)] = torch.arange(len(names))
    new[UNLABELLED] = UNLABELLED  # index -1, the entry beyond the classes
    return replace(source, labels=new[source.labels], classes=(*names, DUSTBIN), whole=source), new
