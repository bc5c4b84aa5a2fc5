"""`instar distill`: trains a student on a teacher's targets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from torch import nn

from instar.checks import checked
from instar.data.synthetic.generator import RowGenerator
from instar.data.views.view import View
from instar.models.trained import TrainedRun
from instar.objectives.objective import Objective, Term
from instar.paths import local_path
from instar.runs.run import Run
from instar.stages.arguments import DataLike, ModelLike, distillation_objective, target_settings
from instar.stages.configuration import configure
from instar.stages.given_teacher import choose_teacher, split_parts, teacher_of
from instar.stages.phases import Phases, train_phases
from instar.stages.stage import Stage
from instar.stages.transfer_rows import choose_transfer_rows


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
    transfer: str | RowGenerator | None = None,
    transfer_rows: int | None = None,
    store: Mapping[str, Any] | None = None,
    views: str | View | None = None,
    num_views: int | None = None,
    start: str | Path | Run | None = None,
    phases: Phases | None = None,
    seed: int | None = None,
    config: str | Path | Mapping[str, Any] | None = None,
    settings: Mapping[str, Any] | None = None,
    network: nn.Module | str | None = None,
    trust: bool = False,
    show: bool = True,
    **named: Any,
) -> TrainedRun:
    """Train a student on a teacher's soft targets, or resume a killed run, and return the complete run.

    Args:
        data: transfer set: result of `load_data`, or its argument. `SoftTargets` alone needs no labels.
        teacher: run or its folder, target store, torch module, fitted scikit-learn classifier, any `instar.Teacher`,
            `package.module:Name` of a module or a function that returns one, or a list of these; None takes the
            teachers of `config`.
        model: student, as in `train`.
        out: run folder; new, or of the same run.
        objective: weighted sum of terms; None is `SoftTargets(T) + 0.1 * HardLabels()`.
        temperature: T of the default objective; None is 4 for networks, and 1 for models without gradients.
        combine: average of several teachers: "geometric" (mean of logits) or "arithmetic" (mean of probabilities).
        targets: "online" queries the teacher at each step. "memory" and "store" query it once per (sample, view), and
            keep the targets in memory or in the run folder. Anything else is a folder of target stores, which students
            of the same teacher and views share.
        transfer: rows beside the training samples that only the teacher labels: "munge", "smearing", "naive-bayes",
            "marginals", one of these with arguments such as `Munge(0.2)` of `instar.data.synthetic`, a file or folder
            of rows without labels, or `package.module:function`. They are made from the training samples alone.
            `load_data` takes the same, also `transfer_seed`, and `transfer_alone` to leave out the training samples.
        transfer_rows: number of these rows; None: all of a file, or 10 times the training samples.
        store: fields of `StoreConfig`: what a store keeps, such as {"keep": "top:32", "dtype": "float16"}.
        views: augmentation; teacher and student see the same views. None takes those of a target store, or none.
        num_views: views per sample, used in turn; None makes a new one each epoch.
        start: run folder with the initial weights, as in `train`; or "teacher", for layers of the teacher that
            `start_layers` maps.
        phases: settings of each phase in order, or a YAML file with a list of them under `phases`. A phase may have
            `objective`, `views`, `num_views`, `targets`, `store` and the fields of `TrainingConfig`, and shares the
            rest. It starts from the weights of the phase before it. The last phase is the result; the others lie in
            the folder `phases` of its run folder.
        seed: seed of initial weights, data order, dropout and views; the same in all phases.
        config: YAML file of settings, as in `train`.
        settings: any settings by dotted name, as in `train`.
        network: network of the run folders of teachers, and of `start`, that need it: a module, or the
            `package.module:name` of a function that makes it.
        trust: allow model classes outside `instar.models`, here and in the teacher's run folder.
        show: show progress on stderr.
        named: fields of `TrainingConfig` and `RunConfig`, as in `train`; and `teacher_arguments`, `teacher_weights`,
            `teacher_reader` and `teacher_classes` of a teacher by name, which `instar.ForeignTeacher` describes.

    Raises:
        InstarError: in one sentence, for each mistake that the caller can correct.

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
    data, chosen_rows = choose_transfer_rows(data, transfer, transfer_rows, trust=trust)
    stage = plan_distillation(
        data,
        teacher,
        model,
        local_path(out, "out"),
        named,
        config=config,
        settings=settings,
        network=network,
        trust=trust,
        show=show,
        objective=distillation_objective(objective, temperature),
        combine=combine,
        views=views,
        num_views=num_views,
        start=start,
        seed=seed,
        **target_settings(targets, store),
        **chosen_rows,
    )
    return stage.run() if phases is None else train_phases(stage, phases)


def plan_distillation(
    data: DataLike | None,
    teacher: Any,
    model: ModelLike | None,
    out: Path,
    named: Mapping[str, Any],
    /,  # so that settings of `data` may be given too
    *,
    config: str | Path | Mapping[str, Any] | None = None,
    settings: Mapping[str, Any] | None = None,
    network: nn.Module | str | None = None,
    trust: bool = False,
    show: bool = True,
    **given: Any,
) -> Stage:
    """Return the stage that `distill` runs; for the arguments and errors see there, and `configure`."""
    teacher, named = split_parts(teacher, named)
    inputs = {"data": data, "teacher": teacher, "model": model}
    made = configure("distill", inputs, config, named, settings, trust=trust, teaches=True, **given)
    # settings stand above arguments, so they may name other teachers than the one that was given
    chosen = teacher_of("distill", teacher, made.config)
    names, resolved = choose_teacher(chosen, made.config.combine, network=network, trust=trust)
    # config.json names the teacher, but the object is queried: a module has only the name of its class
    made = replace(
        made,
        config=made.config.model_copy(update={"teachers": names}),
        objects=replace(made.objects, teacher=resolved),
    )
    return made.stage(out, network=network, trust=trust, show=show)
