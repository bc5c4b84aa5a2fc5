"""Names of the teachers that are no runs of the report, such as a fitted estimator or a network."""

from __future__ import annotations

import re
from collections.abc import Sequence

from instar.reporting.groups import find_teacher
from instar.runs.rows import RunRow

_WRAPPED = re.compile(r"(?:Classifier|Regressor|Module)\((.+)\)")
"""How a run folder names a teacher that was given as an object: the kind of teacher, and the class of the object."""


def name_teachers_elsewhere(rows: Sequence[RunRow]) -> dict[str, str]:
    """Return, by the name of a run, the name of its only teacher, for runs whose teacher is no run of the report.

    A given object is called by its class. Teachers of one name and several fingerprints are numbered.

    Args:
        rows: the runs of the report.

    >>> from pathlib import Path
    >>> def taught(name: str, teacher: str, fingerprint: str) -> RunRow:
    ...     config, prints = {"teachers": [teacher]}, {"teacher": fingerprint}
    ...     return RunRow(name, Path(name), "complete", config=config, fingerprints=prints)
    >>> name_teachers_elsewhere([
    ...     taught("a", "Regressor(XGBRegressor)", "1"),
    ...     taught("b", "Regressor(XGBRegressor)", "2"),
    ...     taught("c", "Regressor(Ridge)", "3"),
    ... ])
    {'a': 'XGBRegressor 1', 'b': 'XGBRegressor 2', 'c': 'Ridge'}
    """
    called: dict[str, str] = {}
    prints: dict[str, list[str]] = {}
    for row in rows:
        # of several teachers there is one fingerprint, which says nothing about each
        if row.config and len(row.teachers) == 1 and find_teacher(row.teachers[0], rows) is None:
            found = _WRAPPED.fullmatch(row.teachers[0])
            called[row.name] = name = found[1] if found else row.teachers[0]
            if (own := _fingerprint(row)) not in prints.setdefault(name, []):
                prints[name].append(own)
    return {
        row.name: f"{name} {prints[name].index(_fingerprint(row)) + 1}" if len(prints[name]) > 1 else name
        for row in rows
        if (name := called.get(row.name))
    }


def _fingerprint(row: RunRow) -> str:
    return str(row.fingerprints.get("teacher"))
