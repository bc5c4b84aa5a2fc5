"""Manufactured rows: 100,000 rows of 30 columns on one core, in seconds of this process, fitting included.

The table has 20 columns of numbers, 8 of 5 words, one of 200 words and one of booleans, with missing values. The
reference is the same work on a quarter of the rows, times 4, so a ratio near 1 shows that the time is linear in them.
Where `autogluon.core` is installed, its spunge is a reference too, which looks for no neighbours.

| case | target |
|---|---|
| munge, of a table of 4,000 rows | 10 seconds |
| munge, of a table of 100,000 rows | 10 seconds |
| the others | none |
"""

from __future__ import annotations

import importlib.util
import sys
import time
from collections.abc import Callable
from functools import partial

import pandas
import torch

from instar.data.columns.cell_rows import CellRows
from instar.data.columns.schema import Schema, TableColumn
from instar.data.synthetic import parse_generator
from measure import Topic, parser

ROWS, SHARE = 100_000, 4
NUM_NUMBERS, NUM_SHORT, SHORT, LONG = 20, 8, 5, 200


def make_table(rows: int) -> CellRows:
    """Return a table of random cells, of which a twentieth is missing."""
    random = torch.Generator().manual_seed(0)
    numbers = torch.randn(rows, NUM_NUMBERS, generator=random, dtype=torch.float64).cumsum(1)
    sizes = [SHORT] * NUM_SHORT + [LONG, 2]
    words = [torch.randint(size, (rows, 1), generator=random).double() for size in sizes]
    values = torch.cat([numbers, *words], 1)
    values[torch.rand(values.shape, generator=random) < 0.05] = torch.nan
    columns = [TableColumn(f"number{at}", "number") for at in range(NUM_NUMBERS)]
    for at, size in enumerate(sizes[:-1]):
        columns.append(TableColumn(f"word{at}", "word", tuple(f"w{number:03}" for number in range(size))))
    return CellRows(values, Schema((*columns, TableColumn("flag", "boolean"))))


def make_rows(name: str, table: CellRows, rows: int) -> float:
    """Return the seconds of this process for fitting and for all rows."""
    started = time.process_time()  # other programs on the machine do not count
    count = sum(len(part) for part in parse_generator(name).fit(table).parts(0, rows, 0))
    assert count == rows
    return time.process_time() - started


def as_frame(table: CellRows) -> pandas.DataFrame:
    """Return the table as AutoGluon takes it: floats, and words as categories."""
    found = pandas.DataFrame(table.values.numpy(), columns=[column.name for column in table.schema.columns])
    words = [column.name for column in table.schema.columns if column.kind != "number"]
    return found.astype(dict.fromkeys(words, "category"))


def make_by_autogluon(function: Callable[..., object], frame: pandas.DataFrame, rows: int) -> float:
    """Return the seconds of this process for the rows of a function of AutoGluon."""
    from autogluon.common.features.feature_metadata import FeatureMetadata

    started = time.process_time()
    function(frame, FeatureMetadata.from_df(frame), num_augmented_samples=rows)
    return time.process_time() - started


def main() -> None:
    """Measure all generators."""
    topic = Topic("synthetic", parser(__doc__).parse_args())
    torch.set_num_threads(1)
    small, large, quarter = make_table(4000), make_table(ROWS), make_table(ROWS // SHARE)

    def compare(name: str, of: str, table: CellRows, less: CellRows) -> None:
        topic.compare(
            f"{name}, of a table of {of} rows",
            partial(make_rows, name, table, ROWS),
            lambda: SHARE * make_rows(name, less, ROWS // SHARE),
            turns=1,
        )

    compare("munge", "4,000", small, small)
    compare("munge", "100,000", large, quarter)
    for name in ("smearing", "marginals", "naive-bayes"):
        compare(name, "4,000", small, small)
    if importlib.util.find_spec("autogluon") is None:
        print("autogluon.core is not installed, so its functions are no references.", file=sys.stderr)
    else:
        from autogluon.core.augmentation.distill_utils import spunge_augment

        frame = as_frame(small)
        for name in ("munge", "smearing"):
            topic.compare(
                f"{name}, of a table of 4,000 rows, over spunge of AutoGluon",
                partial(make_rows, name, small, ROWS),
                partial(make_by_autogluon, spunge_augment, frame, ROWS),
                turns=1,
            )
    topic.write()


if __name__ == "__main__":
    main()
