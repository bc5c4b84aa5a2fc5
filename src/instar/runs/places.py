"""Settings that say where something was found or is kept: what it is, its fingerprint says, whatever the path."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from instar.config import differences, flatten

FINGERPRINTS = {
    "config.data.source": "data",
    "config.data.tokenizer": "data",
    "config.teachers": "teacher",
    "config.start": "start",
    "config.corrected": "run",
    "config.model.name": "",  # a folder of Transformers, which has none
}
"""The places of what a run is made from, each with the name of the fingerprint of what was found there."""

KEPT = ("config.store.folder",)
"""The places where something is kept that is made anew where it is missing, so that no result depends on them."""


def other_run(before: Mapping[str, Any], now: Mapping[str, Any], defaults: Mapping[str, Any]) -> str:
    """Return in words in what two runs differ; nothing where they are the same, wherever their parts were found.

    Args:
        before: `config` and `fingerprints` of the first, as nested values.
        now: those of the second.
        defaults: what a setting means that the first does not have, because it was made before there was one.

    >>> before = {"config": {"teachers": ["runs/t"]}, "fingerprints": {"teacher": "abc"}}
    >>> other_run(before, {"config": {"teachers": ["/runs/t/"]}, "fingerprints": {"teacher": "abc"}}, {})
    ''
    >>> other_run(before, {"config": {"teachers": ["runs/t"]}, "fingerprints": {"teacher": "def"}}, {})
    "fingerprints.teacher was 'abc', now 'def'"
    """
    known, mine = flatten(now), flatten(before)
    mine = {key: value for key, value in flatten(defaults).items() if key in known} | mine
    for place in KEPT:
        mine.pop(place, None), known.pop(place, None)
    for place, name in FINGERPRINTS.items():
        was, found = (each.get("fingerprints", {}).get(name) for each in (before, now))
        is_same = was is not None and was == found
        if place in known and (is_same or _resolved(mine.get(place)) == _resolved(known[place])):
            mine[place] = known[place]
    return differences(mine, known).replace("config.", "")


def _resolved(value: Any) -> Any:
    """Return the same for all spellings of the path of a folder or file that is there."""
    if isinstance(value, list):
        return [_resolved(each) for each in value]
    if not isinstance(value, str):
        return value
    prefix, colon, path = value.rpartition(":")
    try:
        return f"{prefix}{colon}{Path(path).resolve()}" if path and Path(path).exists() else value
    except OSError:  # such as a name that is too long
        return value
