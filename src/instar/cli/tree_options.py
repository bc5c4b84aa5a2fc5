"""Flags of `born-again-tree`."""

from __future__ import annotations

from typing import Annotated

import typer

from instar.cli.trust import trust_typed, trust_typed_name

ForestArgument = Annotated[
    str, typer.Argument(metavar="FOREST", help="file of a forest: .skops, .ubj or .json of XGBoost, .txt of LightGBM")
]
TreeOutOption = Annotated[str, typer.Option("--out", help="file of the tree, which ends in .safetensors")]
TreeSizeOption = Annotated[
    str | None,
    typer.Option(
        "--by",
        help="what is smallest: depth, leaves or 'depth then leaves'; samples is quicker, and not the smallest; "
        "'manufactured rows' is not equal to the forest everywhere [default: depth]",
    ),
]
MaxBoxesOption = Annotated[
    int | None,
    typer.Option("--max-boxes", help="most boxes of cells to solve, 1 to 2 bytes each [default: 1000000000]"),
]
ForestDataOption = Annotated[
    str | None,
    typer.Option(
        "--data", help="data whose training rows decide what is pruned or manufactured", callback=trust_typed_name
    ),
]
PruneOption = Annotated[bool, typer.Option("--prune", help="drop splits one side of which has no training row")]
RowsMethodOption = Annotated[
    str | None,
    typer.Option(
        "--method",
        help="what manufactures rows: smearing, munge, naive-bayes, marginals, or package.module:function; without it, "
        "smearing",
        callback=trust_typed,
    ),
]
TreeSeedOption = Annotated[
    int | None, typer.Option("--seed", help="seed of manufactured rows, or of drawn cells [default: 0]")
]
