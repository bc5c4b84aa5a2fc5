"""A part of the report: what it finds in the runs, and the template and scripts that show it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from instar.reporting.runs import Runs


@dataclass(frozen=True)
class Section:
    """One section; its template is `templates/<name>.html.jinja`, its data are the JSON element `<name>-data`.

    Args:
        name: of its element and files.
        title: its heading.
        find: returns the values of the template, of which `data` goes to the script; none leaves the section out.
        scripts: files in `templates/`, in order; one that two sections name is written once.
    """

    name: str
    title: str
    find: Callable[[Runs], Mapping[str, Any] | None]
    scripts: tuple[str, ...] = ()
