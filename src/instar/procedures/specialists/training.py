"""`instar specialists train`: one run for each cluster of classes, starting from the generalist's weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from torch import nn

from instar.config import RunConfig, validate
from instar.errors import ConfigError, MismatchError, RunError, nearest
from instar.jobs.backends import parse_jobs
from instar.jobs.running import run_all
from instar.jobs.task import Job
from instar.models.build import describe_model
from instar.models.trained import TrainedRun, lend_network, network_of
from instar.nested import flatten, merge_settings
from instar.paths import given_path, local_path
from instar.procedures.specialists.clusters import CLUSTERS_FILE, Clusters, cluster, name_folder
from instar.runs.files import explain_disk
from instar.runs.locks import hold_folder
from instar.runs.run import Run
from instar.stages.components import GivenObjects
from instar.stages.configuration import nest
from instar.stages.stage import Stage
from instar.students.catalogue import student_of
from instar.teachers.conversion import as_teacher

Way = Literal["dustbin", "full"]

WAY_SETTINGS: dict[Way, dict[str, Any]] = {
    "dustbin": {"data": {"rest": "dustbin"}, "objective": "HardLabels()"},
    "full": {"data": {"rest": "unlabelled"}, "objective": "HardLabels() + UnlabelledSoftTargets(1)"},
}
"""Settings against over-fitting: all other classes become one (section 5.1), or the specialist learns from the
generalist's soft targets for their samples (section 6.1)."""

PATIENCE_EPOCHS = 3
"""A specialist stops after this many epochs without a lower validation NLL."""


@dataclass(frozen=True)
class SpecialistRuns:
    """The specialists of a generalist.

    Args:
        generalist: run folder of the generalist.
        clusters: classes of each specialist.
        out: folder of their run folders.
        way: method against over-fitting.
        training: settings of the training that differ from the generalist's.
        seed: their seeds are 1000 seed + 1, 1000 seed + 2, ...
        network: network of the generalist and of its specialists, if the generalist's run folder needs it.
        trust: allow model classes outside `instar.models`.
        show: show progress on stderr.
    """

    generalist: Path
    clusters: Clusters
    out: Path
    way: Way = "dustbin"
    training: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0
    network: nn.Module | str | None = None
    trust: bool = False
    show: bool = True

    def folders(self) -> list[Path]:
        """Return the run folders."""
        return [self.out / name_folder(number) for number in range(len(self.clusters))]

    def run(self, jobs: int | str = 1) -> list[TrainedRun]:
        """Train the specialists that are not complete; one that fails does not stop the others."""
        stages = replace(self, show=self.show and parse_jobs(jobs).here).stages()
        self._keep_clusters()
        return run_all([Job(stage.run, stage.out) for stage in stages], jobs)

    def _keep_clusters(self) -> None:
        # runs keep the classes that they started with, and combine counts the specialists by this file
        kept = self.out / CLUSTERS_FILE
        if not kept.exists():
            with explain_disk(self.out), hold_folder(self.out):
                if not kept.exists():  # another command may have written them while this one waited for the lock
                    self.clusters.write(kept)
        if Clusters.read(kept) != self.clusters:
            raise RunError(
                f"'{self.out}' holds specialists of other clusters ({CLUSTERS_FILE}); choose another folder."
            )

    def stages(self) -> list[Stage]:
        """Return one stage for each specialist.

        Raises:
            ConfigError: if `way` is unknown, or gives specialists other classes than the module `network` has.
            MismatchError: if a cluster names a class that the generalist does not have.
        """
        if self.way not in WAY_SETTINGS:
            raise ConfigError(f"way '{self.way}' is unknown; {nearest(self.way, WAY_SETTINGS)}")
        generalist = lend_network(Run(self.generalist), self.network)
        self._refuse_unknown_classes(generalist.classes)
        theirs = generalist.config
        in_steps = student_of(theirs["model"]["name"]).learns_in_steps
        given = self._objects(generalist, in_steps=in_steps)
        if (network := network_of(generalist)) is not None:  # what the folder describes does not make its network
            theirs = theirs | {"model": describe_model(network).model_dump()}
        stages = []
        for number, (folder, names) in enumerate(zip(self.folders(), self.clusters.sets, strict=True)):
            values = merge_settings(theirs, WAY_SETTINGS[self.way])
            # above the generalist's own patience, and below the caller's
            usual = {"patience": PATIENCE_EPOCHS} if in_steps else {}
            values = merge_settings(values, {"data": {"special_classes": list(names)}, "training": usual})
            values = merge_settings(values, {"training": self.training})
            # the generalist's settings, except those about its own teacher and start
            values |= {
                "start": str(self.generalist) if in_steps else None,
                "teachers": [str(self.generalist)] if self.way == "full" else [],
                # half of each epoch are special samples, far more than occur; others are fitted to each sample once
                "correct_prior": in_steps,
                "targets": "online",
                "store": {},
                "seed": 1000 * self.seed + number + 1,
            }
            stages.append(Stage(validate(RunConfig, values), folder, given, trust=self.trust, show=self.show))
        return stages

    def _refuse_unknown_classes(self, known: Sequence[str]) -> None:
        for number, names in enumerate(self.clusters.sets):
            for name in names:
                if name not in known:
                    raise MismatchError(
                        f"cluster {number} names the class '{name}', which the generalist '{self.generalist}' does not "
                        f"have; {nearest(name, known)}"
                    )

    def _objects(self, generalist: Run, *, in_steps: bool) -> GivenObjects:
        network = network_of(generalist)
        if network is None:  # a stage opens the folder by its name
            return GivenObjects()
        if self.way == "dustbin" and isinstance(network, nn.Module):
            raise ConfigError(
                "way 'dustbin' gives each specialist a last layer of its own size, which a module cannot take; give "
                "network= as the package.module:name of a function with the argument num_classes, or way='full'."
            )
        teacher = as_teacher(generalist, trust=self.trust) if self.way == "full" else None
        return GivenObjects(
            network=network if isinstance(network, nn.Module) else None,
            teacher=teacher,
            start=generalist if in_steps else None,
        )


