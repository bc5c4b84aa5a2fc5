"""`specialists cluster | train | combine | evaluate`."""

from __future__ import annotations

from typing import Annotated

import typer

from instar.cli.options import EpochsOption, JobsOption, JsonOption, OutOption, SeedOption, SetOption, TrustOption
from instar.cli.output import print_result, print_run

GeneralistArgument = Annotated[str, typer.Argument(help="run folder of the generalist")]
ClustersOption = Annotated[
    str, typer.Option("--clusters", help="how many clusters of confusable classes, or a JSON file with lists of names")
]
SizeOption = Annotated[
    int | None,
    typer.Option("--size", min=1, help="classes in each, which may overlap; each class is in one if not given"),
]


def cluster(
    generalist: GeneralistArgument,
    clusters: ClustersOption = "10",
    size: SizeOption = None,
    data: Annotated[str | None, typer.Option("--data", help="other data than the generalist was trained on")] = None,
    raw: Annotated[bool, typer.Option("--raw", help="cluster the columns as they are, as the paper does")] = False,
    streaming: Annotated[
        bool, typer.Option("--streaming", help="hold a sketch of the covariance alone, for very many classes")
    ] = False,
    out: Annotated[str | None, typer.Option("--out", help="JSON file to write the clusters to")] = None,
    seed: SeedOption = None,
    as_json: JsonOption = False,
    trust: TrustOption = False,
) -> None:
    """Print which classes a generalist confuses.

    Example: instar specialists cluster runs/generalist --clusters 5 --size 3
    """
    from instar.errors import ConfigError
    from instar.procedures import specialists

    if not clusters.isdigit():
        raise ConfigError(f"--clusters must be a number here, got '{clusters}'.")
    count, seed = int(clusters), seed or 0
    found = specialists.cluster(
        generalist,
        data,
        clusters=count,
        size=size,
        raw=raw,
        streaming=streaming,
        seed=seed,
        trust=trust,
    )
    if out is not None:
        found.write(out)
    print_result([list(names) for names in found.sets], found, as_json)


def train(
    generalist: GeneralistArgument,
    out: Annotated[
        str, typer.Option("--out", help="folder of their run folders; run the same command again to resume it")
    ],
    clusters: ClustersOption = "10",
    size: SizeOption = None,
    way: Annotated[
        str, typer.Option("--way", help="dustbin: all other classes are one; full: the generalist's soft targets there")
    ] = "dustbin",
    epochs: EpochsOption = None,
    seed: SeedOption = None,
    jobs: JobsOption = "1",
    settings: SetOption = None,
    as_json: JsonOption = False,
    trust: TrustOption = False,
) -> None:
    """Train a specialist for every cluster of classes that a generalist confuses.

    Example: instar specialists train runs/generalist --clusters 5 --size 3 --jobs 2 --out runs/specialists
    """
    from instar.cli.settings import training_settings
    from instar.procedures import specialists

    chosen = int(clusters) if clusters.isdigit() else specialists.Clusters.read(clusters)
    plan = specialists.plan(
        generalist,
        chosen,
        out=out,
        size=size,
        way=way,  # type: ignore[arg-type]  # checked inside
        seed=seed or 0,
        trust=trust,
        **training_settings(epochs, settings),
    )
    if not as_json:
        print(plan.clusters)
    for run in plan.run(jobs):
        print_run(run, as_json)


def combine(
    generalist: GeneralistArgument,
    specialists: Annotated[list[str], typer.Argument(help="run folders of specialists, or the folder that has them")],
    out: OutOption,
    top: Annotated[
        int, typer.Option("--top", min=1, help="ask those who have one of this many of the likeliest classes")
    ] = 1,
    divergence: Annotated[
        str, typer.Option("--divergence", help="forward, KL(p || q) as in the paper, or reverse, KL(q || p)")
    ] = "forward",
    weight: Annotated[float, typer.Option("--weight", help="of the generalist; that of a specialist is 1")] = 1.0,
    allow_missing: Annotated[
        bool, typer.Option("--allow-missing", help="leave out specialists that have failed")
    ] = False,
    as_json: JsonOption = False,
    trust: TrustOption = False,
) -> None:
    """Make one teacher of a generalist and its specialists.

    Example: instar specialists combine runs/generalist runs/specialists --out runs/combined
    """
    from instar.procedures import specialists as procedures

    run = procedures.combine(
        generalist,
        procedures.folders_in(specialists),
        out=out,
        top=top,
        weight=weight,
        divergence=divergence,  # type: ignore[arg-type]  # checked inside
        allow_missing=allow_missing,
        trust=trust,
    )
    print_run(run, as_json)
    if not as_json and run.result.get("missing"):
        print(f"  missing    {', '.join(run.result['missing'])}")


def evaluate(
    combined: Annotated[str, typer.Argument(help="run folder of a generalist with its specialists")],
    split: Annotated[str, typer.Option("--split", help="test, or validation for choices")] = "test",
    as_json: JsonOption = False,
) -> None:
    """Say where specialists make their generalist better, by how many of them know the right class.

    Example: instar specialists evaluate runs/combined
    """
    from instar.procedures import specialists

    found = specialists.evaluate(combined, split)
    print_result(found.as_dict(), found, as_json)
