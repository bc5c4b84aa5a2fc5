"""The published claims in docs/results.md and README.md, made of results/claims.yaml and the tables beside it.

The interval of a claim is compared with what the claim allows. It held if the whole interval is allowed, did not hold
if nothing of it is, and is not settled otherwise, or without two seeds.
"""

import json
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import yaml
from tests.docs.pages import ROOT

from instar.analysis.significance import mean_interval, paired_interval, ratio_interval
from instar.reporting.columns import EN_DASH

VERDICTS = ("held", "not held", "not settled")
SUMMARY_END = "\n## Published claims\n"
CLAIMS_END = "\n## "
"""The README quotes the page up to the first mark; the table of claims ends before the second."""
QUOTE_START = "\n## Results\n\n"
QUOTE_END = "\n[docs/results.md]"
"""What stands before and after the quotation in the README."""


@dataclass(frozen=True)
class Claim:
    """A published claim, and where its numbers are.

    Args:
        title: paper.
        claim: what it says.
        because: what separates the published number from ours, if ours was measured.
        table: folder of the table in results/, which may not exist yet; several have different seeds of the same rows;
            None: there is none.
        quantity: quantity of the rows.
        better: which values of the quantity are better.
        unit: unit of the numbers of the claim.
        prefix: what the titles of all rows begin with.
        ours: rows that the claim is about, whose mean is taken seed by seed; empty: no table has them.
        than: rows that they are better than; empty: the claim is about their own number.
        keeps: two rows, or lists of them, whose difference is a gain that ours keep a share of.
        reach: the claim is about the size of the difference and not its sign alone.
        within: the claim is that the difference is between this and its opposite.
        published: the paper's number; None takes it from the rows.
    """

    title: str
    claim: str
    because: str = ""
    table: str | Sequence[str] | None = None
    quantity: str = ""
    better: Literal["lower", "higher"] = "higher"
    unit: str = ""
    prefix: str = ""
    ours: str | Sequence[str] = ()
    than: str | Sequence[str] = ()
    keeps: Sequence[str | Sequence[str]] = ()
    reach: bool = False
    within: float | None = None
    published: float | None = None

    def __post_init__(self) -> None:
        if self.ours and not self.table:
            raise ValueError(f"'{self.claim}' has rows and no table.")

    @property
    def is_measured(self) -> bool:
        """Whether there is a table with its rows."""
        return bool(self.ours) and all(find_table(table).exists() for table in self.tables)

    @property
    def tables(self) -> tuple[str, ...]:
        """Folders of its tables."""
        return (self.table,) if isinstance(self.table, str) else tuple(self.table or ())

    def seeds(self, names: str | Sequence[str]) -> list[float]:
        """Return the mean of rows, seed by seed."""
        return [float(value) for value in np.mean([row["seeds"] for row in self._rows(names)], axis=0)]

    def _rows(self, names: str | Sequence[str]) -> list[dict[str, Any]]:
        titles = [self.prefix + name for name in ([names] if isinstance(names, str) else names)]
        found = [[read_rows(table)[title, self.quantity] for table in self.tables] for title in titles]
        # seeds of several tables stand side by side, and all have the published number of the first
        return [same[0] | {"seeds": [seed for row in same for seed in row["seeds"]]} for same in found]

    def theirs(self) -> float | None:
        """Return the paper's number, with the sign of `effect`."""
        if self.published is not None or not self.is_measured:
            return self.published
        ours, than = ([row["published"] for row in self._rows(names)] for names in (self.ours, self.than))
        if None in ours or None in than:
            return None
        if not than:
            return float(np.mean(ours))
        sign = 1 if self.better == "higher" else -1
        return round(sign * float(np.mean(ours) - np.mean(than)), 6)  # 6: no digits of binary fractions

    def effect(self) -> tuple[float, float | None, float | None]:
        """Return our number with its interval; a difference is positive where ours is better."""
        ours = self.seeds(self.ours)
        if len(ours) < 2:
            return ours[0], None, None
        if self.keeps:
            one, all_of_it = (np.array(self.seeds(name)) for name in self.keeps)
            found = ratio_interval((np.array(ours) - one).tolist(), (all_of_it - one).tolist())
            share, low, high = (100 * value for value in found)
            return share, low, high
        if not self.than:
            return mean_interval(ours)
        than = self.seeds(self.than)
        return paired_interval(ours, than) if self.better == "lower" else paired_interval(than, ours)

    def allowed(self) -> tuple[float, float]:
        """Return the ends of what the claim allows our number to be."""
        if self.within is not None:
            return -self.within, self.within
        theirs = self.theirs()
        if self.than and not self.reach:
            return 0.0, math.inf
        assert theirs is not None, f"'{self.claim}' needs a published number"
        # differences and shares are better when they are larger
        is_most = self.better == "lower" and not (self.than or self.keeps)
        return (-math.inf, theirs) if is_most else (theirs, math.inf)

    def verdict(self) -> str:
        """Return one of `VERDICTS`."""
        if not self.is_measured:
            return "not settled"
        _, low, high = self.effect()
        least, most = self.allowed()
        if low is None or high is None:
            return "not settled"
        return "held" if least < low and high < most else "not held" if high < least or low > most else "not settled"

    def row(self) -> str:
        """Return the claim as a row of the page."""
        theirs, found = self.theirs(), self.effect() if self.is_measured else None
        links = [f"[{one}](../results/{one}/table.md)" if find_table(one).exists() else one for one in self.tables]
        table = ", ".join(links) or EN_DASH
        published = EN_DASH if theirs is None else f"{theirs:.4g}{self._unit()}"
        if self.within is not None:
            published = f"within ±{self.within:g}{self._unit()}" + ("" if theirs is None else f" ({theirs:.4g})")
        ours = EN_DASH if found is None else write_interval(*found, self._unit())
        because = self.because if self.is_measured else "not run"
        return f"| {self.claim} | {published} | {ours} | {self.verdict()} | {because} | {table} |"

    def _unit(self) -> str:
        return self.unit if self.unit == "%" else f" {self.unit}"


