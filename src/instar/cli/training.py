"""`train`, `distill` and `born-again`."""

from __future__ import annotations

from typing import Annotated

import typer

from instar.cli.options import (
    ArgOption,
    CombineOption,
    ConfigOption,
    DataArgument,
    EpochsOption,
    JobsOption,
    JsonOption,
    ModelOption,
    ObjectiveOption,
    OutOption,
    SeedOption,
    SetOption,
    TargetsOption,
    TeacherOption,
    TrustOption,
    ViewsOption,
)
from instar.cli.output import print_result, run_stage
from instar.cli.settings import configure, names_a_class, read_flags, read_targets, read_teachers
from instar.paths import local_path


def train(
    data: DataArgument = None,
    *,
    out: OutOption,
    model: ModelOption = None,
    arg: ArgOption = None,
    objective: ObjectiveOption = None,
    views: ViewsOption = None,
    epochs: EpochsOption = None,
    seed: SeedOption = None,
    config: ConfigOption = None,
    settings: SetOption = None,
    as_json: JsonOption = False,
    trust: TrustOption = False,
) -> None:
    """Train a model from labels.

    Example: instar train digits --model mlp --arg widths=[64,64] --epochs 20 --out runs/teacher
    """
    flags = read_flags(data, model, arg, objective, views, epochs, seed)
    values = configure(config, flags, settings)
    run_stage(values, out, trust=trust, trust_model=names_a_class(model), as_json=as_json)


def distill(
    data: DataArgument = None,
    *,
    out: OutOption,
    teacher: TeacherOption = None,
    model: ModelOption = None,
    arg: ArgOption = None,
    temperature: Annotated[
        float | None, typer.Option("--temperature", help="T of 'SoftTargets(T) + 0.1 * HardLabels()'; 4 if not given")
    ] = None,
    objective: ObjectiveOption = None,
    combine: CombineOption = None,
    targets: TargetsOption = None,
    views: ViewsOption = None,
    epochs: EpochsOption = None,
    seed: SeedOption = None,
    config: ConfigOption = None,
    settings: SetOption = None,
    as_json: JsonOption = False,
    trust: TrustOption = False,
) -> None:
    """Train a student on the soft targets of one teacher or several.

    Example: instar distill digits --teacher runs/teacher --model mlp --arg widths=[16] --temperature 4 --out runs/small
    """
    from instar.errors import ConfigError
    from instar.stages.arguments import distillation_objective

    if objective is not None or temperature is not None:
        objective = str(distillation_objective(objective, temperature))
    flags = read_flags(data, model, arg, objective, views, epochs, seed)
    flags |= read_teachers(teacher, combine) | read_targets(targets)
    values = configure(config, flags, settings)
    if not values.teachers:
        raise ConfigError("distill needs a teacher; give --teacher with a run folder.")
    if "objective" not in values.model_fields_set:
        values = values.model_copy(update={"objective": distillation_objective(None, None)})
    run_stage(values, out, trust=trust, trust_model=names_a_class(model), as_json=as_json)


def born_again(
    data: DataArgument = None,
    *,
    out: Annotated[
        str, typer.Option("--out", help="folder of the lineage; run the same command again to resume it")
    ] = "runs/born-again",
    generations: Annotated[int, typer.Option("--generations", help="how many are born after generation 0")] = 3,
    model: ModelOption = None,
    arg: ArgOption = None,
    student: Annotated[
        str | None, typer.Option("--student", help="model of the later generations, where it is another")
    ] = None,
    student_arg: Annotated[
        list[str] | None, typer.Option("--student-arg", help="an argument of it, as name=value; may be repeated")
    ] = None,
    objective: Annotated[
        str,
        typer.Option("--objective", help='of the later generations; "SoftTargets(1) + HardLabels()" adds the labels'),
    ] = "SoftTargets(1)",
    stop_early: Annotated[
        bool, typer.Option("--stop-early", help="end with the first generation that is no better on validation")
    ] = False,
    controls: Annotated[
        bool, typer.Option(help="also train as many models from labels with other seeds, and one with label smoothing")
    ] = True,
    distil_ensemble: Annotated[
        bool, typer.Option("--distil-ensemble", help="distil the ensemble of generations back into one model")
    ] = False,
    targets: TargetsOption = None,
    views: ViewsOption = None,
    epochs: EpochsOption = None,
    seed: SeedOption = None,
    jobs: JobsOption = "1",
    config: ConfigOption = None,
    settings: SetOption = None,
    as_json: JsonOption = False,
    trust: TrustOption = False,
) -> None:
    """Re-train a model on its own soft targets, generation after generation.

    Example: instar born-again digits --generations 3
    """
    from instar.objectives.notation import parse_objective
    from instar.procedures.born_again import DEFAULT_MODEL, LineagePlan

    flags = read_flags(data, model, arg, None, views, epochs, seed) | read_targets(targets)
    first = configure(config, {"model": DEFAULT_MODEL} | flags, settings)
    later = first.model
    if student is not None or student_arg:
        later = configure(
            None, {"data": {"source": ""}} | read_flags(None, student, student_arg, *[None] * 4), None
        ).model
    lineage = LineagePlan(
        first,
        local_path(out, "out"),
        generations,
        student=later,
        objective=parse_objective(objective),
        stop_early=stop_early,
        trust=trust or names_a_class(model) or names_a_class(student),
    ).run(controls=controls, distil_ensemble=distil_ensemble, jobs=jobs)
    print_result(lineage.as_dict(), lineage, as_json)
