"""Sets of classes for specialists, from a million predictions for 15,000 classes: 61 sets of 300.

| case | target |
|---|---|
| the exact covariance, and k-means on its columns | at most 600 seconds, 6 GiB |
| the sketched covariance, and k-means on its columns | at most 600 seconds, 6 GiB |

Predictions are the 100 largest probabilities of a synthetic generalist, which confuses each class with some classes of
its group, one of 61, and with some others. The time of making them does not count. "Found of the groups" is the share
of a group's classes in the set that has most of them, on average; random sets would find 0.02. Memory is the peak of a
process of its own, above its size after importing the package.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import torch
from torch import Tensor

from instar.analysis.clustering import cluster_columns
from instar.analysis.covariance import Covariance, SketchedCovariance
from instar.seeds import generator
from measure import Measured, Topic, parser, seconds
from memory import in_new_process, peak_above

CLASSES, KEPT, GROUPS, SIZE = 15_000, 100, 61, 300
INSIDE, BATCH = 80, 5000
"""Classes of a prediction that are in the group of its class, and rows per batch."""
KINDS = {"exact": Covariance, "sketched": SketchedCovariance}


def main() -> None:
    """Measure both accumulators."""
    options = parser(__doc__)
    options.add_argument("--rows", type=int, default=1_000_000, help="number of predictions; fewer for a quick look")
    topic = Topic("clustering", options.parse_args())
    rows = topic.arguments.rows
    for kind in KINDS:
        name = f"{GROUPS} sets of {SIZE} of {CLASSES:,} classes, {kind} covariance of {rows:,} top-{KEPT} predictions"
        if topic.wanted(name):
            for case, value, unit in in_new_process(clustered, kind, rows):
                topic.add(Measured(f"{name}: {case}", value, unit, None, None, 1, None))
    topic.write()


def clustered(kind: str, rows: int) -> list[tuple[str, float, str]]:
    """Add predictions to a covariance, cluster its columns, and return the rows."""
    taken = {"adding": 0.0, "clustering": 0.0}
    sets: list[Tensor] = []
    groups = torch.randperm(CLASSES, generator=generator(0, "groups")) % GROUPS

    def work() -> None:
        covariance = KINDS[kind](CLASSES, diagonal=False)
        for ids, probs in predictions(groups, rows):
            taken["adding"] += seconds(lambda some=(ids, probs): covariance.add_sparse(*some))
        taken["adding"] += seconds(covariance.columns)  # merges the predictions that were only buffered so far
        started = time.perf_counter()
        sets.extend(cluster_columns(covariance.columns(), GROUPS, SIZE, by_angle=True))
        taken["clustering"] = time.perf_counter() - started

    peak = peak_above(work)
    found = torch.stack([torch.bincount(groups[some], minlength=GROUPS) for some in sets])
    share = (found.amax(0) / torch.bincount(groups, minlength=GROUPS)).mean()
    return [
        *((case, value, "seconds") for case, value in taken.items()),
        ("both", sum(taken.values()), "seconds"),
        ("memory", peak / 2**30, "GiB"),
        ("found of the groups", float(share), "of their classes"),
    ]


def predictions(groups: Tensor, rows: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield ids and probabilities, `[BATCH, KEPT]` each, of classes in groups `[CLASSES]`."""
    random = generator(0, "predictions")
    fewest = int(torch.bincount(groups).min())  # all groups cut to one size, so that they form one tensor
    members = torch.stack([torch.nonzero(groups == i).flatten()[:fewest] for i in range(GROUPS)])
    sureness = 3 + 4 * torch.rand(CLASSES, generator=random)
    for start in range(0, rows, BATCH):
        truth = torch.randint(CLASSES, (min(BATCH, rows - start),), generator=random)
        chosen = torch.rand(len(truth), fewest, generator=random).topk(INSIDE - 1).indices
        others = torch.randint(CLASSES, (len(truth), KEPT - INSIDE), generator=random)
        logits = 1.5 * torch.randn(len(truth), KEPT, generator=random)
        logits[:, 0] += sureness[truth]
        logits[:, INSIDE:] -= 1
        yield torch.cat([truth[:, None], members[groups[truth]].gather(1, chosen), others], 1), logits.softmax(1)


if __name__ == "__main__":
    main()
