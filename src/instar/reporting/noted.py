"""Runs that are incomplete, damaged or from another program, and files that could not be read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from instar.reporting.runs import Runs
from instar.reporting.section import Section


def list_problems(runs: Runs) -> Mapping[str, Any] | None:
    """Return runs with their state and the reason, or None; must be called after all other sections."""
    noted = [
        (row.name, row.state, " ".join((*row.notes, *filter(None, [runs.problems.get(row.name)]))))
        for row in runs.rows
        if row.notes or row.name in runs.problems
    ]
    return {"rows": noted} if noted else None


SECTION = Section("noted", "Incomplete or damaged", list_problems)
