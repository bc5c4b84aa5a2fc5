"""`specialists cluster | train | combine | evaluate`."""

from __future__ import annotations

from pathlib import Path

import instar
from instar.cli import options, specialist_options
from instar.cli.output import print_result, print_run
from instar.cli.settings import only_given, parse_numbers, parse_settings


def cluster(
    generalist: options.GeneralistArgument,
    clusters: specialist_options.ClustersOption = None,
    size: specialist_options.SizeOption = None,
    data: options.OtherDataOption = None,
    split: options.ClusterSplitOption = None,
    raw: specialist_options.RawOption = False,
    streaming: specialist_options.StreamingOption = False,
    out: options.ClustersOutOption = None,
    seed: specialist_options.ClusterSeedOption = None,
    as_json: options.JsonOption = False,
    trust: options.TrustOption = False,
    network: options.NetworkOption = None,
) -> None:
    """Print clusters of classes that a generalist confuses.

    Example: instar specialists cluster runs/generalist --clusters 5 --size 3
    """
    given = only_given(clusters=clusters, size=size, split=split, out=out, seed=seed, network=network)
    found = instar.specialists.cluster(generalist, data, raw=raw, streaming=streaming, trust=trust, **given)
    print_result([list(names) for names in found.sets], found, as_json)


def train(
    generalist: options.GeneralistArgument,
    out: options.SpecialistsOutOption,
    clusters: specialist_options.GivenClustersOption = None,
    size: specialist_options.SizeOption = None,
    way: specialist_options.WayOption = None,
    epochs: options.EpochsOption = None,
    seed: specialist_options.ClusterSeedOption = None,
    jobs: options.JobsOption = None,
    settings: options.SetOption = None,
    as_json: options.JsonOption = False,
    trust: options.TrustOption = False,
    network: options.NetworkOption = None,
) -> None:
    """Train a specialist for every cluster of classes.

    Example: instar specialists train runs/generalist --clusters 5 --size 3 --jobs 2 --out runs/specialists
    """
    # one flag for both: a file that is called like a number can be given as ./5
    number = int(clusters) if clusters is not None and clusters.isdigit() else clusters
    given = only_given(clusters=number, size=size, way=way, epochs=epochs, seed=seed, jobs=jobs, network=network)
    runs = instar.specialists.train(generalist, out=out, settings=parse_settings(settings), trust=trust, **given)
    if not as_json:  # one JSON document per run, and nothing else on stdout
        print(instar.specialists.Clusters.read(Path(out) / "clusters.json"))
    for run in runs:
        print_run(run, as_json)


def combine(
    generalist: options.GeneralistArgument,
    specialists: options.SpecialistsArgument,
    out: options.OutOption,
    top: specialist_options.TopOption = None,
    divergence: specialist_options.DivergenceOption = None,
    weight: specialist_options.GeneralistWeightOption = None,
    weights: specialist_options.SpecialistWeightsOption = None,
    allow_missing: specialist_options.AllowMissingOption = False,
    data: options.OtherDataOption = None,
    as_json: options.JsonOption = False,
    trust: options.TrustOption = False,
    network: options.NetworkOption = None,
) -> None:
    """Combine a generalist and its specialists into one teacher.

    Example: instar specialists combine runs/generalist runs/specialists --out runs/combined
    """
    given = only_given(
        top=top,
        divergence=divergence,
        weight=weight,
        weights=parse_numbers("--weights", weights),
        data=data,
        network=network,
    )
    run = instar.specialists.combine(
        generalist, specialists, out=out, allow_missing=allow_missing, trust=trust, **given
    )
    print_run(run, as_json)
    if not as_json and run.result.get("missing"):  # with --json it is in the result
        print(f"  missing    {', '.join(run.result['missing'])}")


def evaluate(
    combined: options.CombinedArgument,
    split: options.CoverageSplitOption = None,
    as_json: options.JsonOption = False,
) -> None:
    """Show where specialists improve on their generalist.

    Example: instar specialists evaluate runs/combined
    """
    found = instar.specialists.evaluate(combined, **only_given(split=split))
    print_result(found.as_dict(), found, as_json)
