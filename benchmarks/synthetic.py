"""Manufactured rows: 100,000 rows of 30 columns on one core, in seconds of this process, fitting included.

The table has 20 columns of numbers, 8 of 5 words, one of 200 words and one of booleans, with missing values. The
reference is the same work on a quarter of the rows, times 4, so a ratio near 1 shows that the time is linear in them.
AutoGluon, whose implementation of MUNGE would be another reference, is not installed with the other packages.

| case | target |
|---|---|
| munge, of a table of 4,000 rows | 10 seconds |
| munge, of a table of 100,000 rows | 10 seconds |
| the others | none |
"""

from __future__ import annotations

import time
from functools import partial

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
    topic.write()


if __name__ == "__main__":
    main()
