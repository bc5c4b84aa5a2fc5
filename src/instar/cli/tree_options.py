"""Flags of `born-again-tree`."""

from __future__ import annotations

from typing import Annotated

import typer

ForestArgument = Annotated[
    str, typer.Argument(metavar="FOREST", help="file of a forest: .skops, .ubj or .json of XGBoost, .txt of LightGBM")
]
TreeOutOption = Annotated[str, typer.Option("--out", help="file of the tree, which ends in .safetensors")]
TreeSizeOption = Annotated[
    str | None,
    typer.Option(
        "--by",
        help="what is smallest: depth, leaves or 'depth then leaves'; samples is quicker, and not the smallest "
        "[default: depth]",
    ),
]
MaxBoxesOption = Annotated[
    int | None,
    typer.Option("--max-boxes", help="most boxes of cells to solve, about 3 bytes each [default: 500000000]"),
]