def train(
    generalist: str | Path | Run,
    clusters: Clusters | int | str | Path = 10,
    *,
    out: str | Path,
    size: int | None = None,
    way: Way = "dustbin",
    jobs: int | str = 1,
    seed: int = 0,
    settings: Mapping[str, Any] | None = None,
    network: nn.Module | str | None = None,
    trust: bool = False,
    show: bool = True,
    **training: Any,
) -> list[TrainedRun]:
    """Train a specialist for every cluster of classes, or resume a killed command; return the complete runs.

    Each specialist starts from the generalist's weights, draws half its samples from its own classes and half from the
    rest, and stops early on validation. Its last bias is then corrected for the true shares of the classes. Data, views
    and training settings are the generalist's unless given. Specialists of a generalist without gradients, such as a
    forest, are fitted to all samples once instead, each as often as it occurs.

    Source: Hinton et al. 2015, sections 5.1 to 5.3.

    Args:
        generalist: run folder of the generalist.
        clusters: result of `cluster`, the number of clusters to find, or a JSON file with lists of class names.
        out: folder; each specialist is a run folder in it, beside `clusters.json`.
        size: classes per cluster, if the clusters are found here.
        way: "dustbin", one class for all others; or "full", the generalist's soft targets for their samples.
        jobs: number of processes, or Ray; see `instar.jobs.outcomes`.
        seed: seed of the clusters; the seeds of the runs follow from it.
        settings: settings of the training by dotted name, as `{"training.epochs": 3}`; they override all others.
        network: network of a generalist's run folder that needs it, and of its specialists: a module, or the
            `package.module:name` of a function that makes it; for "dustbin" a function with the argument `num_classes`.
        trust: allow model classes outside `instar.models`.
        show: show progress on stderr.
        training: fields of `TrainingConfig` that differ from the generalist's; `patience` is 3 by default.

    Raises:
        InstarError: in one sentence, for each mistake that the caller can correct; one specialist that fails does
            not stop the others.

    >>> import tempfile
    >>> from instar.models import MLP
    >>> import instar
    >>> folder = tempfile.mkdtemp()
    >>> run = instar.train("digits", MLP([32]), epochs=5, learning_rate=0.01, out=folder + "/generalist")
    >>> runs = train(run, Clusters((("3", "8"), ("4", "9"))), out=folder + "/specialists", epochs=2, show=False)
    >>> runs[0].classes
    ('3', '8', '(all others)')
    """
    choices: dict[str, Any] = {"size": size, "way": way, "seed": seed, "network": network, "trust": trust, "show": show}
    over = nest(settings or {})
    # data, model and objective follow from the generalist and the way
    if others := flatten({name: value for name, value in over.items() if name != "training"}):
        raise ConfigError(f"only settings of the training can be set here, not '{next(iter(others))}'.")
    return plan(generalist, clusters, out=out, **choices, **merge_settings(training, over.get("training", {}))).run(
        jobs
    )


def plan(
    generalist: str | Path | Run,
    clusters: Clusters | int | str | Path,
    *,
    out: str | Path,
    size: int | None = None,
    way: Way = "dustbin",
    seed: int = 0,
    network: nn.Module | str | None = None,
    trust: bool = False,
    show: bool = True,
    **training: Any,
) -> SpecialistRuns:
    """Return the specialists that `train` will train, with the arguments of `train`.

    If `clusters` is a number, they are read from the folder, or found if it has none.
    """
    path = generalist.path if isinstance(generalist, Run) else given_path(generalist, "the generalist")
    if isinstance(clusters, str | Path):
        clusters = Clusters.read(clusters)
    if isinstance(clusters, int):
        # a resumed command takes the clusters that its runs began with, also where the generalist would give others now
        kept = local_path(out, "out") / CLUSTERS_FILE
        clusters = (
            Clusters.read(kept)
            if kept.exists()
            else cluster(
                lend_network(Run(path), network), clusters=clusters, size=size, seed=seed, trust=trust, show=False
            )
        )
    found = SpecialistRuns(path, clusters, local_path(out, "out"), way, training, seed, network, trust, show)
    found.stages()  # refuses wrong settings before anything runs
    return found
