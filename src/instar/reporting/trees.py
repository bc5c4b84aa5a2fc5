"""Trees: students that are trees, forests or boosters, and their first trees as a picture that opens node by node."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from statistics import median
from typing import Any

from instar.reporting.runs import Array, Runs
from instar.reporting.section import Section
from instar.runs.rows import RunRow

MAX_SHOWN_RUNS = 8
MAX_LISTED_OUTPUTS = 6
"""Classes of a node with the most probability, which the page lists; the others are one sum."""
MAX_LISTED_COLUMNS = 20


def show_trees(runs: Runs) -> Mapping[str, Any] | None:
    """Return the trees of the first run of each group, or None if no run has some."""
    found = list[dict[str, Any]]()
    for group in runs.groups:  # seeds of a group have trees of their own, and one of them stands for all
        if len(found) < MAX_SHOWN_RUNS and (trees := _read(group.rows[0], runs)):
            found.append(trees)
    return {"data": {"runs": found}, "legend": _explain_nodes(found)} if found else None


def _read(row: RunRow, runs: Runs) -> dict[str, Any] | None:
    tensors, header = runs.tree(row)
    if "depths" not in tensors:  # none, or a file of an older format
        return None
    starts = [*header["roots"], len(tensors["samples"])]
    columns = header["columns"]
    return {
        "name": row.name,
        "classes": header["classes"],
        "kind": header["outputs"],
        "isNumber": "labels" not in tensors,
        "told": _describe(tensors, header),
        "columns": columns[:MAX_LISTED_COLUMNS],
        "left": max(0, len(columns) - MAX_LISTED_COLUMNS),
        "trees": [
            [_read_node(tensors, header, node, start) for node in range(start, end)] for start, end in pairwise(starts)
        ],
    }


def _explain_nodes(runs: Sequence[Mapping[str, Any]]) -> str:
    """Return what the lines of a node are, in the words of classes, of numbers or of both, as the runs have them."""
    classes, numbers = (any(run["isNumber"] is is_number for run in runs) for is_number in (False, True))
    target = {
        "its likeliest class with its soft target, the probability that the node would predict as a leaf": classes,
        "the number that the node would predict as a leaf": numbers,
    }
    told = (
        f"Its first line is the question, or the predicted {_join({'class': classes, 'number': numbers})} of a leaf; "
        f"the second line has the number of training samples that reach it and {_join(target)}."
    )
    if classes:
        told += " The bar shows the soft targets of all classes."
    if any(run["kind"] == "steps" for run in runs):
        to, raised = _join({"logits": classes, "number": numbers}), ", with the class that it raises most"
        told += f" A node of a booster has the mean that its tree adds to the {to} of its samples{raised * classes}."
    return told


def _join(words: Mapping[str, bool]) -> str:
    return " or ".join(word for word, is_there in words.items() if is_there)


def _read_node(tensors: Mapping[str, Array], header: Mapping[str, Any], node: int, start: int) -> dict[str, Any]:
    """Return what the page shows of a node; the nodes that follow it are numbered from the start of its tree."""
    found: dict[str, Any] = {"n": int(tensors["samples"][node])}
    if (told := header["questions"][node]) is not None:
        found |= {"short": told[0], "told": told[1], "next": [int(tensors[way][node]) - start for way in ("yes", "no")]}
    labels = tensors.get("labels")
    found["p"] = _list_outputs(tensors["outputs"][node], are_classes=labels is not None)
    if labels is not None:
        found["l"] = [int(labels[node][place]) for place, _ in found["p"]]
    return found


def _list_outputs(outputs: Array, *, are_classes: bool) -> list[tuple[int, float]]:
    """Return pairs of a class and its probability or step, the largest first; or all numbers in order."""
    order = (-outputs).argsort(kind="stable")[:MAX_LISTED_OUTPUTS] if are_classes else range(len(outputs))
    return [(int(place), float(f"{outputs[place]:.4g}")) for place in order]


def _describe(tensors: Mapping[str, Array], header: Mapping[str, Any]) -> str:
    """Return how many trees there are, how large they are, and which of them the picture has."""
    leaves, depths, shown = tensors["leaves"].tolist(), tensors["depths"].tolist(), len(header["roots"])
    if len(leaves) == 1:
        size = f"One tree with {leaves[0]:,} leaves, at most {depths[0]} questions deep."
        why = "It has no picture, because pictures have at most {:,} nodes."
        return size if shown else f"{size} {why.format(header['most_nodes'])}"
    told = (
        f"{len(leaves):,} trees with {sum(leaves):,} leaves in all: {_span(leaves)} in each, and {_span(depths)} "
        "questions deep. "
    )
    limits = f"at most {header['most_trees']} trees, and at most {header['most_nodes']:,} nodes together"
    if not shown:
        return f"{told}There is no picture, because the first tree alone is larger than it may be ({limits})."
    if shown == len(leaves):
        return f"{told}The picture has all of them."
    first = "the first tree" if shown == 1 else f"the first {shown} trees"
    return f"{told}The picture has {first} ({limits}); the others are not shown."


def _span(values: list[int]) -> str:
    least, most = min(values), max(values)
    return f"{least:,}" if least == most else f"{least:,} to {most:,} (median {median(values):,.0f})"


SECTION = Section("trees", "Trees", show_trees, ("chart.js", "trees.js"))
