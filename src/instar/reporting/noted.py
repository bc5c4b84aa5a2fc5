"""Runs that are incomplete, damaged or of another program, and what else could not be read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from instar.reporting.runs import Runs
from instar.reporting.section import Section


def find(runs: Runs) -> Mapping[str, Any] | None:
    """Return each with its state and what is known, or none; it must be asked last, after all have read."""
    noted = [
        (row.name, row.state, " ".join((*row.notes, *filter(None, [runs.problems.get(row.name)]))))
        for row in runs.rows
        if row.notes or row.name in runs.problems
    ]
    return {"rows": noted} if noted else None


SECTION = Section("noted", "Incomplete or damaged", find)
