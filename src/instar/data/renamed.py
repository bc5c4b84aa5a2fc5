"""Renumbering of the classes of data to those of a model."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import torch
from torch import Tensor

from instar.analysis.scores import UNLABELLED
from instar.data.dataset import Data
from instar.data.opening import join_names
from instar.data.samples import Samples
from instar.data.source import Source
from instar.data.text import UNKNOWN_TOKEN
from instar.errors import MismatchError
from instar.tasks.next_token import NextToken


def rename_classes(data: Data, classes: tuple[str, ...], whose: str, *, by_number: bool = False) -> Data:
    """Return data whose labels are numbers of `classes`; other words of a text become `<unk>`.

    Args:
        data: data with the same class names, in any order.
        classes: class names of the model.
        whose: owner of `classes`, for error messages.
        by_number: match classes by number instead of by name.

    Raises:
        MismatchError: when a sample has a class that is not in `classes`.
    """
    if not classes or data.classes == classes:
        return data
    # cached, because `Data.held_out` asks whether train and validation share one source
    renamed = cache(lambda source: _renumber_classes(source, classes, whose, by_number))

    def moved(samples: Samples) -> Samples:
        return samples.move(*renamed(samples.source))

    validation = None if data.validation is None else moved(data.validation)
    return replace(data, train=moved(data.train), validation=validation, test=moved(data.test))


def _renumber_classes(source: Source, classes: tuple[str, ...], whose: str, by_number: bool) -> tuple[Source, Tensor]:
    numbers = {name: number for number, name in enumerate(classes)}
    # tokens in windows have the numbers of the classes; tokens in arrays have other numbers, and no lengths
    is_text = isinstance(source.task, NextToken) and source.lengths is not None
    unknown = numbers.get(UNKNOWN_TOKEN) if is_text else None
    found = list(range(len(source.classes))) if by_number else [numbers.get(name, unknown) for name in source.classes]
    missing = [at for at, number in enumerate(found) if number is None]
    # a class without samples may be missing, because data may declare more classes than they have
    present = torch.isin(torch.tensor(missing, dtype=torch.long), source.labels)
    if present.any():
        names = [source.classes[at] for at, is_there in zip(missing, present.tolist(), strict=True) if is_there]
        raise MismatchError(
            f"expected the classes of {whose} ({join_names(classes)}), found samples of other classes in "
            f"'{source.name}' ({join_names(names)})."
        )
    # the new number of each old class, and one entry at the end, which is where UNLABELLED (-1) points
    new = torch.tensor([UNLABELLED if number is None else number for number in found] + [UNLABELLED])
    # the inputs of a text are words of the same vocabulary
    inputs = new[source.inputs.long()].to(source.inputs.dtype) if is_text else source.inputs
    return replace(source, inputs=inputs, labels=new[source.labels], classes=classes, whole=None), new
