"""Finds the classes that a generalist confuses: clusters the columns of the covariance matrix of its predictions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from instar.analysis.clustering import cluster_columns
from instar.analysis.covariance import Covariance, SketchedCovariance
from instar.checks import checked
from instar.compute.accelerator import make_accelerator
from instar.compute.execution import Execution
from instar.config import DataConfig
from instar.data.dataset import Data
from instar.data.loader import Loader
from instar.errors import ConfigError
from instar.models.trained import attach_network
from instar.paths import given_path, local_path
from instar.runs.files import read_json, write_json
from instar.stages.argument_order import refuse_swapped
from instar.stages.arguments import as_data
from instar.stages.first_look import look_at
from instar.stages.run_data import as_run, read_run_data
from instar.targets.sparse import SparseTargets
from instar.targets.targets import by_example
from instar.teachers.conversion import as_teacher
from instar.teachers.reordered import reorder_classes
from instar.training.scoring import BATCH_SIZE

MAX_PRINTED_CLASSES = 24  # of each cluster; clusters.json has them all

CLUSTERS_FILE = "clusters.json"
"""File of the clusters, beside the run folders of their specialists."""


@dataclass(frozen=True)
class Clusters:
    """Sets of class names, which may overlap.

    Args:
        sets: class names of each cluster.
    """

    sets: tuple[tuple[str, ...], ...]

    def __len__(self) -> int:
        return len(self.sets)

    def __str__(self) -> str:
        lines = []
        for number, names in enumerate(self.sets):
            left = len(names) - MAX_PRINTED_CLASSES
            more = f", and {left} more" if left > 0 else ""
            lines.append(f"{number:3}  {len(names):4} classes: {', '.join(names[:MAX_PRINTED_CLASSES])}{more}")
        covered = len(set().union(*self.sets))
        return "\n".join([*lines, f"{covered} classes are in {len(self.sets)} clusters."])

    def write(self, path: str | Path) -> None:
        """Write the clusters as JSON: a list of lists of names under `clusters`, and a checksum."""
        write_json(local_path(path), {"clusters": [list(names) for names in self.sets]})

    @classmethod
    def read(cls, path: str | Path) -> Clusters:
        """Read a file of `write`, or a list of lists of names that a person wrote.

        Raises:
            RunError: if the file is missing, or is not JSON.
            ConfigError: if it is not a list of lists of names.
        """
        found = read_json(given_path(path))
        found = found.get("clusters") if isinstance(found, dict) else found
        # an empty cluster would be a specialist of no class
        if not isinstance(found, list) or not all(
            isinstance(names, list) and names and all(isinstance(name, str) for name in names) for names in found
        ):
            raise ConfigError(f"the clusters in '{path}' must be a list of lists of class names.")
        return cls(tuple(tuple(names) for names in found))


@checked
def cluster(
    generalist: Any,
    data: Data | str | Sequence[Any] | DataConfig | None = None,
    *,
    clusters: int = 10,
    size: int | None = None,
    split: str = "train",
    raw: bool = False,
    streaming: bool = False,
    seed: int = 0,
    out: str | Path | None = None,
    network: nn.Module | str | None = None,
    trust: bool = False,
    show: bool = True,
) -> Clusters:
    """Group the classes that a generalist often predicts together.

    Online k-means on the columns of Cov[p_i, p_j] over the samples, without labels.

    Source: Hinton et al. 2015, section 5.3. By default variances are left out and columns are compared by their
    angles. With variances, confusions hardly count, and the short columns of rarely predicted classes are near every
    centre, so that all sets have the same few classes (docs/log.md).

    Args:
        generalist: run folder or any other teacher; a target store saves computing its predictions again.
        data: data whose samples it predicts; None takes the data that the run was trained on.
        clusters: number of clusters.
        size: classes per cluster, the nearest to its centre, so that clusters may overlap; None puts each class in one.
        split: "train", or "validation" for a generalist that has memorised its training samples.
        raw: cluster the raw columns, as the paper does.
        streaming: keep a random sketch of the covariance instead of the matrix, for very many classes.
        seed: seed of the first centres and of the order.
        out: JSON file to write the clusters to.
        network: network of a run folder that needs it: a module, or the `package.module:name` of a function that makes
            it.
        trust: allow a model class outside `instar.models`.
        show: print the generalist's error on a few samples on stderr.

    Raises:
        ConfigError: if there are no data, or `clusters` or `size` is out of range.

    >>> import tempfile
    >>> from instar.models import MLP
    >>> from instar.procedures.train import train
    >>> run = train("digits", MLP([32]), epochs=5, learning_rate=0.01, out=tempfile.mkdtemp() + "/generalist")
    >>> len(cluster(run, clusters=3, size=4))
    3
    """
    refuse_swapped("cluster", generalist=generalist, data=data)
    teacher = as_teacher(attach_network(generalist, network, trust=trust), trust=trust)
    run = as_run(generalist)
    if run is not None:
        loaded = read_run_data(run, data, splits=("train",), trust=trust)
    elif data is not None:
        loaded = as_data(data, trust=trust)
    else:
        raise ConfigError(f"clustering by a {type(generalist).__name__} needs data; only a run knows its own.")
    samples = loaded.split(split)
    teacher = reorder_classes(teacher, samples.source.classes)
    device = make_accelerator().device
    # in float32 whatever the precision of its run, because rarely predicted classes have tiny covariances
    teacher.prepare(Execution(device, "float32", max_convolved_samples=BATCH_SIZE))
    # [classes, classes], or a sketch of it; its diagonal, the variances, says nothing about confusions
    found = (SketchedCovariance if streaming else Covariance)(samples.num_classes, diagonal=raw)
    loader = Loader(samples, BATCH_SIZE, seed=0, device=device)
    if show:  # classes that a bad generalist confuses are noise
        look_at(teacher, loaded, loader).tell()
    for batch in loader.in_order():
        targets, valid = teacher.targets(batch), batch.valid()
        some = slice(None) if valid is None else valid  # without padding and positions that have no loss
        if isinstance(targets, SparseTargets):
            # without the bucket of the rest, which is no class; a dense row of all classes is never made
            kept = targets.kept[..., : targets.ids.shape[-1]]
            found.add_sparse(by_example(targets.ids)[some].cpu(), by_example(kept)[some].cpu())
        else:
            found.add(by_example(targets.log_probs(1.0).exp())[some].cpu())
    sets = cluster_columns(found.columns(), clusters, size, seed, by_angle=not raw)
    names = samples.source.classes
    clustered = Clusters(tuple(tuple(names[index] for index in one.tolist()) for one in sets))
    if out is not None:
        clustered.write(out)
    return clustered


def name_folder(number: int) -> str:
    """Return the name of the run folder of a specialist."""
    # two digits, so that folders are listed in the order of the clusters up to a hundred of them
    return f"specialist-{number:02}"
