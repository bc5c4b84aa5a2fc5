"""`demo`, and `papers list | run`."""

from __future__ import annotations

import instar
from instar.cli import options, paper_options
from instar.cli.output import print_json, print_result
from instar.cli.settings import only_given


def demo(
    out: paper_options.DemoOutOption = None,
    members: paper_options.DemoMembersOption = None,
    seeds: paper_options.DemoSeedsOption = None,
    jobs: options.JobsOption = None,
    as_json: options.JsonOption = False,
) -> None:
    """Distil five networks into a small one, in a minute.

    Uses embedded data, compares with training on labels, and writes a report.
    """
    summary = instar.demo(**only_given(out=out, members=members, seeds=seeds, jobs=jobs))
    print_result(summary.as_dict(), summary, as_json)


def list_papers(as_json: options.JsonOption = False) -> None:
    """List the tables that Instar can reproduce."""
    from instar.papers.catalogue import PAPERS  # late: the recipes import torch

    if as_json:
        print_json({name: paper.title for name, paper in PAPERS.items()})
    else:
        for name, paper in PAPERS.items():
            print(f"{name}  {paper.title}")


def run(
    name: paper_options.PaperArgument,
    scale: paper_options.ScaleOption = None,
    data: paper_options.PaperDataOption = None,
    out: paper_options.PaperOutOption = None,
    seeds: paper_options.PaperSeedsOption = None,
    first_seed: paper_options.FirstSeedOption = None,
    targets: options.TargetsOption = None,
    nets: paper_options.NetsOption = None,
    encoder: paper_options.EncoderOption = None,
    precision: paper_options.PaperPrecisionOption = None,
    jobs: options.JobsOption = None,
    as_json: options.JsonOption = False,
) -> None:
    """Reproduce a table; run the same command again to resume it."""
    from instar.papers.catalogue import run_paper

    given = only_given(
        scale=scale,
        data=data,
        out=out,
        seeds=seeds,
        first_seed=first_seed,
        targets=targets,
        nets=nets,
        encoder=encoder,
        precision=precision,
        jobs=jobs,
    )
    table = run_paper(name, **given)
    print_result(table.as_list(), table.as_markdown(), as_json)
