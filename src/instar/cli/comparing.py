"""`compare`."""

from __future__ import annotations

from typing import Annotated

import typer

from instar.cli.options import JsonOption
from instar.cli.output import print_result


def compare(
    methods: Annotated[
        list[str],
        typer.Argument(
            help="two or more: run folders, or folders with runs that differ in their seed; the first is the reference"
        ),
    ],
    resamples: Annotated[int, typer.Option("--resamples", min=1, help="of the bootstrap over test samples")] = 10_000,
    seed: Annotated[int, typer.Option("--seed", min=0, help="of the bootstrap")] = 0,
    as_json: JsonOption = False,
) -> None:
    """Say whether methods are better than the first of them, over test samples and over seeds, and how sure that is.

    Example: instar compare runs/labels runs/distilled
    """
    from instar.procedures.compare import compare as judge

    found = judge(*methods, resamples=resamples, seed=seed)
    print_result(found.as_dict(), found, as_json)
