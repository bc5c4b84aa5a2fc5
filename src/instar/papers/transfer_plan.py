"""The runs of one seed in the table of what an ensemble of acoustic models hands on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from instar.config import DataConfig, RunConfig, validate
from instar.data.dataset import Data, load_data
from instar.papers.speech_recipe import NET_TRAINING
from instar.papers.table import STUDENT_SEED_OFFSET
from instar.procedures.ensemble import ensemble
from instar.runs.run import Run
from instar.stages.stage import Stage

STATES_PER_WORD = 10
"""Equal parts of a word, each a state of its frames; with three, as in `hinton2014-speech`, networks hardly differ."""
VIEWS = "Speed(0.2) + Noise(15, 35) + TimeMask(10, 0.2, 2) + FrequencyMask(4, 1)"
VIEWS_PER_RECORDING = 20
"""Views of each recording that the teacher labels."""
LONG = 3
"""How many times the steps of the networks a long student takes."""


@dataclass(frozen=True)
class TransferScale:
    """Amount of work for a table.

    Args:
        seeds: number of ensembles, each with its students.
        nets: members of an ensemble.
        widths: widths of the hidden layers of all networks.
        share: share of the recordings that have labels.
        epochs: epochs of the networks over these.
        data: settings of the data that differ from the defaults.
    """

    seeds: int
    nets: int
    widths: tuple[int, ...]
    share: float
    epochs: int
    data: Mapping[str, Any] = field(default_factory=dict)

    @property
    def unlabelled_epochs(self) -> int:
        """Epochs over all recordings, which have as many steps as those over the recordings with labels."""
        return max(1, round(self.epochs * self.share))


@dataclass(frozen=True)
class Arm:
    """A student.

    Args:
        folder: name of its run folder.
        words: what it learns from and on, in the table.
        teacher: folder of its teacher; empty for labels.
        sees: "recordings", "views" or "unlabelled".
        times: how many times the steps of the networks.
        control: folder of the student that learns on the same samples without the ensemble.
    """

    folder: str
    words: str
    teacher: str
    sees: str
    times: int = 1
    control: str = ""


ARMS = (
    Arm("same-short", "ensemble, the same recordings, no longer than the nets", "ensemble", "recordings"),
    Arm("same", "ensemble, the same recordings", "ensemble", "recordings", LONG, "same-labels"),
    Arm("views", "ensemble, under views", "ensemble", "views", LONG, "views-labels"),
    Arm("unlabelled", "ensemble, without labels", "ensemble", "unlabelled", LONG, "unlabelled-one"),
    Arm("same-labels", "labels, the same recordings", "", "recordings", LONG),
    Arm("views-labels", "labels, under views", "", "views", LONG),
    Arm("unlabelled-one", "one net, without labels", "net-0", "unlabelled", LONG),
)
"""The students of the ensemble, then their controls."""


@dataclass(frozen=True)
class TransferPlan:
    """The runs of one seed.

    Args:
        size: amount of work.
        source: folder of the recordings.
        out: folder of the runs.
        seed: seed of this ensemble.
    """

    size: TransferScale
    source: str
    out: Path
    seed: int

    def data_settings(self, *, labelled: bool = True) -> dict[str, Any]:
        """Return the settings of the recordings with labels, or of all recordings without theirs."""
        selection = {"keep_fraction": self.size.share} if labelled else {"drop_labels": 1.0}
        return {
            "source": self.source,
            "label_column": "label",
            "states": STATES_PER_WORD,
            **selection,
            **self.size.data,
        }

    def stage(self, name: str, number: int, arm: Arm | None = None) -> Stage:
        """Return a member of the ensemble, or the student of an arm."""
        labelled = arm is None or arm.sees != "unlabelled"
        epochs = (self.size.epochs if labelled else self.size.unlabelled_epochs) * (arm.times if arm else 1)
        values: dict[str, Any] = {
            "data": self.data_settings(labelled=labelled),
            "model": {"name": "frame-net", "arguments": {"widths": list(self.size.widths)}},
            "training": NET_TRAINING | {"epochs": epochs, "evaluate_every": epochs},
            "seed": 1000 * self.seed + number,
        }
        if arm and arm.sees == "views":
            values |= {"views": VIEWS, "num_views": VIEWS_PER_RECORDING}
        if arm and arm.teacher:
            values |= {"teachers": [str(self.out / arm.teacher)], "objective": "SoftTargets(1)", "targets": "memory"}
        return Stage(validate(RunConfig, values), self.out / name, show=False)

    def nets(self) -> list[Stage]:
        """Return the members of the ensemble."""
        return [self.stage(f"net-{number}", number) for number in range(self.size.nets)]

    def students(self) -> list[Stage]:
        """Return the students, which start from the same weights."""
        return [self.stage(arm.folder, STUDENT_SEED_OFFSET, arm) for arm in ARMS]

    @cached_property
    def data(self) -> Data:
        """The recordings with labels, and the test recordings."""
        return load_data(validate(DataConfig, self.data_settings()))

    def combine(self) -> Run:
        """Combine the members into the ensemble."""
        return ensemble([stage.out for stage in self.nets()], self.data, out=self.out / "ensemble")