def find_table(table: str) -> Path:
    """Return the path of a table, which may not exist yet."""
    return ROOT / "results" / table / "table.json"


@cache
def read_rows(table: str) -> dict[tuple[str, str], dict[str, Any]]:
    """Return the rows of a table by title and quantity."""
    rows = json.loads(find_table(table).read_text())
    return {(row["row"], row["quantity"]): row for row in rows}


def read_claims() -> list[Claim]:
    """Return all claims in their order."""
    tables = yaml.safe_load((ROOT / "results/claims.yaml").read_text())
    return [Claim(**{**table, **claim}) for table in tables for claim in table.pop("claims")]


def write_interval(mean: float, low: float | None, high: float | None, unit: str) -> str:
    """Return a number with its interval, to two digits of the interval's half width.

    >>> write_interval(1.9033, 0.8187, 2.988, " points")
    '1.9 points (0.8 to 3.0)'
    >>> write_interval(96.33, 80.1, 112.6, " errors"), write_interval(57, None, None, " errors")
    ('96 errors (80 to 113)', '57 errors, one seed')
    """
    if low is None or high is None:
        return f"{mean:g}{unit}, one seed"
    width = (high - low) / 2
    digits = max(0, 1 - math.floor(math.log10(width))) if 0 < width < math.inf else 2
    middle, start, end = (f"{round(value, digits) + 0:.{digits}f}" for value in (mean, low, high))  # + 0: no -0.0
    return f"{middle}{unit} ({start} to {end})"


def write_summary(claims: Sequence[Claim]) -> str:
    """Return the first lines of the page, which the README quotes."""
    counts = Counter(claim.verdict() for claim in claims)
    held, missed, unsettled = (counts[verdict] for verdict in VERDICTS)
    skipped = sum(not claim.is_measured for claim in claims)
    titles = list(dict.fromkeys(claim.title for claim in claims))
    lines = [
        f"Of {len(claims)} published claims, {held} held, {missed} did not hold, and {unsettled} are not settled, "
        f"{skipped} of them because",
        "they were not run. At the scale `small`, networks and data sets are far smaller than the published ones.",
        "",
        "| paper | scale | held | not held | not settled |",
        "|---|---|---|---|---|",
    ]
    for title in titles:
        same = [claim for claim in claims if claim.title == title]
        found = Counter(claim.verdict() for claim in same)
        scale = next((claim.tables[0].rpartition("/")[2] for claim in same if claim.is_measured), EN_DASH)
        lines.append(f"| {title} | {scale} | " + " | ".join(str(found[verdict]) for verdict in VERDICTS) + " |")
    return "\n".join(lines) + "\n"


def write_claims(claims: Sequence[Claim]) -> str:
    """Return the table of all claims."""
    head = ["| claim | published | ours (95%) | verdict | what separates them | table |", "|---|---|---|---|---|---|"]
    return "\n".join([*head, *(claim.row() for claim in claims)]) + "\n"


def replace_claims(page: str, claims: Sequence[Claim]) -> str:
    """Return docs/results.md with its first lines and its table of claims made anew."""
    heading, rest = page.split("\n\n", 1)
    _, rest = rest.split(SUMMARY_END, 1)
    introduction, rest = rest.split("\n| claim |", 1)
    _, sections = rest.split(CLAIMS_END, 1)
    parts = [heading, "\n\n", write_summary(claims), SUMMARY_END, introduction, "\n", write_claims(claims), CLAIMS_END]
    return "".join([*parts, sections])


def replace_quote(readme: str, claims: Sequence[Claim]) -> str:
    """Return README.md with the first lines of the page quoted anew."""
    before, rest = readme.split(QUOTE_START, 1)
    _, after = rest.split(QUOTE_END, 1)
    return "".join([before, QUOTE_START, write_summary(claims), QUOTE_END, after])
