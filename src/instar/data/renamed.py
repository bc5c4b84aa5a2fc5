"""The same data with the classes of a model: numbers of classes change, samples do not."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import torch
from torch import Tensor

from instar.analysis.scores import UNLABELLED
from instar.data.dataset import Data
from instar.data.opening import listed
from instar.data.samples import Samples, Source
from instar.data.text import UNKNOWN
from instar.errors import MismatchError
from instar.tasks.next_token import NextToken


def with_classes(data: Data, classes: tuple[str, ...], whose: str, *, by_number: bool = False) -> Data:
    """Return data whose labels number these classes; words of a text that are none of them become `<unk>`.

    Args:
        data: with classes of the same names, in any order.
        classes: what they are to be.
        whose: these are, for people.
        by_number: take each class for the one of the same number, whatever its name.

    Raises:
        MismatchError: when a sample has a class that is none of these.
    """
    if not classes or data.classes == classes:
        return data
    renamed = cache(lambda source: _renamed(source, classes, whose, by_number))

    def moved(samples: Samples) -> Samples:
        source, new = renamed(samples.source)
        return replace(samples, source=source, labels=new[samples.labels])

    validation = None if data.validation is None else moved(data.validation)
    return replace(data, train=moved(data.train), validation=validation, test=moved(data.test))


def _renamed(source: Source, classes: tuple[str, ...], whose: str, by_number: bool) -> tuple[Source, Tensor]:
    """Return a source with other classes, and the new number of each old one; the last is of no label."""
    numbers = {name: number for number, name in enumerate(classes)}
    # the tokens of windows are numbered as the classes are; those of arrays have numbers of their own, and no lengths
    is_text = isinstance(source.task, NextToken) and source.lengths is not None
    unknown = numbers.get(UNKNOWN) if is_text else None
    found = list(range(len(source.classes))) if by_number else [numbers.get(name, unknown) for name in source.classes]
    missing = [at for at, number in enumerate(found) if number is None]
    present = torch.isin(torch.tensor(missing, dtype=torch.long), source.labels)
    if present.any():
        names = [source.classes[at] for at, is_there in zip(missing, present.tolist(), strict=True) if is_there]
        raise MismatchError(
            f"'{source.name}' has samples of classes that {whose} does not know ({listed(names)}); it knows "
            f"{listed(classes)}."
        )
    new = torch.tensor([UNLABELLED if number is None else number for number in found] + [UNLABELLED])
    inputs = new[source.inputs.long()].to(source.inputs.dtype) if is_text else source.inputs
    return replace(source, inputs=inputs, labels=new[source.labels], classes=classes, whole=None), new
