"""The page: a list of sections in one HTML file that opens offline."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from instar.errors import RunError
from instar.reporting import (
    costs,
    curves,
    effects,
    explorer,
    layers,
    lineage,
    noted,
    numbers,
    similarity,
    summary,
    tradeoff,
    trees,
    trust,
)
from instar.reporting.runs import Runs
from instar.runs.files import explain_disk, write_whole
from instar.runs.rows import RunRow, collect, natural

SECTIONS = (
    summary.SECTION,
    explorer.SECTION,
    lineage.SECTION,
    similarity.SECTION,
    layers.SECTION,
    trees.SECTION,
    effects.SECTION,
    numbers.SECTION,
    trust.SECTION,
    curves.SECTION,
    tradeoff.SECTION,
    costs.SECTION,
    noted.SECTION,  # last, because it lists what the others could not read
)
STYLES = (
    "explorer.css",
    "lineage.css",
    "similarity.css",
    "layers.css",
    "trees.css",
    "effects.css",
    "tradeoff.css",
    "trust.css",
    "curves.css",
)


def write_report(folders: Sequence[Path], out: Path, title: str = "Instar report") -> Path:
    """Write one self-contained HTML file about every run folder at or under `folders`, and return its path.

    Args:
        folders: run folders, or folders that hold some at any depth.
        out: HTML file; an existing report is replaced.
        title: heading of the page.

    Raises:
        RunError: if a folder is missing, none holds a run, or the file cannot be written.
    """
    rows = _rows(folders)
    # a folder of another program is listed beside runs, but a report about nothing else is a mistyped path
    if all(row.state == "foreign" for row in rows):
        named = ", ".join(f"'{folder}'" for folder in folders)
        raise RunError(f"{named} holds no run folders; give the folder that you passed to --out (in Python, out=...).")
    _refuse_to_replace(out)  # before predictions are read, which takes longest
    page = render(rows, title)
    with explain_disk(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        # names of files need not be valid text, and a report must not fail for one of them
        write_whole(out, lambda temporary: temporary.write_text(page, encoding="utf-8", errors="replace"))
    return out


def _refuse_to_replace(out: Path) -> None:
    if not os.path.lexists(out) or out.is_dir():  # writing refuses a folder with a sentence of its own
        return
    if not out.is_file():  # a device or a pipe, whose reading could wait for ever
        raise RunError(f"'{out}' is not a regular file; choose another with --out.")
    with out.open("rb") as file:
        begin = file.read(64).lstrip().lower()
    # an empty file holds nothing to lose, such as one from mktemp
    if begin and not begin.startswith((b"<!doctype html", b"<html")):
        raise RunError(f"'{out}' exists and is not a report, so it is not replaced; choose another file with --out.")


def render(rows: Sequence[RunRow], title: str) -> str:
    """Return the page about some runs as HTML."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("instar.reporting", "templates"),
        autoescape=True,  # names of runs and classes may hold markup
        undefined=StrictUndefined,  # a misspelt value would otherwise be an empty cell
        trim_blocks=True,
        lstrip_blocks=True,
    )
    runs = Runs(rows)
    # all sections are read before any is written, because the last one lists what the others could not read
    found = [(section, values) for section in SECTIONS if (values := section.read(runs)) is not None]
    return environment.get_template("page.html.jinja").render(
        title=title,
        written=time.strftime("%Y-%m-%d %H:%M"),
        facts=_facts(rows),
        counts=_counts(rows),
        sections=found,
        # several sections share a script, and later ones use functions of earlier ones
        scripts=list(dict.fromkeys(script for section, _ in found for script in section.scripts)),
        styles=STYLES,
    )


def _rows(folders: Sequence[Path]) -> list[RunRow]:
    """Return every run once, named relative to the common parent folder."""
    missing = next((folder for folder in folders if not folder.is_dir()), None)
    if missing is not None:
        raise RunError(f"'{missing}' is not a folder; give a folder that contains runs.")
    if not folders:
        return []
    # by folder, so that a run below two of the given folders is there once
    base = Path(os.path.commonpath([folder.resolve() for folder in folders]))
    found = {row.folder: row for folder in folders for row in collect(folder, base)}
    return sorted(found.values(), key=lambda row: natural(row.name))


def _counts(rows: Sequence[RunRow]) -> str:
    """Return the number of runs of each state.

    >>> _counts([RunRow("a", Path("a"), "complete"), RunRow("b", Path("b"), "damaged")])
    '1 complete run, 1 damaged'
    """
    found = Counter(row.state for row in rows)
    number = found["complete"]
    others = "".join(f", {found[state]} {state}" for state in ("incomplete", "damaged", "foreign") if found[state])
    return f"{number or 'no'} complete run{'' if number == 1 else 's'}{others}"


def _facts(rows: Sequence[RunRow]) -> list[tuple[str, list[str]]]:
    # incomplete runs too, because their curves are in the report
    environments = [row.environment for row in rows if row.environment]
    readers = {"Trained on": _date, "Versions": _versions, "Machine": _machine, "Commit": _commit}
    facts = []
    for name, reader in readers.items():
        values = Counter(value for value in map(reader, environments) if value)
        counted = [f"{value} ({count} run{'s' * (count > 1)})" for value, count in values.items()]
        facts.append((name, counted if len(values) > 1 else list(values)))
    return facts


def _date(environment: Mapping[str, Any]) -> str:
    return str(environment.get("date") or "")


def _versions(environment: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {version}" for name, version in (environment.get("versions") or {}).items())


def _machine(environment: Mapping[str, Any]) -> str:
    machine = environment.get("machine")
    if not machine:
        return ""
    threads = f"{machine.get('cores')} cores (threads: {machine.get('threads')})"
    parts = [machine.get("accelerator"), machine.get("cpu"), threads, machine.get("system")]
    return ", ".join(str(part) for part in parts if part)


def _commit(environment: Mapping[str, Any]) -> str:
    # "+changes" marks a working tree that differs from the commit
    head, _, changes = str(environment.get("commit") or "").partition("+")
    return f"{head[:12]}{' with changes' if changes else ''}"
