"""The flags of rows without labels: what makes them, and where they are written."""

from __future__ import annotations

from typing import Annotated

import typer

from instar.cli.trust import trust_typed, trust_typed_name

TransferOption = Annotated[
    str | None,
    typer.Option(
        "--transfer",
        help="rows beside the training samples that only the teacher labels: munge, smearing, naive-bayes, marginals, "
        "a table without labels, or package.module:function",
        callback=trust_typed,
    ),
]
TransferRowsOption = Annotated[
    int | None,
    typer.Option(
        "--transfer-rows", min=1, help="number of these rows; all of a table, or 10 times the training samples"
    ),
]
TableArgument = Annotated[
    str,
    typer.Argument(
        metavar="DATA",
        help="a table: local folder, file of rows, Hub id, or package.module:function",
        callback=trust_typed_name,
    ),
]
MethodOption = Annotated[
    str | None,
    typer.Option(
        "--method",
        help="munge, smearing, naive-bayes or marginals, also with arguments such as 'Munge(0.2)', or "
        "package.module:function [default: munge]",
        callback=trust_typed,
    ),
]
MadeRowsOption = Annotated[int, typer.Option("--rows", min=1, help="number of rows")]
FirstRowOption = Annotated[
    int | None, typer.Option("--first", min=0, help="number of the first row; rows never end [default: 0]")
]
MadeSeedOption = Annotated[int | None, typer.Option("--seed", help="seed of the rows [default: 0]")]
RowsFileOption = Annotated[str, typer.Option("--out", help="file of the rows: .csv, .jsonl or .parquet")]
