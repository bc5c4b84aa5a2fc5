"""`instar synthesise`: rows like those of a table, without labels."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from instar.checks import Count, Natural, Seed, checked
from instar.data.synthetic.generator import RowGenerator
from instar.data.synthetic.joining import join_rows
from instar.data.synthetic.notation import parse_generator
from instar.data.synthetic.transfer import rows_of
from instar.errors import ConfigError
from instar.importing import TypedName
from instar.paths import local_path
from instar.runs.files import write_whole
from instar.stages.arguments import DataLike
from instar.stages.configuration import read_data

WRITERS: dict[str, Callable[[Any, Path], object]] = {
    ".csv": lambda frame, path: frame.to_csv(path, index=False),
    ".jsonl": lambda frame, path: frame.to_json(path, orient="records", lines=True, date_format="iso"),
    ".parquet": lambda frame, path: frame.to_parquet(path, index=False),
}
"""How a data frame of pandas is written, by the suffix of the file."""


@checked
def synthesise(
    data: DataLike,
    method: str | RowGenerator = "munge",
    *,
    rows: Count,
    first: Natural = 0,
    seed: Seed = 0,
    out: str | Path | None = None,
    settings: Mapping[str, Any] | None = None,
    trust: bool = False,
) -> Any:
    """Return rows like the training rows of a table, as a data frame without labels, and write them to a file.

    Columns keep their names and types. Row i is a function of (seed, i) alone, so `first` continues where earlier rows
    ended. `distill` makes such rows by itself (`transfer`); it also takes the file.

    Args:
        data: result of `load_data`, or its argument: a table, or arrays of numbers. Labels, and the validation and
            test samples, are not read.
        method: "munge", "smearing", "naive-bayes", "marginals", one of these with arguments, such as
            `instar.data.synthetic.Munge(0.2)`, or the `package.module:function` of a function that makes rows.
        rows: number of rows.
        first: number of the first row.
        seed: seed of the rows.
        out: CSV, JSON lines or Parquet file, by its suffix; None: the rows are only returned.
        settings: settings of the data by dotted name, such as `{"data.label_column": "left"}`.
        trust: allow the import of a function or class of yours.

    Raises:
        ConfigError: when a setting is none of the data, or the file has another suffix.
        MismatchError: when the data are neither a table nor arrays of numbers.

    >>> import pandas
    >>> table = pandas.DataFrame({"age": [20, 24, 60, 62], "plan": ["basic", "basic", "pro", "pro"]})
    >>> labels = ["no", "no", "yes", "yes"]
    >>> made = synthesise({"train": (table, labels), "test": (table, labels)}, rows=3, settings={"data.validation": 0})
    >>> list(made.columns), len(made), made.equals(
    ...     synthesise({"train": (table, labels), "test": (table, labels)}, rows=3, settings={"data.validation": 0})
    ... )
    (['age', 'plan'], 3, True)
    """
    # an object needs no trust
    generator = parse_generator(method, trust=trust or isinstance(method, TypedName))
    file = None if out is None else local_path(out, "out")
    if file is not None and file.suffix not in WRITERS:
        raise ConfigError(f"out must be a file with the suffix {', '.join(WRITERS)}, got '{file}'.")
    found = read_data(data, settings, trust=trust)
    if found.config.transfer is not None:
        raise ConfigError(f"'data.transfer' is '{found.config.transfer}' already; make rows of data without it.")
    fitted = generator.fit(rows_of(found.train, generator))
    if fitted.limit is not None and first + rows > fitted.limit:
        raise ConfigError(f"'{generator}' has {fitted.limit:,} rows; got rows {rows} from {first} on.")
    frame = join_rows(list(fitted.parts(first, rows, seed))).as_frame()
    if file is not None:
        write_whole(file, lambda path: WRITERS[file.suffix](frame, path))
    return frame
