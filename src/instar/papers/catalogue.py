"""The tables that Instar can reproduce, by name."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import get_args

from instar.compute.accelerator import make_accelerator
from instar.compute.precision import Precision, choose_fastest
from instar.errors import ConfigError, nearest, say
from instar.papers import (
    breiman1996,
    bucila2006,
    cifar100_methods,
    furlanello2018_cifar10,
    furlanello2018_cifar100,
    furlanello2018_ptb,
    furlanello2018_ptb_length,
    hinton2014_speech,
    hinton2014_transfer,
    hinton2015_coverage,
    hinton2015_mnist,
    hinton2015_specialists,
    lopezpaz2016,
    tang2019_rotten_tomatoes,
    vidal2020,
    yim2017_cifar10,
    zagoruyko2017_cifar10,
)
from instar.papers.origin import describe_machines, read_origin
from instar.papers.table import Order, Table


@dataclass(frozen=True)
class Paper:
    """A published table that Instar can reproduce.

    Args:
        title: paper and section.
        scales: names of the networks that an order may choose, by the name of the scale.
        data: default data set.
        run: trains the runs of an order and returns the table.
        has_encoder: whether the table fine-tunes a pretrained encoder.
    """

    title: str
    scales: Mapping[str, tuple[str, ...]]
    data: str
    run: Callable[[Order], Table]
    has_encoder: bool = False


PAPERS = {
    name: Paper(
        module.TITLE,
        # a scale without `names` has no choice of networks
        {scale: getattr(size, "names", ()) for scale, size in module.SCALES.items()},
        module.DATA,
        module.run,
        hasattr(module, "ENCODER_PACKAGE"),
    )
    for name, module in {
        "breiman1996-born-again-trees": breiman1996,
        "bucila2006-model-compression": bucila2006,
        "hinton2015-mnist": hinton2015_mnist,
        "hinton2015-specialists": hinton2015_specialists,
        "hinton2015-coverage": hinton2015_coverage,
        "hinton2014-speech": hinton2014_speech,
        "hinton2014-transfer": hinton2014_transfer,
        "furlanello2018-cifar10": furlanello2018_cifar10,
        "furlanello2018-cifar100": furlanello2018_cifar100,
        "furlanello2018-ptb": furlanello2018_ptb,
        "furlanello2018-ptb-length": furlanello2018_ptb_length,
        "lopezpaz2016": lopezpaz2016,
        "vidal2020-born-again-trees": vidal2020,
        "tang2019-rotten_tomatoes": tang2019_rotten_tomatoes,
        "cifar100-methods": cifar100_methods,
        "yim2017-cifar10": yim2017_cifar10,
        "zagoruyko2017-cifar10": zagoruyko2017_cifar10,
    }.items()
}
"""The tables by their names on the command line; a new one is one more entry."""


def run_paper(
    name: str,
    *,
    scale: str = "smoke",
    data: str | None = None,
    out: str | Path | None = None,
    seeds: int | None = None,
    jobs: int | str = 1,
    targets: str | None = None,
    precision: Precision | None = None,
    nets: Sequence[str] = (),
    encoder: str | None = None,
    first_seed: int = 0,
) -> Table:
    """Reproduce a published table, or finish one that was killed; write table.json, table.md and origin.json.

    Args:
        name: name of the table, as `instar papers list` prints it.
        scale: amount of work: "smoke", "small", "gpu" or "paper".
        data: data set; None takes the paper's.
        out: output folder for the table, with the runs in `runs/`. None takes runs/papers/NAME/SCALE.
        seeds: runs per row; None takes the number of the scale.
        jobs: number of runs at a time, or Ray; see `instar.jobs.outcomes`.
        targets: source of the students' targets, as in `distill`; "store" writes one store that all runs share. None
            takes the paper's default; the numbers are the same.
        precision: precision of the runs whose recipe says bfloat16. None takes bfloat16 on devices with units for it,
            and float32-fast on others.
        nets: networks whose rows the table shows; an empty list takes all.
        encoder: folder or Hub id of a pretrained encoder of Transformers, for a table that fine-tunes one. None takes
            that of an installed package.
        first_seed: number of the first seed, after those of a table that was made elsewhere.

    Raises:
        ConfigError: for an unknown name, scale, precision or network, or seeds that are not whole numbers.

    >>> run_paper("hinton-mnist")
    Traceback (most recent call last):
    instar.errors.ConfigError: paper 'hinton-mnist' is unknown; did you mean 'hinton2015-mnist'?
    """
    _require("paper", name, PAPERS)
    paper = PAPERS[name]
    _require("scale", scale, paper.scales)
    _require("precision", precision or "float32", get_args(Precision))
    if nets and not paper.scales[scale]:
        raise ConfigError(f"table '{name}' has no choice of nets, because its rows need each other; leave nets out.")
    if encoder is not None and not paper.has_encoder:
        raise ConfigError(f"table '{name}' fine-tunes no encoder; leave encoder out.")
    for net in nets:
        _require("net", net, paper.scales[scale])
    # where bfloat16 is emulated, the recipes' precision would be slower than float32
    precision = precision or choose_fastest(make_accelerator().device)
    folder = Path(out) if out else Path("runs") / "papers" / name / scale
    started = time.monotonic()

    def report(stage: str) -> None:
        say(f"{time.monotonic() - started:8.1f} s  {stage}")

    order = Order(
        scale,
        data or paper.data,
        folder / "runs",
        seeds,
        jobs,
        report,
        targets=targets,
        precision=precision,
        nets=tuple(nets),
        encoder=encoder,
        first_seed=first_seed,
    )
    table = paper.run(order)
    origin = read_origin(order.trained)
    table = replace(table, findings="\n\n".join(filter(None, (table.findings, describe_machines(origin)))))
    table.write(folder, started, origin)
    return table


def _require(kind: str, word: str, known: Iterable[str]) -> None:
    if word not in known:
        raise ConfigError(f"{kind} '{word}' is unknown; {nearest(word, known)}")
