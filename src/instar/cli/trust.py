"""Lets what a user names on the command line be imported from the folder where the command is given."""

from __future__ import annotations

import os
import sys


def import_from_here(is_trusted: bool) -> bool:
    """Let a trusted class be imported from the folder where the command is given, as `python -m` does.

    Without trust nothing is, since a stranger's folder may hold a file called torch.py.
    """
    if is_trusted and "" not in sys.path:  # the console script starts without it
        sys.path.insert(0, "")
    return is_trusted


def import_named(name: str | None) -> str | None:
    """Let a class that is named as a model be imported from here; naming it is trusting it."""
    # transformers: and timm: name weights, which no code is imported from
    import_from_here(name is not None and ":" in name and not name.startswith(("transformers:", "timm:")))
    return name


def import_all_named(names: list[str] | None) -> list[str] | None:
    """Let the classes of several names be imported from here."""
    for name in names or ():
        import_named(name)
    return names


def trust_typed(text: str | None) -> str | None:
    """Let the terms and views that a flag names be imported from here; typing them is trusting them."""
    from instar.importing import TypedName, names_an_import

    import_from_here(text is not None and names_an_import(text))
    return None if text is None else TypedName(text)


def trust_typed_name(name: str | None) -> str | None:
    """Let what is named as the data or as what is evaluated be imported from here; typing its name is trusting it."""
    from instar.importing import TypedName, is_import_path

    # a folder that is called like one is only read
    import_from_here(name is not None and is_import_path(name) and not os.path.exists(name))
    return None if name is None else TypedName(name)


def trust_typed_settings(assignments: list[str] | None) -> list[str] | None:
    """Let what the settings of a run name be imported from here; `parse_settings` marks them as typed."""
    from instar.importing import IMPORTING_SETTINGS, names_an_import

    for assignment in assignments or ():
        name, _, text = assignment.partition("=")
        import_from_here(name in IMPORTING_SETTINGS and names_an_import(text))
    return assignments
