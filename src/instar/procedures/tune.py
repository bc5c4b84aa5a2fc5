"""`instar tune`: chooses the temperature and the weight of hard labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from torch import nn

from instar.checks import checked
from instar.data.views.view import View
from instar.paths import local_path
from instar.stages.arguments import DataLike, ModelLike, refuse_weights
from instar.stages.configuration import configure
from instar.stages.given_teacher import split_parts, teacher_of
from instar.tuning.cells import Criterion, Grid
from instar.tuning.search import Search
from instar.tuning.tuned import Tuned


@checked
def tune(
    data: DataLike | None = None,
    teacher: Any = None,
    model: ModelLike | None = None,
    *,
    out: str | Path,
    temperatures: Sequence[float] | None = None,
    weights: Sequence[float] = (0, 0.1, 0.5),
    seeds: int = 3,
    criterion: Criterion | None = None,
    combine: Literal["geometric", "arithmetic"] | None = None,
    views: str | View | None = None,
    num_views: int | None = None,
    seed: int | None = None,
    jobs: int | str = 1,
    config: str | Path | Mapping[str, Any] | None = None,
    settings: Mapping[str, Any] | None = None,
    network: nn.Module | str | None = None,
    trust: bool = False,
    show: bool = True,
    **named: Any,
) -> Tuned:
    """Find T and w of SoftTargets(T) + w HardLabels() by successive halving, or resume a killed search.

    Where labels are numbers, it is w of SquaredError('teacher') + w SquaredError().

    All candidates are trained with one seed. The better half, rounded up and never fewer than two, gets a second seed,
    the better half of these has four, and so on up to all seeds. The baseline, labels alone, has every seed. All
    candidates learn from one target store. Trials are evaluated on the validation samples, never on the test split.

    Source: Jamieson and Talwalkar 2016, "Non-stochastic best arm identification and hyperparameter optimization",
    algorithm 1, with a seed for the pull of an arm.

    Args:
        data: result of `load_data` or its argument, with labels and a validation split.
        teacher: teacher, as in `distill`; it labels the data once.
        model: student, as in `train`, but not a module with weights.
        out: folder of the search; each trial is a run folder in it.
        temperatures: temperatures T of the grid; None: 1, 2, 4 and 8, and none for numbers.
        weights: weights w of the grid.
        seeds: number of seeds of candidates that are never dropped, at least 2.
        criterion: validation score to minimise: "error", with ties broken by NLL, or "nll"; for numbers "rmse" or
            "mae". None: the first of them.
        combine: average of several teachers, as in `distill`.
        views: augmentation, with a finite number of views. None takes the views of a target store, or none.
        num_views: views per sample.
        seed: trials have the seeds 1000 seed + k.
        jobs: number of trials at a time, or Ray; see `instar.jobs.outcomes`.
        config: YAML file of settings, as in `train`.
        settings: any settings by dotted name, as in `train`.
        network: network of a teacher's run folder that needs it, as in `distill`.
        trust: allow model classes outside `instar.models`.
        show: show progress on stderr.
        named: fields of `TrainingConfig` and `RunConfig`, and parts of a teacher by name, as in `distill`.

    Raises:
        NonFiniteError: if the baseline or every candidate diverges; a single candidate that diverges is dropped.
        InstarError: in one sentence, for everything else that the caller can mend.

    >>> import tempfile
    >>> from instar.models import MLP
    >>> from instar.procedures.train import train
    >>> folder = tempfile.mkdtemp()
    >>> teacher = train("digits", MLP([32]), out=f"{folder}/teacher", epochs=5, learning_rate=0.01)
    >>> grid = {"temperatures": [1, 4], "weights": [0], "seeds": 2}
    >>> found = tune("digits", teacher, MLP([8]), out=f"{folder}/tune", **grid, epochs=2, show=False)
    >>> found.objective in ("SoftTargets(1)", "SoftTargets(4)"), found.baseline.seeds
    (True, (0, 1))
    """
    teacher, named = split_parts(teacher, named)
    refuse_weights("tune", "trial", model)
    given = configure(
        "tune",
        {"data": data, "teacher": teacher, "model": model},
        config,
        named,
        settings,
        trust=trust,
        teaches=None,
        combine=combine,
        views=views,
        num_views=num_views,
        seed=seed,
    )
    chosen = teacher_of("tune", teacher, given.config)
    are_numbers = given.config.data.labels == "numbers"
    grid = Grid.of(temperatures, weights, seeds, criterion, are_numbers=are_numbers)
    stage = given.stage(local_path(out, "out"), network=network, trust=trust, show=show)
    return Search(stage, chosen, grid, network).run(jobs)
