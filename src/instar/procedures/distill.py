"""`instar distill`: a student from a teacher."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from torch import nn

from instar.checks import checked
from instar.data.views import View
from instar.models.trained import TrainedRun
from instar.objectives.notation import distillation
from instar.objectives.objective import Objective, Term
from instar.paths import local_path
from instar.runs.run import Run
from instar.stages.argument_order import refuse_swapped
from instar.stages.arguments import DataLike, ModelLike, distillation_objective, target_settings
from instar.stages.configuration import configure
from instar.stages.given_teacher import choose_teacher, paths_of, teacher_of


@checked
def distill(
    data: DataLike | None = None,
    teacher: Any = None,
    model: ModelLike | None = None,
    *,
    out: str | Path,
    objective: str | Objective | Term | None = None,
    temperature: float | None = None,
    combine: Literal["geometric", "arithmetic"] | None = None,
    targets: str | Path | None = None,
    store: Mapping[str, Any] | None = None,
    views: str | View | None = None,
    num_views: int | None = None,
    start: str | Path | Run | None = None,
    seed: int | None = None,
    config: str | Path | Mapping[str, Any] | None = None,
    settings: Mapping[str, Any] | None = None,
    network: nn.Module | str | None = None,
    trust: bool = False,
    show: bool = True,
    **named: Any,
) -> TrainedRun:
    """Train a student on a teacher's soft targets, or take up a run that was killed, and return the complete run.

    Args:
        data: the transfer set, from `load_data` or what it takes. Labels are not needed for `SoftTargets` alone.
        teacher: a run or its folder, a target store, a torch module, a fitted scikit-learn classifier, any
            `instar.Teacher`, or a list of these; None: those of `config`.
        model: the student, as in `train`.
        out: the run folder; new, or of the same run.
        objective: a weighted sum of terms; None: `SoftTargets(T) + 0.1 * HardLabels()`.
        temperature: T of that one; None: 4.
        combine: how several teachers are averaged: "geometric" (mean of logits) or "arithmetic" (of probabilities).
        targets: "online" asks the teacher at each step. "memory" and "store" ask it once per (sample, view), and hold
            its answers, or keep them in the run folder; anything else is a folder of target stores to keep them in,
            which other students of the same teacher and views share.
        store: fields of `StoreConfig`, what is kept: {"keep": "top:32", "dtype": "float16"}.
        views: augmentation; teacher and student see the same views. None: those of a target store, or none.
        num_views: views per sample, used in turn; None makes a new one each epoch.
        start: run folder whose weights are the initial ones, as in `train`.
        seed: of initial weights, order, dropout and views.
        config: a YAML file of settings, as in `train`.
        settings: any settings by dotted name, as in `train`.
        network: the network of the run folders of teachers, and of `start`, that need it: a module or the
            `package.module:name` of what makes it.
        trust: allow model classes outside `instar.models`, here and in the teacher's run folder.
        show: show progress on stderr.
        named: fields of `TrainingConfig` and `RunConfig`, as in `train`.

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
    if objective is not None or temperature is not None:
        objective = distillation_objective(objective, temperature)
    given = configure(
        "distill",
        config,
        named,
        settings,
        data=data,
        model=model,
        defaults={"objective": distillation()},
        teachers=paths_of(teacher),
        objective=objective,
        combine=combine,
        views=views,
        num_views=num_views,
        start=start,
        seed=seed,
        **target_settings(targets, store),
    )
    chosen = teacher_of("distill", teacher, given.config)
    names, asked = choose_teacher(chosen, given.config.combine, network=network, trust=trust)
    given = replace(
        given,
        config=given.config.model_copy(update={"teachers": names}),
        objects=replace(given.objects, teacher=asked),
    )
    return given.stage(local_path(out, "out"), network=network, trust=trust, show=show).run()
