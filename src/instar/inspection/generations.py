"""The table of a lineage: generations, their ensembles and controls, each paired with generation 0."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from instar.analysis.linearised import Linearised, difference_interval
from instar.analysis.numbers import linearise_numbers
from instar.analysis.scores import UNLABELLED
from instar.analysis.significance import paired_interval
from instar.models.trained import TrainedRun
from instar.runs.outputs import predicts_numbers
from instar.runs.predictions import read_predictions
from instar.runs.run import Run
from instar.tasks.metric import Metric, format_value
from instar.tasks.metrics import ERROR
from instar.tasks.regression import RMSE


@dataclass(frozen=True)
class Lineage:
    """A finished sequence of generations; every part of it is a run folder.

    Args:
        generations: complete runs, generation 0 first.
        ensembles: ensembles of the generations, without and with generation 0, and the student of the first.
        controls: runs of the same budget without a teacher.
        stopped: reason for fewer generations than requested; empty otherwise.
        report: HTML file.
    """

    generations: tuple[TrainedRun, ...]
    ensembles: tuple[Run, ...]
    controls: tuple[Run, ...]
    stopped: str
    report: Path

    @property
    def best(self) -> TrainedRun:
        """The generation with the least validation error, or RMSE; the last one if there is no validation split."""
        if self.generations[0].result["validation"] is None:
            return self.generations[-1]
        # of equal ones the earliest, which took the fewest trainings
        return min(self.generations, key=lambda run: validation_score(run)[1])

    def as_dict(self) -> dict[str, Any]:
        """Return the table for JSON."""
        return {"runs": self.rows(), "best": str(self.best.path), "stopped": self.stopped, "report": str(self.report)}

    def rows(self) -> list[dict[str, Any]]:
        """Return one row per run: parameters, test errors with their interval, and gain over generation 0.

        The gain is in percentage points of the test error, with a 95% interval over the test samples. Where labels are
        numbers, it is the fall of the RMSE.
        """
        first, rows = self.generations[0], []
        shown = ("rmse", "rmse_interval") if predicts_numbers(first) else ("errors", "error_interval")
        for run in (*self.generations, *self.ensembles, *self.controls):
            measured = {name: run.metrics[name] for name in (*shown, "samples")}
            row = {"run": run.path.name, "parameters": run.result["parameters"], **measured}
            rows.append(row | {"gain": _find_gain(first, run)})
        return rows

    def __str__(self) -> str:
        numbers = predicts_numbers(self.generations[0])
        heading, unit, width = ("test RMSE", "lower RMSE", 22) if numbers else ("test error", "points", 18)
        lines = [f"{'':24}{'parameters':>12}{heading:>12}{'95% interval':>{width}}   gain over generation-0 ({unit})"]
        for row in self.rows():
            value = row["rmse"] if numbers else row["errors"] / row["samples"]
            metric = RMSE if numbers else ERROR
            shown, low, high = (format_value(each, metric.unit) for each in (value, *row[f"{metric.name}_interval"]))
            gain, least, most = row["gain"]
            # generation 0 has no gain over itself, not one of zero
            form = "+,.5g" if numbers else "+.2f"
            gained = f"{gain:{form}} ({least:{form}} to {most:{form}})"
            gained = gained if row["run"] != self.generations[0].path.name else ""
            lines.append(
                f"{row['run']:24}{row['parameters']:>12,}{shown:>12}{f'{low} to {high}':>{width}}   {gained}".rstrip()
            )
        if self.stopped:
            lines.append(self.stopped)
        lines.append(f"Report: {self.report}")
        return "\n".join(lines)


def validation_score(run: Run) -> tuple[Metric, float]:
    """Return what generations are chosen by: the error on the validation samples, or the RMSE of numbers."""
    found = run.result["validation"]
    metric = RMSE if predicts_numbers(run) else ERROR
    return metric, float(found[metric.name])


def _find_gain(first: Run, run: Run) -> tuple[float, ...]:
    # paired by sample: most samples are easy or hard for all runs, and their spread cancels
    if predicts_numbers(first):
        return difference_interval(_find_rmse(run), _find_rmse(first))
    return tuple(100 * value for value in paired_interval(_find_errors(run), _find_errors(first)))


def _find_rmse(run: Run) -> Linearised:
    tensors = read_predictions(run)
    known = ~tensors["test.numbers"].isnan()
    return linearise_numbers(tensors["test.logits"][known, 0], tensors["test.numbers"][known])["rmse"]


def _find_errors(run: Run) -> list[float]:
    tensors = read_predictions(run)
    labels = tensors["test.labels"]
    wrong = tensors["test.logits"].argmax(-1) != labels
    # [labelled samples], 1 for an error; with positions, the labelled positions of all samples
    return wrong[labels != UNLABELLED].double().tolist()
