"""Trees: each tree student as a picture that opens node by node, with the rule of each node in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from instar.reporting.runs import Array, Runs
from instar.reporting.section import Section
from instar.runs.rows import RunRow

MAX_SHOWN_TREES = 8
MAX_LISTED_OUTPUTS = 6
"""Classes of a node with the most probability, which the page lists; the others are one sum."""


def show_trees(runs: Runs) -> Mapping[str, Any] | None:
    """Return the tree of the first run of each group, or None if no run is a tree."""
    found = list[dict[str, Any]]()
    for group in runs.groups:  # seeds of a group have trees of their own, and one of them stands for all
        if len(found) < MAX_SHOWN_TREES and (tree := _read(group.rows[0], runs)):
            found.append(tree)
    return {"data": {"runs": found}} if found else None


def _read(row: RunRow, runs: Runs) -> dict[str, Any] | None:
    tensors, header = runs.tree(row)
    if not tensors:
        return None
    labels = tensors.get("labels")
    nodes = []
    for node, told in enumerate(header["questions"]):
        one: dict[str, Any] = {"n": int(tensors["samples"][node])}
        if told is not None:
            one |= {"short": told[0], "told": told[1], "next": [int(tensors[way][node]) for way in ("yes", "no")]}
        one["p"] = _list_outputs(tensors["outputs"][node], are_classes=labels is not None)
        if labels is not None:
            one["l"] = [int(labels[node][place]) for place, _ in one["p"]]
        nodes.append(one)
    return {
        "name": row.name,
        "classes": header["classes"],
        "leaves": header["leaves"],
        "isNumber": labels is None,
        "nodes": nodes,
    }


def _list_outputs(outputs: Array, *, are_classes: bool) -> list[tuple[int, float]]:
    """Return pairs of a class and its probability, the largest first; or all numbers in order."""
    order = (-outputs).argsort(kind="stable")[:MAX_LISTED_OUTPUTS] if are_classes else range(len(outputs))
    return [(int(place), float(f"{outputs[place]:.4g}")) for place in order]


SECTION = Section("trees", "Trees", show_trees, ("chart.js", "trees.js"))
