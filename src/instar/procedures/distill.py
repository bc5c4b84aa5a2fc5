"""`instar distill`: a student from a teacher."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from torch import nn

from instar.checks import checked
from instar.config import DataConfig, ModelConfig, RunConfig, validate
from instar.data.dataset import Data
from instar.data.views import View, as_view
from instar.models.build import describe
from instar.models.trained import TrainedRun, attach_network
from instar.objectives.notation import as_objective
from instar.objectives.objective import Objective, Term
from instar.paths import local_path
from instar.runs.run import Run
from instar.stages.argument_order import refuse_swapped
from instar.stages.arguments import (
    as_data,
    distillation_objective,
    given_network,
    run_settings,
    target_settings,
)
from instar.stages.components import GivenObjects
from instar.stages.stage import Stage
from instar.targets.store import TargetStore
from instar.teachers.conversion import as_teacher
from instar.teachers.teacher import Teacher


@checked
def distill(
    data: Data | str | Sequence[Any] | DataConfig,
    teacher: Any,
    model: str | ModelConfig | Mapping[str, Any] | nn.Module,
    *,
    out: str | Path,
    objective: str | Objective | Term | None = None,
    temperature: float | None = None,
    views: str | View | None = None,
    num_views: int | None = None,
    targets: str | Path = "online",
    store: Mapping[str, Any] | None = None,
    combine: Literal["geometric", "arithmetic"] = "geometric",
    seed: int = 0,
    trust: bool = False,
    network: nn.Module | str | None = None,
    **settings: Any,
) -> TrainedRun:
    """Train a student on a teacher's soft targets, or take up a run that was killed, and return the complete run.

    Args:
        data: the transfer set, from `load_data` or what it takes. Labels are not needed for `SoftTargets` alone.
        teacher: a run or its folder, several folders, a target store, a torch module, a fitted scikit-learn classifier,
            or any `instar.Teacher`, such as `instar.Ensemble([...])`.
        model: the student, as in `train`.
        out: the run folder; new, or of the same run.
        objective: a weighted sum of terms; None: `SoftTargets(T) + 0.1 * HardLabels()`.
        temperature: T of that one; None: 4.
        views: augmentation; teacher and student see the same views. None: those of a target store, or none.
        num_views: views per sample, used in turn; None makes a new one each epoch.
        targets: "online" asks the teacher at each step. "memory" and "store" ask it once per (sample, view), and hold
            its answers, or keep them in the run folder; anything else is a folder of target stores to keep them in,
            which other students of the same teacher and views share.
        store: fields of `StoreConfig`, what is kept: {"keep": "top:32", "dtype": "float16"}.
        combine: how several run folders are averaged.
        seed: of initial weights, order, dropout and views.
        trust: allow model classes outside `instar.models`, here and in the teacher's run folder.
        network: the network of a teacher's run folder that needs it, a module or the `package.module:name` of what
            makes it.
        settings: fields of `TrainingConfig` (epochs, batch_size, learning_rate, ...), and the other fields of
            `RunConfig`: start, view_seed, correct_prior, judge_test.

    Raises:
        InstarError: in one sentence, for everything that the caller can mend.

    >>> import tempfile
    >>> from sklearn.ensemble import RandomForestClassifier
    >>> from instar.data import load_data
    >>> from instar.models import MLP
    >>> data = load_data("digits")
    >>> forest = RandomForestClassifier(random_state=0).fit(data.train.inputs().flatten(1), data.train.labels)
    >>> run = distill(data, forest, MLP([32]), out=tempfile.mkdtemp() + "/run", epochs=5, learning_rate=0.01)
    >>> run.metrics["agreement"] > 0.8
    True
    """
    refuse_swapped("distill", data=data, teacher=teacher, model=model)
    data = as_data(data)
    chosen = distillation_objective(objective, temperature)
    teacher = attach_network(teacher, network, trust=trust)
    folders = [teacher] if isinstance(teacher, str | Path) else teacher
    given: Teacher | None = None
    if isinstance(folders, list | tuple) and all(isinstance(folder, str | Path) for folder in folders):
        names = [str(folder) for folder in folders]
    else:
        given = as_teacher(teacher, trust=trust)
        names = [str(teacher.path) if isinstance(teacher, Run | TargetStore) else type(given).__name__]
    config = validate(
        RunConfig,
        {
            "data": data.config.model_dump(),
            "model": describe(model).model_dump(),
            "teachers": names,
            "combine": combine,
            "objective": str(chosen),
            **run_settings("distill", settings, decided=frozenset({"teachers"})),
            "seed": seed,
            **({} if views is None else {"views": str(views)}),
            **({} if num_views is None else {"num_views": num_views}),
            **target_settings(targets, store),
        },
    )
    return Stage(
        config,
        local_path(out, "out"),
        GivenObjects(
            data,
            given_network(model),
            given,
            objective=as_objective(chosen),
            views=None if views is None else as_view(views),
        ),
        trust=trust,
    ).run()
