"""Target stores of random predictions, as large as those of ImageNet and of a corpus; nothing has a target value yet.

| store | rows | classes | kept | on disk |
|---|---|---|---|---|
| images | 1,281,167 | 1,000 | top-32, float16 | 0.17 GB |
| tokens | 97,657 sequences of 1,024 positions | 128,000 | top-64, float16 | 39 GB |

Everything after writing happens in a new process. Warm gathers read the first 1 GB of rows. Before each cold gather the
store is closed, its pages are dropped from the cache of the operating system, and it is opened again. Memory is that of
the process without mapped files (RssAnon), unless a row says otherwise. Each store is deleted after its measurements.
"""

from __future__ import annotations

import os
import tempfile
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import median

import torch
import torch.nn.functional as F
from torch import Tensor

from instar.seeds import generator
from instar.targets import SparseTargets, Targets, TargetStore
from instar.teachers import Stored
from measure import Measured, Topic, parser, seconds
from memory import in_new_process, status
from random_stores import RandomStore
from targets import loss_on_sparse

COLD_GATHERS, WARM_REPEATS = 10, 1000
MAX_WARM_BYTES = 1 << 30


def main() -> None:
    """Measure both stores, one after the other."""
    options = parser(__doc__)
    options.add_argument("--folder", type=Path, help="folder to write to; the default is that of temporary files")
    options.add_argument("--images", type=int, default=1_281_167, help="rows of the store of images")
    options.add_argument("--tokens", type=int, default=100_000_000, help="positions of the store of tokens")
    arguments = options.parse_args()
    topic = Topic("target_scale", arguments)
    sequences = -(-arguments.tokens // 1024)
    stores = {
        f"images ({arguments.images:,} rows of 1,000 classes, top-32)": (
            RandomStore(Path(), 1000, "top:32", arguments.images),
            256,
        ),
        f"tokens ({sequences:,} rows of 1,024 positions of 128,000 classes, top-64)": (
            RandomStore(Path(), 128_000, "top:64", sequences, (1024,)),
            16,
        ),
    }
    for name, (plan, batch) in stores.items():
        if topic.wanted(name):
            with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
                store = replace(plan, folder=Path(folder) / "store")
                for work, choices in ((written, ()), (read, (batch,))):
                    for case, value, unit in in_new_process(work, store, *choices):
                        topic.add(Measured(f"{name}: {case}", value, unit, None, None, 1, None))
    topic.write()


Rows = list[tuple[str, float, str]]


def written(plan: RandomStore) -> Rows:
    """Write a store, and return the rows about writing."""
    store, taken = plan.write()
    plan.prove(TargetStore(plan.folder))  # a fast way to write wrong rows would be no result
    size = sum(path.stat().st_size for path in plan.folder.iterdir())
    return [
        ("writing, with checksums and fsync", taken, "seconds"),
        ("speed of writing", size / 1e6 / taken, "MB/s"),
        ("size", size / 1e6, f"MB in {len(store.pieces())} shards"),
    ]


def read(plan: RandomStore, batch: int) -> Rows:
    """Open a store, gather from it, and compute losses on the gathered targets."""
    random = generator(0, "gathers")
    before = in_use()
    started = time.perf_counter()
    part = TargetStore(plan.folder).part("train")
    taken, opened = time.perf_counter() - started, in_use()
    rows = [("opening", 1e3 * taken, "ms"), *growth("opening", before, opened)]
    del part

    cold = median(cold_gather(plan, ids(plan.samples, batch, random)) for _ in range(COLD_GATHERS))
    rows.append((f"gather of {batch} random rows, cold", 1e6 * cold, "microseconds"))

    part = TargetStore(plan.folder).part("train")
    few = min(plan.samples, MAX_WARM_BYTES // part.records.shape[1])
    part.records[:few].sum()  # reads these rows into the cache
    warm = [seconds(partial(part.targets, ids(few, batch, random), 0)) for _ in range(WARM_REPEATS)]
    rows.append((f"gather of {batch} random rows of {few:,}, warm", 1e6 * median(warm), "microseconds"))
    rows += growth(f"{WARM_REPEATS:,} gathers, after opening", opened, in_use())
    if not plan.positions:
        rows += losses(part.targets(ids(few, batch, random), 0), batch)
    rows.append(("opening as a teacher", 1e3 * seconds(lambda: Stored(plan.folder)), "ms"))
    return rows


def ids(below: int, number: int, random: torch.Generator) -> Tensor:
    """Return ids of random rows."""
    return torch.randint(below, (number,), generator=random)


def in_use() -> tuple[int, int]:
    """Return the memory of this process in bytes, without and with mapped files."""
    return status("RssAnon"), status("VmRSS")


def growth(what: str, before: tuple[int, int], after: tuple[int, int]) -> Rows:
    """Return the rows about the growth of memory."""
    names = f"memory grown by {what}", f"memory grown by {what}, mapped files included"
    return [(name, (b - a) / 1e6, "MB") for name, a, b in zip(names, before, after, strict=True)]


def cold_gather(plan: RandomStore, rows: Tensor) -> float:
    """Return the seconds of a gather from the disk, without opening the store."""
    drop_pages(plan.folder)
    part = TargetStore(plan.folder).part("train")
    return seconds(lambda: part.targets(rows, 0))


def losses(targets: Targets, batch: int) -> Rows:
    """Return the rows about a loss and its gradient, on a batch of targets and on labels."""
    assert isinstance(targets, SparseTargets)
    logits = torch.randn(batch, targets.num_classes, requires_grad=True)
    labels = torch.randint(targets.num_classes, (batch,))
    works = {
        "loss and gradient on a batch": lambda: loss_on_sparse(logits, targets),
        "cross-entropy with labels and gradient on a batch": lambda: F.cross_entropy(logits, labels),
    }
    return [
        (
            case,
            1e6 * median(seconds(lambda loss=loss: torch.autograd.grad(loss(), logits)) for _ in range(WARM_REPEATS)),
            "microseconds",
        )
        for case, loss in works.items()
    ]


def drop_pages(folder: Path) -> None:
    """Drop the shards from the cache of the operating system; it keeps pages that a process maps."""
    for path in folder.iterdir():
        file = os.open(path, os.O_RDONLY)
        try:
            os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(file)


if __name__ == "__main__":
    main()
