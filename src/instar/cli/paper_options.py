"""The arguments and flags of the demo and of papers, which have scales, data and seeds of their own."""

from __future__ import annotations

from typing import Annotated

import typer

PaperArgument = Annotated[str, typer.Argument(help="name of a table, as `instar papers list` prints it")]
DemoOutOption = Annotated[
    str | None, typer.Option("--out", help="folder of the runs and the report [default: runs/demo]")
]
DemoMembersOption = Annotated[
    int | None, typer.Option("--members", min=1, help="teachers in the ensemble [default: 5]")
]
DemoSeedsOption = Annotated[
    int | None, typer.Option("--seeds", min=2, help="number of students with and without distillation [default: 5]")
]
ScaleOption = Annotated[
    str | None, typer.Option("--scale", help="smoke, small, paper (hours on two cores) or gpu [default: smoke]")
]
PaperDataOption = Annotated[str | None, typer.Option("--data", help="data set, if not the paper's")]
PaperOutOption = Annotated[str | None, typer.Option("--out", help="folder of the runs and the table")]
PaperSeedsOption = Annotated[int | None, typer.Option("--seeds", min=1, help="runs per row")]
FirstSeedOption = Annotated[
    int | None,
    typer.Option("--first-seed", min=0, help="first seed, to add runs to a table that was made elsewhere [default: 0]"),
]
NetsOption = Annotated[list[str] | None, typer.Option("--net", help="show only rows of this network; may be repeated")]
EncoderOption = Annotated[
    str | None,
    typer.Option("--encoder", help="folder or Hub id of a pretrained encoder, for tables that fine-tune one"),
]
PaperPrecisionOption = Annotated[
    str | None,
    typer.Option(
        "--precision",
        help="precision in place of the recipe's bfloat16; float32-fast by default on devices without units for it",
    ),
]
