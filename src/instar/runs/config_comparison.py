"""Comparison of run configurations that ignores paths where fingerprints identify the content."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from instar.importing import without_modules
from instar.nested import differences, flatten

FINGERPRINT_OF_SETTING = {
    "config.data.source": "data",
    "config.data.tokenizer": "data",
    "config.data.transfer": "data",
    "config.teachers": "teacher",
    "config.start": "start",
    "config.corrected": "run",
    "config.model.name": "",  # a folder of Transformers, which has no fingerprint
}
"""Settings that are paths, each with the name of the fingerprint of the content at that path."""

STORAGE_SETTINGS = ("config.store.folder",)
"""Settings of storage places that no result depends on, because missing content is made again."""


def describe_difference(before: Mapping[str, Any], now: Mapping[str, Any], defaults: Mapping[str, Any]) -> str:
    """Describe the differences of two runs; an empty text if they are the same run, even with other paths.

    Args:
        before: `config` and `fingerprints` of the first run, as nested values.
        now: `config` and `fingerprints` of the second run.
        defaults: values of settings that are missing in the first run, because an older version wrote it.

    >>> before = {"config": {"teachers": ["runs/t"]}, "fingerprints": {"teacher": "abc"}}
    >>> describe_difference(before, {"config": {"teachers": ["/runs/t/"]}, "fingerprints": {"teacher": "abc"}}, {})
    ''
    >>> describe_difference(before, {"config": {"teachers": ["runs/t"]}, "fingerprints": {"teacher": "def"}}, {})
    "fingerprints.teacher was 'abc', now 'def'"
    """
    known, mine = flatten(now), flatten(before)
    # an older version lacked a setting, and did what its default does now
    mine = {key: value for key, value in flatten(defaults).items() if key in known} | mine
    for place in STORAGE_SETTINGS:
        mine.pop(place, None), known.pop(place, None)
    for place, name in FINGERPRINT_OF_SETTING.items():
        was, found = (each.get("fingerprints", {}).get(name) for each in (before, now))
        # without a fingerprint, a path is the same if it leads to the same place
        is_same = was is not None and was == found
        if place in known and (is_same or _resolved(mine.get(place)) == _resolved(known[place])):
            mine[place] = known[place]
    for place in ("config.objective", "config.views"):  # an older version wrote the user's classes without their module
        if place in known and mine.get(place) == without_modules(str(known[place])):
            mine[place] = known[place]
    return differences(mine, known).replace("config.", "")


def _resolved(value: Any) -> Any:
    if isinstance(value, list):
        return [_resolved(each) for each in value]
    if not isinstance(value, str):
        return value
    # all spellings of a path are equal, also behind a prefix, as in transformers:FOLDER
    prefix, colon, path = value.rpartition(":")
    try:
        return f"{prefix}{colon}{Path(path).resolve()}" if path and Path(path).exists() else value
    except OSError:  # such as a name that is too long
        return value
