"""Hidden layers: how alike those of teacher and student are, and where both are active in a few pictures."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from instar.reporting.columns import figure
from instar.reporting.explorer import Pictures
from instar.reporting.runs import Array, Runs
from instar.reporting.section import Section
from instar.runs.rows import RunRow

MAX_LAYER_RUNS = 8


def compare_layers(runs: Runs) -> Mapping[str, Any] | None:
    """Return the matrices and maps of the first run of each group that compared hidden layers, or None."""
    pictures, found = Pictures(), list[dict[str, Any]]()
    for group in runs.groups:  # seeds of a group have nearly the same matrix
        row = group.rows[0]
        tensors, header = runs.layers(row)
        if "cka" in tensors and len(found) < MAX_LAYER_RUNS:
            found.append(_read(row, tensors, header, pictures))
    return {"runs": found} if found else None


def _read(row: RunRow, tensors: Mapping[str, Array], header: Mapping[str, Any], pictures: Pictures) -> dict[str, Any]:
    pairs = [tuple(pair) for pair in header["pairs"]]
    cells = [
        [_cell(value, (own, theirs) in pairs) for theirs, value in zip(header["teacher"], values, strict=True)]
        for own, values in zip(header["student"], tensors["cka"].tolist(), strict=True)
    ]
    return {
        "name": row.name,
        "owned": header.get("owned", 0),
        "teacher": header["teacher"],
        "rows": list(zip(header["student"], cells, strict=True)),
        "maps": _read_maps(row, tensors, pairs, pictures),
    }


def _cell(value: float, is_compared: bool) -> dict[str, Any]:
    return {"value": figure(value, 2), "share": 0 if math.isnan(value) else round(100 * value), "compared": is_compared}


def _read_maps(
    row: RunRow, tensors: Mapping[str, Array], pairs: list[tuple[str, ...]], pictures: Pictures
) -> list[tuple[str, list[str]]]:
    """Return lines of images: a title, and the address of each."""
    if "pictures" not in tensors:
        return []

    def addresses(name: str) -> list[str]:
        images = tensors[name]
        # a map has one channel, a picture may have three
        every = images[:, None] if images.ndim == 3 else images
        keys = [pictures.add(f"{row.name}/{name}/{place}", image) for place, image in enumerate(every)]
        return [pictures.images[key] for key in keys if key is not None]

    lines = [("pictures", addresses("pictures"))]
    for number, (own, theirs) in enumerate(pairs):
        for who, layer in (("student", own), ("teacher", theirs)):
            if f"{who}.{number}" in tensors:
                lines.append((f"{who}: {layer}", addresses(f"{who}.{number}")))
    return lines


SECTION = Section("layers", "Hidden layers", compare_layers)
