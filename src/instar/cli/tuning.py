"""`tune`."""

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
    SeedOption,
    SetOption,
    TeacherOption,
    TrustOption,
    ViewsOption,
)
from instar.cli.output import print_result
from instar.cli.settings import configure, names_a_class, parse_numbers, read_flags, read_teachers
from instar.paths import local_path


def tune(
    data: DataArgument = None,
    *,
    out: Annotated[str, typer.Option("--out", help="folder of the search; run the same command again to resume it")],
    teacher: TeacherOption = None,
    model: ModelOption = None,
    arg: ArgOption = None,
    temperatures: Annotated[str, typer.Option("--temperatures", help="T of SoftTargets(T) to try")] = "1,2,4,8",
    weights: Annotated[
        str, typer.Option("--weights", help="w of SoftTargets(T) + w * HardLabels() to try; 0 is without labels")
    ] = "0,0.1,0.5",
    seeds: Annotated[int, typer.Option("--seeds", help="of the candidates that are never dropped, at least 2")] = 3,
    criterion: Annotated[
        str, typer.Option("--criterion", help="what is to be small on validation: error, or nll")
    ] = "error",
    combine: CombineOption = None,
    views: ViewsOption = None,
    epochs: EpochsOption = None,
    seed: SeedOption = None,
    jobs: JobsOption = "1",
    config: ConfigOption = None,
    settings: SetOption = None,
    as_json: JsonOption = False,
    trust: TrustOption = False,
) -> None:
    """Choose the temperature and the weight of hard labels on the validation split, dropping the worse half early.

    Example: instar tune digits --teacher runs/teacher --model mlp --arg widths=[16] --epochs 10 --out runs/tune
    """
    from instar.tuning.search import Search

    flags = read_flags(data, model, arg, None, views, epochs, seed) | read_teachers(teacher, combine)
    found = Search(
        configure(config, flags, settings),
        local_path(out, "out"),
        temperatures=parse_numbers("--temperatures", temperatures),
        weights=parse_numbers("--weights", weights),
        seeds=seeds,
        criterion=criterion,  # type: ignore[arg-type]  # checked inside
        trust=trust,
        trust_model=names_a_class(model),
    ).run(jobs)
    print_result(found.as_dict(), found, as_json)
