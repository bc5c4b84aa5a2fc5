"""`demo`, and `papers list | run`."""

from __future__ import annotations

from typing import Annotated

import typer

from instar.cli.options import JobsOption, JsonOption, TargetsOption
from instar.cli.output import print_json, print_result


def demo(
    out: Annotated[str, typer.Option("--out", help="where the runs and the report go")] = "runs/demo",
    seeds: Annotated[int, typer.Option("--seeds", min=2, help="students with and without distillation")] = 5,
    jobs: JobsOption = "2",
    as_json: JsonOption = False,
) -> None:
    """Distil an ensemble of five nets into one of a tenth of the size, on embedded data, and write a report."""
    from instar.procedures.demo import demo as show

    summary = show(out, seeds=seeds, jobs=jobs)
    print_result(summary.as_dict(), summary, as_json)


def list_papers(as_json: JsonOption = False) -> None:
    """List the tables that can be reproduced."""
    from instar.papers.catalogue import PAPERS

    if as_json:
        print_json({name: paper.title for name, paper in PAPERS.items()})
    else:
        for name, paper in PAPERS.items():
            print(f"{name}  {paper.title}")


def run(
    name: Annotated[str, typer.Argument(help="a name from `instar papers list`")],
    scale: Annotated[str, typer.Option("--scale", help="smoke, small, paper (hours on two cores) or gpu")] = "smoke",
    data: Annotated[
        str | None, typer.Option("--data", help="the data set, where it is not the paper's default")
    ] = None,
    out: Annotated[str | None, typer.Option("--out", help="folder of the runs and the table")] = None,
    seeds: Annotated[int | None, typer.Option("--seeds", min=1, help="runs per row")] = None,
    targets: TargetsOption = None,
    net: Annotated[list[str] | None, typer.Option("--net", help="rows of this network alone; may be repeated")] = None,
    precision: Annotated[
        str | None,
        typer.Option("--precision", help="where the recipe has bfloat16; default: that, or float32-fast without units"),
    ] = None,
    jobs: JobsOption = "1",
    as_json: JsonOption = False,
) -> None:
    """Reproduce a table; run the same command again to resume it."""
    from instar.papers.catalogue import run_paper

    table = run_paper(
        name,
        scale=scale,
        data=data,
        out=out,
        seeds=seeds,
        jobs=jobs,
        targets=targets,
        nets=net or (),
        precision=precision,  # type: ignore[arg-type]  # checked inside
    )
    print_result(table.as_list(), table.as_markdown(), as_json)
