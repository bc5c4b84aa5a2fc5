"""`evaluate`, `correct-bias` and `report`."""

from __future__ import annotations

from typing import Annotated

import typer

from instar.cli.options import JsonOption, NetworkOption, TrustOption
from instar.cli.output import print_metrics, print_result, print_run


def evaluate(
    run: Annotated[str, typer.Argument(help="a run folder")],
    data: Annotated[str | None, typer.Option("--data", help="other data than the run was trained on")] = None,
    split: Annotated[str, typer.Option("--split", help="train, validation or test")] = "test",
    teacher: Annotated[str | None, typer.Option("--teacher", help="a run folder; adds agreement with it")] = None,
    as_json: JsonOption = False,
    trust: TrustOption = False,
    network: NetworkOption = None,
) -> None:
    """Measure a trained model: errors with a 95% interval, NLL, calibration, agreement with a teacher."""
    from instar.procedures.evaluate import evaluate as measure

    found = measure(run, data, split=split, teacher=teacher, trust=trust, network=network)
    print_metrics(found, as_json, title=f"{run} on {split}")


def correct_bias(
    run: Annotated[str, typer.Argument(help="a run folder")],
    classes: Annotated[list[str], typer.Option("--class", help="name of a class to shift; may be repeated")],
    out: Annotated[str, typer.Option("--out", help="the folder of the corrected run")],
    rule: Annotated[
        str, typer.Option("--rule", help="prior (needs no labels) or labelled (validation split)")
    ] = "prior",
    offset: Annotated[float | None, typer.Option("--offset", help="shift by this instead, in nats")] = None,
    as_json: JsonOption = False,
    trust: TrustOption = False,
) -> None:
    """Shift the logits of classes that the student's transfer set lacked, or held too often."""
    from instar.procedures.correct_bias import correct_bias as correct

    print_run(correct(run, classes, out=out, rule=rule, offset=offset, trust=trust), as_json)  # type: ignore[arg-type]  # checked inside


def report(
    runs: Annotated[list[str], typer.Argument(help="run folders, or folders with some in them, at any depth")],
    out: Annotated[
        str | None, typer.Option("--out", help="the HTML file; report.html in the folder of all if not given")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Write one HTML file about all runs in one or several folders."""
    from instar.procedures.report import report as write

    path = write(runs, out)
    print_result({"report": str(path)}, path, as_json)
