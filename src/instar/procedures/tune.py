"""`instar tune`: which temperature, and which weight of hard labels?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from torch import nn

from instar.checks import checked
from instar.config import DataConfig, ModelConfig, RunConfig, validate
from instar.data.dataset import Data
from instar.data.views import View, as_view
from instar.errors import ConfigError
from instar.models.build import describe
from instar.paths import local_path
from instar.runs.run import Run
from instar.stages.argument_order import refuse_swapped
from instar.stages.arguments import as_data, given_network, run_settings
from instar.targets.store import TargetStore
from instar.tuning.cells import Criterion
from instar.tuning.search import TEMPERATURES, WEIGHTS, Search
from instar.tuning.tuned import Tuned


@checked
def tune(
    data: Data | str | Sequence[Any] | DataConfig,
    teacher: Any,
    model: str | ModelConfig | Mapping[str, Any] | nn.Module,
    *,
    out: str | Path,
    temperatures: Sequence[float] = TEMPERATURES,
    weights: Sequence[float] = WEIGHTS,
    seeds: int = 3,
    criterion: Criterion = "error",
    views: str | View | None = None,
    num_views: int | None = None,
    combine: Literal["geometric", "arithmetic"] = "geometric",
    jobs: int | str = 1,
    seed: int = 0,
    trust: bool = False,
    show: bool = True,
    **settings: Any,
) -> Tuned:
    """Find T and w of SoftTargets(T) + w HardLabels() by successive halving, or take up a search that was killed.

    All candidates are trained with one seed. The better half, rounded up and never fewer than two, gets a second one,
    the better half of these has four, and so on up to all seeds. Labels alone have every seed, as the baseline. All
    candidates learn from one target store, and no trial is judged on the test split, but on the validation samples.

    Source: Jamieson and Talwalkar 2016, "Non-stochastic best arm identification and hyperparameter optimization",
    algorithm 1, with a seed for the pull of an arm.

    Args:
        data: from `load_data` or what it takes, with labels and a validation split.
        teacher: what `distill` takes; it is asked once.
        model: the student, as in `train`, but for a module with weights of its own.
        out: folder of the search; each trial is a run folder in it.
        temperatures: T of the grid.
        weights: w of the grid.
        seeds: how many the candidates have that are never dropped, at least 2.
        criterion: what is to be small: "error", ties by NLL; or "nll".
        views: augmentation, of which a number is kept. None: the views of a target store, or none.
        num_views: views per sample.
        combine: how several run folders are averaged.
        jobs: trials at a time, or Ray; see `instar.jobs.outcomes`.
        seed: trials have the seeds 1000 seed + k.
        trust: allow model classes outside `instar.models`.
        show: show progress on stderr.
        settings: fields of `TrainingConfig` (epochs, batch_size, learning_rate, ...), and the other fields of
            `RunConfig`: start, view_seed, correct_prior, judge_test.

    Raises:
        NonFiniteError: when the baseline diverged, or every candidate; one alone is dropped.
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
    refuse_swapped("tune", data=data, teacher=teacher, model=model)
    if given_network(model) is not None:
        raise ConfigError(
            "every trial starts from fresh weights, so tune needs a model by name, by package.module:Class or as a "
            f"description; got a {type(model).__name__} with weights."
        )
    loaded = as_data(data)
    given = list(teacher) if isinstance(teacher, list | tuple) else [teacher]
    named = all(isinstance(one, str | Path | Run | TargetStore) for one in given)
    config = {
        "data": loaded.config.model_dump(),
        "model": describe(model).model_dump(),
        "teachers": [str(one.path if isinstance(one, Run | TargetStore) else one) for one in given] if named else [],
        "combine": combine,
        **run_settings("tune", settings, decided=frozenset({"teachers"})),
        "seed": seed,
        **({} if views is None else {"views": str(as_view(views))}),
        **({} if num_views is None else {"num_views": num_views}),
    }
    return Search(
        validate(RunConfig, config),
        local_path(out, "out"),
        temperatures=tuple(map(float, temperatures)),
        weights=tuple(map(float, weights)),
        seeds=seeds,
        criterion=criterion,
        teacher=None if named else teacher,
        data=loaded,
        trust=trust,
        show=show,
    ).run(jobs)
