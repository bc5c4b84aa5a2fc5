"""A section of the report: a function that reads the runs, and the template and scripts that show its result."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from instar.reporting.runs import Runs


@dataclass(frozen=True)
class Section:
    """One section; its template is `templates/<name>.html.jinja`, its data are the JSON element `<name>-data`.

    Args:
        name: name of its element and files.
        title: heading.
        read: returns the values for the template, of which `data` goes to the script; None leaves the section out.
        scripts: files in `templates/`, in order; the page includes each once.
    """

    name: str
    title: str
    read: Callable[[Runs], Mapping[str, Any] | None]
    scripts: tuple[str, ...] = ()
