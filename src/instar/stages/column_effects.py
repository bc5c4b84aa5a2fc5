"""What a run folder records of the columns of a table: how much student and teacher need each, and what each does.

columns.safetensors
  importance.WHO     by how much the loss grows when the column is shuffled, float32 `[columns, repeats]`, for WHO
                     student and teacher; NaN where the seconds did not suffice
  dependence.K.WHO   mean output of all rows where the K-th column has each value, float32 `[values, outputs]`
  grid.K             these values, float64 `[values]`; words as numbers
    header: `columns`, names and types, `shown`, the columns of the dependences, `classes`, `metric`, `rows`, `seconds`
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from instar.data.columns.cell_rows import CELLS, CellRows
from instar.data.columns.held import NUMBERS, Held
from instar.data.samples import Samples
from instar.runs.files import write_tensors
from instar.runs.run import Run
from instar.teachers.teacher import Teacher
from instar.training.scoring import predict

COLUMNS_FILE = "columns.safetensors"
MAX_ROWS, REPEATS, MAX_COLUMNS = 400, 3, 100
"""Test rows that are predicted again, shuffles of each column, and columns that are shuffled: the first ones."""
MAX_SECONDS = 4.0
"""Seconds after which no further column begins; half of them are for the shuffles."""
SHOWN_COLUMNS, GRID_VALUES = 4, 12
"""Columns whose dependence is recorded, and values of each: quantiles of numbers, or the most frequent words."""
MAX_DEPENDENCE_CLASSES = 20


def keep_columns(
    run: Run, student: Teacher, teacher: Teacher | None, samples: Samples, device: torch.device | str
) -> None:
    """Write importances and dependences for a table; nothing for other data.

    Args:
        run: the folder.
        student: the trained model.
        teacher: its teacher; left out if it cannot predict changed rows, as stored targets cannot.
        samples: labelled test samples.
        device: device of both.
    """
    rows = samples.source.columns.get(CELLS)
    if not isinstance(rows, CellRows) or samples.source.positions is not None:
        return
    started = time.monotonic()
    looked_at = _Rows(samples.subset(min(MAX_ROWS, len(samples)), seed=0), rows)
    who = {"student": student}
    if teacher is not None and teacher.knows(looked_at.change(0, looked_at.shuffle(0, 0))):
        who["teacher"] = teacher
    names = rows.schema.names[:MAX_COLUMNS]
    measure = _measure_numbers if samples.source.task.predicts_numbers else _measure_classes

    def loss(model: Teacher, changed: Samples) -> float:
        return measure(predict(model, changed, device), changed)

    whole = {name: loss(model, looked_at.samples) for name, model in who.items()}
    found = {name: np.full((len(names), REPEATS), np.nan, np.float32) for name in who}
    # repeat by repeat, so that each column has one before any has two
    for repeat in range(REPEATS):
        for column in range(len(names)):
            if time.monotonic() - started > MAX_SECONDS / 2:
                break
            changed = looked_at.change(column, looked_at.shuffle(column, repeat))
            for name, model in who.items():
                found[name][column, repeat] = loss(model, changed) - whole[name]
    tensors = {f"importance.{name}": torch.from_numpy(values) for name, values in found.items()}
    needed = np.max([_mean(values) for values in found.values()], axis=0)
    shown = list[int]()
    for column in np.argsort(-needed, kind="stable")[:SHOWN_COLUMNS].tolist():
        grid, places = looked_at.choose_values(column)
        if time.monotonic() - started > MAX_SECONDS or len(grid) < 2 or not np.isfinite(needed[column]):
            continue
        for name, model in who.items():
            means = [_mean_output(model, looked_at.change(column, place), device) for place in places]
            tensors[f"dependence.{len(shown)}.{name}"] = torch.stack(means)
        tensors[f"grid.{len(shown)}"] = torch.from_numpy(grid)
        shown.append(column)
    header = {
        "columns": rows.schema.as_json()[:MAX_COLUMNS],
        "shown": shown,
        "classes": list(samples.source.classes)[:MAX_DEPENDENCE_CLASSES],
        "metric": "RMSE" if samples.source.task.predicts_numbers else "error",
        "rows": len(looked_at.samples),
        "seconds": round(time.monotonic() - started, 2),
    }
    write_tensors(run.path / COLUMNS_FILE, tensors, header)


class _Rows:
    """Some rows of a table, as samples whose columns can be changed."""

    def __init__(self, samples: Samples, rows: CellRows) -> None:
        source, ids = samples.source, samples.ids
        self.rows = replace(rows.take(ids), given=rows.as_frame(ids).reset_index(drop=True))
        self.source = replace(
            source,
            inputs=source.inputs[ids],
            labels=samples.judged_labels(),
            columns={**_take(source.columns, ids), CELLS: self.rows},
            given=None,
            stored=None,
            whole=None,
        )
        self.samples = Samples.all_of(self.source)

    def change(self, column: int, places: NDArray[np.intp]) -> Samples:
        """Return the rows with the values of a column taken from other rows, in the types that it was given in."""
        values, frame = self.rows.values.clone(), self.rows.given.copy()
        values[:, column] = values[torch.from_numpy(places), column]
        name = self.rows.schema.names[column]
        if name in frame:
            frame[name] = frame[name].take(places).set_axis(frame.index)
        rows = replace(self.rows, values=values, given=frame)
        return Samples.all_of(replace(self.source, columns={**self.source.columns, CELLS: rows}))

    def shuffle(self, column: int, repeat: int) -> NDArray[np.intp]:
        """Return the rows in another order, which depends on the column and the repeat alone."""
        return np.random.default_rng((column, repeat)).permutation(len(self.samples))

    def choose_values(self, column: int) -> tuple[NDArray[np.float64], list[NDArray[np.intp]]]:
        """Return values of a column, and for each the row that has it, once for every row."""
        values = self.rows.values[:, column].numpy()
        known, counts = np.unique(values[~np.isnan(values)], return_counts=True)
        if self.rows.schema.columns[column].kind == "word":
            grid = np.sort(known[np.argsort(-counts, kind="stable")[:GRID_VALUES]])
        elif len(known) <= GRID_VALUES:
            grid = known
        else:
            shares = np.linspace(0, 1, GRID_VALUES)
            grid = np.unique(np.quantile(values[~np.isnan(values)], shares, method="nearest"))
        return grid, [np.full(len(values), np.flatnonzero(values == value)[0]) for value in grid]


def _take(columns: Any, ids: Tensor) -> dict[str, Any]:
    # columns of tensors; texts and sounds beside a table are left out, and a teacher that reads them with them
    return {
        name: replace(column, values=column.values[ids], exact=None)
        for name, column in columns.items()
        if isinstance(column, Held)
    }


def _measure_classes(logits: Tensor, samples: Samples) -> float:
    labels = samples.labels
    return float((logits.argmax(-1) != labels)[labels >= 0].double().mean())


def _measure_numbers(outputs: Tensor, samples: Samples) -> float:
    column = samples.source.columns[NUMBERS]
    assert isinstance(column, Held), "numbers are tensors"
    known = samples.labels >= 0
    errors = outputs.flatten().double() - column.values.flatten().double()
    return float(errors[known].square().mean().sqrt())


def _mean(values: NDArray[np.float32]) -> NDArray[np.float32]:
    known = ~np.isnan(values)
    sums = np.where(known, values, 0).sum(1)
    found: NDArray[np.float32] = np.where(known.any(1), sums / known.sum(1).clip(min=1), -np.inf)
    return found


def _mean_output(model: Teacher, samples: Samples, device: torch.device | str) -> Tensor:
    outputs = predict(model, samples, device)
    if not samples.source.task.predicts_numbers:
        outputs = outputs.softmax(-1)
    return outputs.reshape(len(outputs), -1)[:, :MAX_DEPENDENCE_CLASSES].mean(0)
