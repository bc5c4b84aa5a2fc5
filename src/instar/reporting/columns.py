"""The columns of the tables: the cell of a run, the cell of a group of runs, and a sentence for the legend."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from instar.reporting.groups import COMPARED_SETTINGS, Group, find_teacher, settings, shared_name
from instar.reporting.teacher_names import name_teachers_elsewhere
from instar.runs.rows import RunRow
from instar.tasks.catalogue import known_metrics
from instar.tasks.metric import Metric, format_value

EN_DASH = "\u2013"
"""Stands for a missing number, and joins the ends of an interval."""
MAX_SHORTENED_NUMBER = 999.5
"""Numbers from here on are shown as whole numbers."""


@dataclass(frozen=True)
class Column:
    """One column.

    Args:
        heading: name of the column, with the unit.
        meaning: sentence for the legend.
        of_row: returns the cell of a run; None leaves the column out of the table of runs.
        of_group: returns the cell of a group; None leaves the column out of the table of groups.
        figures: whether cells are numbers, which are aligned to the right.
        quantity: name of the number in the column; empty for other columns.
    """

    heading: str
    meaning: str
    of_row: Callable[[RunRow], str] | None
    of_group: Callable[[Group], str] | None = None
    figures: bool = True
    quantity: str = ""


def choose_columns(rows: Sequence[RunRow]) -> list[Column]:
    """Return the columns for some runs, without those that would be empty for every complete run."""
    differing, elsewhere = _differing(rows), name_teachers_elsewhere(rows)

    def other_settings(row: RunRow) -> str:
        flat = settings(row)
        return ", ".join(f"{key.removeprefix('training.')}={flat[key]}" for key in differing if key in flat) or EN_DASH

    found = [
        _words("Run", "Folder of the run, relative to the folder that this report is about.", lambda row: row.name),
        Column("Seed", "Seed of initial weights, data order, dropout and views.", lambda row: str(row.seed)),
        Column("Seeds", "Number of seeds in the group.", None, _seeds),
        _words("Model", "Network and its arguments, without those that are zero or none.", lambda row: row.model),
        Column("Parameters", "Trained weights of the model.", lambda row: figure(row.numbers.get("parameters"), 0)),
        _words("Objective", "What training minimised: a weighted sum of terms.", lambda row: row.objective),
        _words(
            "Teacher",
            "Run that the student learned from, or the class of another teacher, with a number where two of one class "
            "differ; for an ensemble, the number of members and how they are averaged.",
            lambda row: describe_teachers(row, rows, elsewhere),
        ),
        _words(
            "Other settings",
            "Settings that differ between runs; each run's config.json has the full configuration.",
            other_settings,
        ),
        # of all tasks: a metric that no run has gives an empty column
        *(column for metric in known_metrics().values() for column in _of_metric(metric)),
        _number("Seconds", "Wall-clock time of training.", "seconds", 1),
    ]
    complete = [row for row in rows if row.state == "complete"]
    return [
        column
        for column in found
        if column.of_row is None or not complete or any(column.of_row(row) != EN_DASH for row in complete)
    ]


def figure(value: float | None, places: int) -> str:
    """Return a number with `places` decimals, or an en dash if it is missing or infinite.

    >>> figure(12345.678, 1), figure(None, 1) == EN_DASH
    ('12,345.7', True)
    """
    return EN_DASH if value is None or not math.isfinite(value) else f"{value:,.{places}f}"


def few_digits(value: float) -> str:
    """Return a number of any size with three digits, or as a whole number from 1,000 on.

    >>> few_digits(0.012345), few_digits(18823.4), few_digits(-1234.5)
    ('0.0123', '18,823', '-1,234')
    """
    return f"{value:.3g}" if abs(value) < MAX_SHORTENED_NUMBER else f"{value:,.0f}"


def describe_teachers(row: RunRow, rows: Sequence[RunRow], elsewhere: Mapping[str, str]) -> str:
    """Return the teachers of a run in a few words; teachers among `rows` go by their names in the report.

    Args:
        row: the run.
        rows: all runs of the report.
        elsewhere: what `name_teachers_elsewhere` returns for them.
    """
    found = [(find_teacher(teacher, rows), teacher) for teacher in row.teachers]
    names = [teacher.name if teacher else elsewhere.get(row.name, given) for teacher, given in found]
    match names:
        case []:
            return EN_DASH
        case [single]:
            return single
        case several:
            return f"{shared_name(several)} ({len(several)}, {row.config['combine']})"


def _words(heading: str, meaning: str, of_row: Callable[[RunRow], str]) -> Column:
    def of_group(group: Group) -> str:
        # the name of a group already is what the names of its runs share
        return group.name if heading == "Run" else shared_name([of_row(row) for row in group.rows])

    return Column(heading, meaning, of_row, of_group, figures=False)


def _of_metric(metric: Metric) -> Iterator[Column]:
    """Yield the column of a metric, and that of its 95% interval, which is empty for runs that do not store it."""
    if not metric.title:
        return
    places, scale = {"share": (2, 100), "nats": (3, 1), "count": (0, 1), "coefficient": (4, 1)}.get(metric.unit, (2, 1))
    shown = _show_number if metric.unit == "number" else figure
    yield _number(
        metric.heading,
        metric.meaning,
        metric.name,
        places,
        scale,
        has_spread=metric.has_spread,
        # a mean of counts is no whole number
        places_of_mean=1 if metric.unit == "count" else places,
        shown=shown,
    )
    if metric.interval is None:
        return

    def interval(row: RunRow) -> str:
        ends = [row.numbers.get(f"{metric.name}_{end}") for end in ("low", "high")]
        return EN_DASH.join(shown(scale * end, places) for end in ends if end is not None) or EN_DASH

    title = metric.title if metric.title.isupper() else metric.title.lower()  # RMSE stays as it is
    meaning = f"95% interval of the {title} ({metric.interval.name}), from the size of the test set."
    yield Column(f"95% interval{metric.unit_suffix}", meaning, interval)


def _number(
    heading: str,
    meaning: str,
    quantity: str,
    places: int,
    scale: float = 1,
    *,
    has_spread: bool = True,
    places_of_mean: int | None = None,
    shown: Callable[[float | None, int], str] = figure,
) -> Column:
    def of_row(row: RunRow) -> str:
        value = row.numbers.get(quantity)
        return shown(None if value is None else value * scale, places)

    def of_group(group: Group) -> str:
        values = [value * scale for value in group.by_seed(quantity).values()]
        if not values:
            return EN_DASH
        decimals = places if places_of_mean is None else places_of_mean
        mean = shown(statistics.fmean(values), decimals)
        return f"{mean} ± {shown(statistics.stdev(values), decimals)}" if has_spread and len(values) > 1 else mean

    return Column(heading, meaning, of_row, of_group, quantity=quantity)


def _show_number(value: float | None, places: int) -> str:
    # of any unit, so that the number of decimals depends on the size
    return EN_DASH if value is None or not math.isfinite(value) else format_value(value, "number")


def _seeds(group: Group) -> str:
    return str(len({row.seed for row in group.rows}))


def _differing(rows: Sequence[RunRow]) -> list[str]:
    """Return the settings that differ between complete runs and have no column of their own."""
    flat = [settings(row) for row in rows if row.state == "complete"]
    keys = sorted({key for values in flat for key in values})
    own = (*COMPARED_SETTINGS, "model.", "correct")  # the objective says whether a run was corrected
    return [
        key
        for key in keys
        # by their text, because lists cannot be in a set; a setting that an older run lacks does not differ
        if not key.startswith(own) and len({repr(values[key]) for values in flat if key in values}) > 1
    ]
