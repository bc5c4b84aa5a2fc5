"""Lineages and families: who taught whom, as a graph of groups of runs that differ only in their seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from instar.reporting.columns import MISSING, Column, columns, figure
from instar.reporting.groups import Group, find_teacher
from instar.reporting.runs import Runs
from instar.reporting.section import Section
from instar.runs.rows import RunRow

WIDTH, HEIGHT, ACROSS, DOWN = 210, 58, 280, 76
LONGEST_NAME = 27
RELATIONS = {"teachers": "teaches", "start": "starts", "corrected": "is corrected to"}


@dataclass
class Node:
    """A group of runs, or a teacher from elsewhere.

    Args:
        name: of the group.
        rows: its runs; none of a teacher from elsewhere.
        parents: numbers of the nodes that it was made from, with how.
        children: numbers of the nodes that were made from it, with how.
        depth: the longest way to it from one that was made from none.
        place: in its column, from above.
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
        return 2 + self.depth * ACROSS

    @property
    def y(self) -> int:
        """Upper edge, in pixels."""
        return 2 + self.place * DOWN


def find(runs: Runs) -> Mapping[str, Any] | None:
    """Return the nodes, their edges and the size of the drawing; none where no run was made from another."""
    nodes = graph(runs)
    edges = [(nodes[parent], node, how) for node in nodes for parent, how in node.parents.items()]
    if not edges:
        return None
    shown = {column.heading: column for column in columns(runs.rows)}
    facts = [_facts(node, shown) for node in nodes]
    size = (max(node.x for node in nodes) + WIDTH + 2, max(node.y for node in nodes) + HEIGHT + 2)
    names = [shorten(node.name, LONGEST_NAME) for node in nodes]
    numbered = list(zip(nodes, names, facts, strict=True))
    return {"nodes": numbered, "edges": edges, "size": size, "width": WIDTH, "height": HEIGHT}


def graph(runs: Runs) -> list[Node]:
    """Return the groups of runs and the teachers from elsewhere, linked, and placed in columns by depth."""
    others = [row for row in runs.rows if row.state == "incomplete"]
    nodes = [Node(group.name, group.rows) for group in runs.groups] + [Node(row.name, (row,)) for row in others]
    number_of = {row.name: number for number, node in enumerate(nodes) for row in node.rows}
    elsewhere: dict[str, int] = {}
    for number, node in enumerate(list(nodes)):
        for row in node.rows:
            for given, how in _made_from(row):
                parent = find_teacher(given, runs.rows)
                at = number_of.get(parent.name) if parent else elsewhere.get(given)
                if at is None:
                    at = elsewhere[given] = len(nodes)
                    nodes.append(Node(parent.name if parent else given, ()))
                if at != number:
                    node.parents[at] = nodes[at].children[number] = how
    _place(nodes)
    return nodes


def shorten(name: str, longest: int) -> str:
    """Return a name of at most `longest` characters, whose end is kept because it tells runs apart.

    >>> shorten("paper/table/student", 10)
    '…e/student'
    """
    return name if len(name) <= longest else "…" + name[-longest + 1 :]


def _made_from(row: RunRow) -> list[tuple[str, str]]:
    found = [(str(given), RELATIONS["teachers"]) for given in row.teachers]
    return found + [
        (str(row.config[key]), how) for key, how in RELATIONS.items() if key != "teachers" and row.config.get(key)
    ]


def _place(nodes: Sequence[Node]) -> None:
    """Put each node behind all that it was made from, and beside them."""
    for _ in nodes:  # a circle, which only damaged folders can make, ends here too
        for node in nodes:
            node.depth = min(len(nodes), max((nodes[parent].depth + 1 for parent in node.parents), default=0))
    for depth in range(max((node.depth for node in nodes), default=0) + 1):
        column = [node for node in nodes if node.depth == depth]
        column.sort(key=lambda node: sum(nodes[p].place for p in node.parents) / max(1, len(node.parents)))
        for place, node in enumerate(column):
            node.place = place


def _facts(node: Node, shown: Mapping[str, Column]) -> dict[str, str]:
    """Return what is told of a node, by its name."""
    if not node.rows:
        return {"state": "not among these runs"}
    if node.rows[0].state != "complete":
        return {"state": "incomplete"}
    group = Group(node.name, tuple(node.rows))
    asked = ("Model", "Objective", "Test error (%)", "Test errors", "Agreement (%)")
    found = {"Parameters": figure(group.rows[0].numbers.get("parameters"), 0)}
    for name in asked:
        if (column := shown.get(name)) and column.of_group:
            found[name] = column.of_group(group)
    return {name: value for name, value in found.items() if value != MISSING}


SECTION = Section("lineage", "Lineages", find)
