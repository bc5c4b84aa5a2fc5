"""Import of a user's own classes and functions by `package.module:Name`, which runs the code of their module."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable
from typing import Any

from instar.errors import ConfigError, shortened

_NAME = r"[^\W\d]\w*"
_QUOTED = r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\""
_PATH = re.compile(rf"({_QUOTED})|((?:{_NAME}\.)*{_NAME}):({_NAME})")
"""A quoted text, or a module and the first name in it."""

_WHOLE_PATH = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")

LIBRARY_PREFIXES = ("transformers:", "timm:")
"""Prefixes of the names of models that libraries make, and no code of the user."""

IMPORTING_SETTINGS = ("objective", "views", "reader", "data.source", "data.transfer")
"""Settings of a run whose text may name classes to import."""


class TypedName(str):
    """Text that somebody typed as a flag, which allows the import of the classes that it names."""

    __slots__ = ()


def import_object(path: str, what: str) -> Any:
    """Return the object at `package.module:Name`.

    Args:
        path: import path; a class may be inside another class.
        what: noun for error messages, such as "model".

    Raises:
        ConfigError: when it cannot be imported.

    >>> import_object("torch.nn:Flatten", "model")
    <class 'torch.nn.modules.flatten.Flatten'>
    """
    module_name, _, name = path.partition(":")
    try:
        found: Any = importlib.import_module(module_name)
        for part in name.split("."):
            found = getattr(found, part)
    except Exception as error:  # raised by the user's module, of any kind
        raise ConfigError(f"{what} '{path}' cannot be imported: {shortened(error).rstrip('.')}.") from None
    return found


def require_trust(path: str, what: str, *, trust: bool) -> None:
    """Refuse to import what a text names, unless it is trusted.

    Raises:
        ConfigError: says how to allow it.
    """
    if not trust:
        raise ConfigError(
            f"{what} '{path}' is not part of Instar, so loading it runs code from outside Instar; allow this with "
            "--trust (trust=True)."
        )


def is_import_path(text: str) -> bool:
    """Return whether a text is one `package.module:Name`, and not the name of a library's model.

    >>> [is_import_path(text) for text in ("mine.nets:Net", "transformers:gpt2", "mine:Sepia()", "runs/a")]
    [True, False, False, False]
    """
    return _WHOLE_PATH.fullmatch(text) is not None and not text.startswith(LIBRARY_PREFIXES)


def names_an_import(text: str) -> bool:
    """Return whether a text names something by `package.module:Name`.

    >>> [names_an_import(text) for text in ("mine:Sepia(0.5) + Flip()", "Crop(4)", "Term('a:b')")]
    [True, False, False]
    """
    return any(path for _, path, _ in _PATH.findall(text))


def change_modules(text: str, change: Callable[[str], str]) -> str:
    """Return a text with the module and colon of each `package.module:Name` changed.

    >>> change_modules("mine:Sepia('a:b') + Flip()", lambda module: "")
    "Sepia('a:b') + Flip()"
    """
    return _PATH.sub(lambda found: found[1] or f"{change(found[2] + ':')}{found[3]}", text)


def without_modules(text: str) -> str:
    """Return a text without the module of each `package.module:Name`, as older versions wrote objects.

    >>> without_modules("mine.views:Sepia(amount=0.5)")
    'Sepia(amount=0.5)'
    """
    return change_modules(text, lambda module: "")
