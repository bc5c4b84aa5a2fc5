"""Lineages: which runs taught which, as a graph whose nodes are groups of runs that differ only in their seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from instar.reporting.columns import EN_DASH, Column, choose_columns, figure
from instar.reporting.groups import Group, find_teacher
from instar.reporting.runs import Runs
from instar.reporting.section import Section
from instar.reporting.teacher_names import name_teachers_elsewhere
from instar.runs.phases import start_folder
from instar.runs.rows import RunRow
from instar.tasks.metrics import AGREEMENT, ERROR, ERRORS
from instar.tasks.regression import R2, RMSE

BOX_WIDTH, BOX_HEIGHT, COLUMN_PIXELS, ROW_PIXELS = 210, 58, 280, 76
MAX_NAME_CHARACTERS = 27
BOX_ERRORS = {ERROR.heading: (ERROR.title.lower(), " %"), RMSE.heading: (RMSE.title, "")}
"""Columns of which a box shows the one that its runs have, with the words before and behind the value."""
RELATIONS = {"teachers": "teaches", "start": "starts", "corrected": "is corrected to"}


@dataclass
class Node:
    """A group of runs, or a teacher that is not among the runs of the report.

    Args:
        name: name of the group.
        rows: runs of the group; empty for a teacher from elsewhere.
        parents: relation to each node that it was made from, by the number of that node.
        children: relation to each node that was made from it, by the number of that node.
        depth: length of the longest path from a node without parents.
        place: position in its column, from the top.
    """

    name: str
    rows: Sequence[RunRow]
    parents: dict[int, str] = field(default_factory=dict)
    children: dict[int, str] = field(default_factory=dict)
    depth: int = 0
    place: int = 0

    @property
    def x(self) -> int:
        """Left edge, in pixels."""
        return 2 + self.depth * COLUMN_PIXELS

    @property
    def y(self) -> int:
        """Upper edge, in pixels."""
        return 2 + self.place * ROW_PIXELS


def draw_lineages(runs: Runs) -> Mapping[str, Any] | None:
    """Return nodes, edges and the size of the drawing; None if no run was made from another."""
    nodes = link_runs(runs)
    edges = [(nodes[parent], node, how) for node in nodes for parent, how in node.parents.items()]
    if not edges:
        return None
    shown = {column.heading: column for column in choose_columns(runs.rows)}
    facts = [_facts(node, shown) for node in nodes]
    size = (max(node.x for node in nodes) + BOX_WIDTH + 2, max(node.y for node in nodes) + BOX_HEIGHT + 2)
    names = [shorten_name(node.name, MAX_NAME_CHARACTERS) for node in nodes]
    numbered = list(zip(nodes, names, facts, strict=True))
    box = {"width": BOX_WIDTH, "height": BOX_HEIGHT}
    return {"nodes": numbered, "edges": edges, "size": size, **box, "errors": BOX_ERRORS}


def link_runs(runs: Runs) -> list[Node]:
    """Return a node for each group of runs and each teacher from elsewhere, linked and placed in columns by depth."""
    others = [row for row in runs.rows if row.state == "incomplete"]
    # an incomplete run is in no group, but may have a teacher
    nodes = [Node(group.name, group.rows) for group in runs.groups] + [Node(row.name, (row,)) for row in others]
    number_of = {row.name: number for number, node in enumerate(nodes) for row in node.rows}
    elsewhere, given_names = dict[str, int](), name_teachers_elsewhere(runs.rows)
    for number, node in enumerate(list(nodes)):  # a copy, because teachers from elsewhere are appended
        for row in node.rows:
            for given, how in _made_from(row):
                parent = find_teacher(given, runs.rows)
                # apart, because the path of a teacher from elsewhere may read like the name of a run
                known = given_names.get(row.name, given) if how == RELATIONS["teachers"] else given
                numbers, name = (number_of, parent.name) if parent else (elsewhere, known)
                if name not in numbers:  # damaged, or not among these runs
                    numbers[name] = len(nodes)
                    nodes.append(Node(name, ()))
                if (at := numbers[name]) != number:  # an edited folder may name itself
                    node.parents[at] = nodes[at].children[number] = how
    _place(nodes)
    return nodes


def shorten_name(name: str, longest: int) -> str:
    """Return the last `longest` characters of a name, because the end tells runs apart.

    >>> shorten_name("paper/table/student", 10)
    '…e/student'
    """
    return name if len(name) <= longest else "…" + name[-longest + 1 :]


def _made_from(row: RunRow) -> list[tuple[str, str]]:
    found = [(str(given), RELATIONS["teachers"]) for given in row.teachers]
    others = {"start": start_folder(row.config), "corrected": row.config.get("corrected")}
    return found + [(str(given), RELATIONS[name]) for name, given in others.items() if given]


def _place(nodes: Sequence[Node]) -> None:
    # as many rounds as nodes is enough for any path, and ends in a cycle, which only damaged folders have
    for _ in nodes:
        for node in nodes:
            node.depth = min(len(nodes), max((nodes[parent].depth + 1 for parent in node.parents), default=0))
    for depth in range(max((node.depth for node in nodes), default=0) + 1):
        column = [node for node in nodes if node.depth == depth]
        # by the mean place of their parents, so that few edges cross
        column.sort(key=lambda node: sum(nodes[p].place for p in node.parents) / max(1, len(node.parents)))
        for place, node in enumerate(column):
            node.place = place


def _facts(node: Node, shown: Mapping[str, Column]) -> dict[str, str]:
    if not node.rows:
        return {"state": "not among these runs"}
    if node.rows[0].state != "complete":
        return {"state": "incomplete"}
    group = Group(node.name, tuple(node.rows))
    headings = ("Model", "Objective", ERROR.heading, ERRORS.heading, AGREEMENT.heading, R2.heading, RMSE.heading)
    found = {"Parameters": figure(group.rows[0].numbers.get("parameters"), 0)}
    for name in headings:
        if (column := shown.get(name)) and column.of_group:
            found[name] = column.of_group(group)
    return {name: value for name, value in found.items() if value != EN_DASH}


SECTION = Section("lineage", "Lineages", draw_lineages)
