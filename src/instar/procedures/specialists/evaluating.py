"""`instar specialists evaluate`: gains over the generalist by the number of specialists that know the class."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from instar.analysis.scores import UNLABELLED
from instar.analysis.significance import paired_interval
from instar.checks import checked
from instar.errors import MismatchError
from instar.runs.predictions import read_predictions
from instar.runs.run import Run
from instar.teachers.run_folders import SPECIALISTS


@dataclass(frozen=True)
class Covered:
    """Test samples whose class is known to a certain number of specialists.

    Args:
        specialists: number of specialists that know the class.
        samples: number of test samples.
        generalist: right predictions of the generalist.
        combined: right predictions of the combination.
    """

    specialists: int
    samples: int
    generalist: int
    combined: int

    @property
    def gain(self) -> int:
        """Change in the number of right predictions."""
        return self.combined - self.generalist

    @property
    def relative_gain(self) -> float | None:
        """Gain divided by the generalist's right predictions; None if it has none."""
        return self.gain / self.generalist if self.generalist else None


@dataclass(frozen=True)
class Coverage:
    """The gain through specialists: the two tables of Hinton et al. 2015, section 5.5, on the test samples.

    Args:
        conditional: (generalist, combined) accuracy on the samples of each specialist's classes when only these classes
            compete, over all specialists.
        overall: (generalist, combined) accuracy.
        interval: gain in overall accuracy with its 95% interval over the test samples: (mean, low, high).
        covered: gains by the number of specialists that know the right class.
    """

    conditional: tuple[float, float]
    overall: tuple[float, float]
    interval: tuple[float, float, float]
    covered: tuple[Covered, ...]

    @property
    def slope(self) -> float:
        """Slope of the relative gain, in percentage points per specialist that knows the class; 0 without two rows.

        The fit weighs each number of specialists by the generalist's right predictions.
        """
        rows = [
            (row.specialists, 100 * row.gain / row.generalist, row.generalist) for row in self.covered if row.generalist
        ]
        if len(rows) < 2:  # one point has no slope
            return 0.0
        known, gains, weights = map(np.array, zip(*rows, strict=True))
        return float(np.polyfit(known, gains, 1, w=np.sqrt(weights))[0])

    def as_dict(self) -> dict[str, Any]:
        """Return the tables for JSON."""
        rows = [asdict(row) | {"gain": row.gain, "relative_gain": row.relative_gain} for row in self.covered]
        return asdict(self) | {"covered": rows}

    def __str__(self) -> str:
        _, low, high = self.interval
        lines = [
            f"{'':30}{'generalist':>12}{'with specialists':>18}",
            f"{'accuracy within their classes':30}{self.conditional[0]:>12.2%}{self.conditional[1]:>18.2%}",
            f"{'accuracy':30}{self.overall[0]:>12.2%}{self.overall[1]:>18.2%}"
            f"   {100 * (self.overall[1] - self.overall[0]):+.2f} points (95%: {100 * low:+.2f} to {100 * high:+.2f})",
            "",
            f"{'specialists that know the class':>32}{'samples':>10}{'gain in right predictions':>26}{'relative':>10}",
        ]
        for row in self.covered:
            relative = "" if row.relative_gain is None else f"{row.relative_gain:+.1%}"
            lines.append(f"{row.specialists:>32}{row.samples:>10,}{row.gain:>+26,}{relative:>10}")
        return "\n".join(lines)


@checked
def evaluate(combined: str | Path | Run, split: str = "test") -> Coverage:
    """Compare a combination with its generalist on the test samples.

    Args:
        combined: run folder that `combine` made.
        split: "test", or "validation" to choose settings.

    Raises:
        MismatchError: if the run is not a combination, or its generalist was tested on different samples.
    """
    run = combined if isinstance(combined, Run) else Run(combined)
    run.require_complete()
    if run.config["model"]["name"] != SPECIALISTS:
        raise MismatchError(f"'{run.path}' is not a generalist with specialists; give a folder of specialists combine.")
    generalist, *specialists = map(Run, run.members())  # combine writes the generalist first
    together, ids, labels = _read_split(run, split)
    alone, theirs, _ = _read_split(generalist, split)
    # both tables compare the two sample by sample
    if not torch.equal(ids, theirs):
        raise MismatchError(f"'{run.path}' and its generalist '{generalist.path}' were tested on different samples.")
    known = labels != UNLABELLED  # without a label nobody is right
    together, alone, labels = together[known], alone[known], labels[known]
    classes = {name: index for index, name in enumerate(generalist.classes)}
    names = [expert.config["data"]["special_classes"] for expert in specialists]
    # in the numbers of the generalist: a specialist with a dustbin numbers its own classes anew
    sets = [torch.tensor([classes[name] for name in some]) for some in names]
    right = [logits.argmax(1) == labels for logits in (alone, together)]
    # [samples]: clusters may overlap, so several specialists may know the right class
    count = torch.stack([torch.isin(labels, some) for some in sets]).sum(0)
    rows = []
    for number in count.unique().tolist():
        chosen = count == number
        rows.append(Covered(number, int(chosen.sum()), *(int(found[chosen].sum()) for found in right)))
    # of errors, generalist minus combination, which is the gain in accuracy
    gain = paired_interval((~right[1]).double().tolist(), (~right[0]).double().tolist())
    within = tuple(_measure_within(logits, labels, sets) for logits in (alone, together))
    overall = tuple(float(found.double().mean()) for found in right)
    return Coverage((within[0], within[1]), (overall[0], overall[1]), gain, tuple(rows))


def _measure_within(logits: Tensor, labels: Tensor, sets: list[Tensor]) -> float:
    # section 5.5: on the samples of each set only its classes compete; a sample of two sets counts twice
    found = []
    for some in sets:
        chosen = torch.isin(labels, some)
        found.append(some[logits[chosen][:, some].argmax(1)] == labels[chosen])
    return float(torch.cat(found).double().mean())


def _read_split(run: Run, split: str) -> tuple[Tensor, Tensor, Tensor]:
    tensors = read_predictions(run)
    if f"{split}.logits" not in tensors:
        raise MismatchError(f"'{run.path}' has no predictions for the split '{split}'.")
    return tensors[f"{split}.logits"], tensors[f"{split}.ids"], tensors[f"{split}.labels"]
