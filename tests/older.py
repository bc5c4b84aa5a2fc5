"""Run folders as versions before there were checksums wrote them."""

import json
from pathlib import Path


def as_older(folder: Path) -> None:
    """Make a run folder one of format 1: nothing in it says what its files must hold."""
    for path in folder.glob("*.json"):
        content = json.loads(path.read_text())
        content.pop("checksum", None)
        if path.name == "config.json":
            content["format"] = 1
        if path.name == "result.json":
            content.pop("files", None)
        path.write_text(json.dumps(content))
    lines = folder / "metrics.jsonl"
    if lines.exists():
        found = [json.loads(line) for line in lines.read_text().splitlines()]
        lines.write_text("".join(json.dumps({k: v for k, v in one.items() if k != "checksum"}) + "\n" for one in found))


def write_views(folder: Path, views: str) -> None:
    """Let a run folder write its views in another notation, as older versions did in lineages and searches."""
    as_older(folder)
    path = folder / "config.json"
    content = json.loads(path.read_text())
    content["config"]["views"] = views
    path.write_text(json.dumps(content))
