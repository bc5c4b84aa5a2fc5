"""The flags of specialists: their clusters, and how their predictions are combined."""

from __future__ import annotations

from typing import Annotated

import typer

ClustersOption = Annotated[
    int | None, typer.Option("--clusters", min=1, help="number of clusters of confusable classes [default: 10]")
]
GivenClustersOption = Annotated[
    str | None,  # not int: a file may be given in place of the number
    typer.Option("--clusters", help="number of clusters, or a JSON file with lists of class names [default: 10]"),
]
SizeOption = Annotated[
    int | None,
    typer.Option(
        "--size", min=1, help="classes per cluster, which may overlap; if not given, each class is in one cluster"
    ),
]
RawOption = Annotated[bool, typer.Option("--raw", help="cluster the raw columns, as the paper does")]
StreamingOption = Annotated[
    bool, typer.Option("--streaming", help="keep only a sketch of the covariance, for very many classes")
]
ClusterSeedOption = Annotated[
    int | None, typer.Option("--seed", help="seed of the clusters; the seeds of the runs follow from it [default: 0]")
]
WayOption = Annotated[
    str | None,
    typer.Option(
        "--way",
        help="dustbin: one class for all others; full: the generalist's soft targets for them [default: dustbin]",
    ),
]
TopOption = Annotated[
    int | None,
    typer.Option("--top", min=1, help="combine specialists that cover any of this many likeliest classes [default: 1]"),
]
DivergenceOption = Annotated[
    str | None,
    typer.Option("--divergence", help="forward, KL(p || q) as in the paper, or reverse, KL(q || p) [default: forward]"),
]
GeneralistWeightOption = Annotated[
    float | None, typer.Option("--weight", help="weight of the generalist [default: 1.0]")
]
SpecialistWeightsOption = Annotated[
    str | None, typer.Option("--weights", help="weights of the specialists, separated by commas; 1 if not given")
]
AllowMissingOption = Annotated[
    bool, typer.Option("--allow-missing", help="leave out specialists that are not complete")
]
