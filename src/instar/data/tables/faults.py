"""What seems wrong with the rows of a table: columns that tell nothing, or everything, and classes without samples."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from instar.data.columns.cell_rows import CELLS, CellRows
from instar.data.columns.held import NUMBERS
from instar.data.opening import join_names
from instar.data.samples import Samples
from instar.seeds import generator
from instar.tasks.classification import Classification

MAX_NAMES = 3
"""Most columns or classes that a sentence names."""

MAX_LEAK_ROWS = 10_000
"""Most training rows that are looked at for a column that predicts the label alone."""

MAX_LEAK_CLASSES = 100
"""Most classes of labels that such a column is looked for."""

MAX_LEAK_ERROR = 0.02
"""Share of the errors of chance below which one column alone predicts the label."""

MAX_LEAK_VARIANCE = 0.005
"""Share of the variance of labels that are numbers below which one column alone predicts them."""

MIN_CHANCE_ERRORS = 20
"""Fewest errors of chance that tell a column that predicts the label from luck."""


def find_faults(train: Samples, others: Mapping[str, Samples]) -> list[str]:
    """Return sentences about a table that a user should know before a model learns from it.

    Args:
        train: training samples; data that are no table have no such faults.
        others: validation and test samples by the name of the split.
    """
    rows = train.source.columns.get(CELLS)
    if not isinstance(rows, CellRows):
        return []
    known = rows.take(train.ids)
    found = [*_find_constant_columns(known)]
    if isinstance(train.source.task, Classification) and train.source.positions is None:
        found += [*_find_leaks(known, train.labels, train.num_classes), *_find_missing_classes(train, others)]
    if train.source.task.predicts_numbers:
        found += _find_leaks_of_numbers(known, train.column(NUMBERS))
    return found


def _find_constant_columns(rows: CellRows) -> Iterator[str]:
    is_known = ~rows.values.isnan()
    low = torch.where(is_known, rows.values, torch.inf).amin(0)
    high = torch.where(is_known, rows.values, -torch.inf).amax(0)
    empty = ~is_known.any(0)
    # a column with one value tells something where it is missing in some rows
    constant = is_known.all(0) & (low == high)
    for which, told in (
        (empty, "no value in any training sample"),
        (constant, "the same value in all training samples"),
    ):
        names = [name for name, is_such in zip(rows.schema.names, which.tolist(), strict=True) if is_such]
        if names:
            them = "them" if len(names) > 1 else "it"
            yield (
                f"{_name('column', names)} {told}, so models learn nothing from {them}; leave {them} out with "
                "data.leave_out"
            )


def _find_leaks(rows: CellRows, labels: Tensor, classes: int) -> Iterator[str]:
    if classes > MAX_LEAK_CLASSES:
        return
    labelled = (labels >= 0).nonzero()[:, 0]
    chosen = labelled[torch.randperm(len(labelled), generator=generator(0, "leaks"))[:MAX_LEAK_ROWS]]
    values, answers = rows.values[chosen].numpy(), labels[chosen].numpy()
    half = len(chosen) // 2
    # one half predicts the other, because a column with a value for each row would predict its own half
    chance = int((answers[half:] != np.bincount(answers[:half]).argmax()).sum()) if half else 0
    if chance < MIN_CHANCE_ERRORS:
        return
    for place, name in enumerate(rows.schema.names):
        wrong = _predict_by_nearest(values[:half, place], answers[:half], values[half:, place]) != answers[half:]
        if wrong.sum() <= max(1, MAX_LEAK_ERROR * chance):
            yield (
                f"column '{name}' alone predicts the label of {1 - wrong.mean():.1%} of the training samples; if it is "
                f"known only after the label, leave it out with data.leave_out=['{name}']"
            )


def _find_leaks_of_numbers(rows: CellRows, numbers: Tensor) -> Iterator[str]:
    labelled = (~numbers.isnan()).nonzero()[:, 0]
    chosen = labelled[torch.randperm(len(labelled), generator=generator(0, "leaks"))[:MAX_LEAK_ROWS]]
    values, answers = rows.values[chosen].numpy(), numbers[chosen].double().numpy()
    half = len(chosen) // 2
    if half < MIN_CHANCE_ERRORS:
        return
    for place, name in enumerate(rows.schema.names):
        known, new = values[:half, place], values[half:, place]
        if np.isnan(known).any() or np.isnan(new).any() or np.ptp(known) == 0:
            continue  # a column that holds the label has no gaps
        order, inside = np.argsort(known), (new >= known.min()) & (new <= known.max())
        judged = answers[half:][inside]
        if len(judged) < MIN_CHANCE_ERRORS or not judged.var() > 0:
            continue
        predicted = np.interp(new[inside], known[order], answers[:half][order])  # between neighbours, as numbers are
        r2 = 1 - float(np.square(predicted - judged).mean() / judged.var())
        if r2 >= 1 - MAX_LEAK_VARIANCE:
            yield (
                f"column '{name}' alone predicts the label with an R² of {r2:.4f}; if it is known only later, "
                f"leave it out with data.leave_out=['{name}']"
            )


def _predict_by_nearest(
    known: NDArray[np.float64], labels: NDArray[np.int64], new: NDArray[np.float64]
) -> NDArray[np.int64]:
    """Return the commonest label of the known rows with the nearest value; missing values are a value of their own."""
    finite = known[np.isfinite(known)]
    # further from all values than they are from each other
    missing = finite.min() - 2 * np.ptp(finite) - 1 if len(finite) else 0.0
    known, new = (np.where(np.isnan(each), missing, each) for each in (known, new))
    distinct, places = np.unique(known, return_inverse=True)
    counts = np.zeros((len(distinct), labels.max() + 1), dtype=np.int32)
    np.add.at(counts, (places, labels), 1)
    above = np.searchsorted(distinct, new).clip(1, max(1, len(distinct) - 1))
    nearest = np.where(new - distinct[above - 1] <= distinct[above % len(distinct)] - new, above - 1, above)
    return np.asarray(counts.argmax(1)[nearest.clip(0, len(distinct) - 1)])


def _find_missing_classes(train: Samples, others: Mapping[str, Samples]) -> Iterator[str]:
    names, counts = train.source.classes, train.count_labels()[:-1]
    if int((counts > 0).sum()) == 1:
        yield f"all training samples have the label '{names[int(counts.argmax())]}', so there is nothing to tell apart"
    if single := [names[number] for number in (counts == 1).nonzero()[:, 0].tolist()]:
        yield f"{_name('class', single)} a single training sample, which is too few to learn from"
    for split, samples in others.items():
        missing = (counts > 0) & (samples.count_labels()[:-1] == 0)
        # a class of one sample cannot be in both splits
        is_drawn = samples.source is train.source and bool((counts[missing] > 1).any())
        advice = "set data.stratified=true, or add samples" if is_drawn else "add samples"
        if absent := [names[number] for number in missing.nonzero()[:, 0].tolist()]:
            them = "them" if len(absent) > 1 else "it"
            yield f"{_name('class', absent)} no {split} sample, so the error there says nothing of {them}; {advice}"


def _name(noun: str, names: list[str]) -> str:
    """Return the subject of a sentence about columns or classes, with its verb.

    >>> _name("class", ["a"]), _name("class", ["a", "b", "c", "d"])
    ("class 'a' has", "classes 'a', 'b', 'c', ... (4) have")
    """
    told = join_names([f"'{name}'" for name in names], MAX_NAMES)
    plural = f"{noun}es" if noun.endswith("s") else f"{noun}s"
    return f"{plural} {told} have" if len(names) > 1 else f"{noun} {told} has"
