"""The table of a lineage: generations, their ensembles and controls, each paired with generation 0."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from instar.analysis.scores import UNLABELLED
from instar.analysis.significance import paired_interval
from instar.models.trained import TrainedRun
from instar.runs.predictions import read_predictions
from instar.runs.run import Run


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
        """The generation with the fewest validation errors; the last one if there is no validation split."""
        if self.generations[0].result["validation"] is None:
            return self.generations[-1]
        # of equal ones the earliest, which took the fewest trainings
        return min(self.generations, key=lambda run: float(run.result["validation"]["error"]))

    def as_dict(self) -> dict[str, Any]:
        """Return the table for JSON."""
        return {"runs": self.rows(), "best": str(self.best.path), "stopped": self.stopped, "report": str(self.report)}

    def rows(self) -> list[dict[str, Any]]:
        """Return one row per run: parameters, test errors with their interval, and gain over generation 0.

        The gain is in percentage points of the test error, with a 95% interval over the test samples.
        """
        first = _find_errors(self.generations[0])
        rows = []
        for run in (*self.generations, *self.ensembles, *self.controls):
            metrics = run.metrics
            # paired by sample: most samples are easy or hard for all runs, and their spread cancels
            gain = paired_interval(_find_errors(run), first)
            rows.append(
                {
                    "run": run.path.name,
                    "parameters": run.result["parameters"],
                    "errors": metrics["errors"],
                    "samples": metrics["samples"],
                    "error_interval": metrics["error_interval"],
                    "gain": tuple(100 * value for value in gain),
                }
            )
        return rows

    def __str__(self) -> str:
        lines = [f"{'':24}{'parameters':>12}{'test error':>12}{'95% interval':>18}   gain over generation-0 (points)"]
        for row in self.rows():
            low, high = row["error_interval"]
            gain, least, most = row["gain"]
            # generation 0 has no gain over itself, not one of zero
            gained = f"{gain:+.2f} ({least:+.2f} to {most:+.2f})" if row["run"] != self.generations[0].path.name else ""
            lines.append(
                f"{row['run']:24}{row['parameters']:>12,}{row['errors'] / row['samples']:>12.2%}"
                f"{f'{low:.2%} to {high:.2%}':>18}   {gained}".rstrip()
            )
        if self.stopped:
            lines.append(self.stopped)
        lines.append(f"Report: {self.report}")
        return "\n".join(lines)


def _find_errors(run: Run) -> list[float]:
    tensors = read_predictions(run)
    labels = tensors["test.labels"]
    wrong = tensors["test.logits"].argmax(-1) != labels
    # [labelled samples], 1 for an error; with positions, the labelled positions of all samples
    return wrong[labels != UNLABELLED].double().tolist()
