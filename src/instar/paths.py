"""Paths that a user gives: of this machine, and of a form that its file system takes."""

from __future__ import annotations

import os
import re
from pathlib import Path

from instar.errors import ConfigError

MAX_NAME_BYTES = 255
"""Of one name in a path: what the usual file systems allow."""

MAX_PATH_BYTES = 4095
"""Of a whole path on Linux."""

_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")  # two letters at least: C:/ is a drive


def local_path(path: object, name: str = "path") -> Path:
    """Return the path that a user gave for `name`.

    Raises:
        ConfigError: when it is no path, is empty, is an address such as s3://bucket/run, which would make a local
            folder "s3:", or has a name that no file system takes.

    >>> local_path("runs/teacher", "out").name
    'teacher'
    >>> local_path("s3://bucket/run", "out")
    Traceback (most recent call last):
    instar.errors.ConfigError: out must be a local path, got the address 's3://bucket/run'; a folder is './s3://bucket/run'.
    """
    text = str(given_path(path, name)) if isinstance(path, os.PathLike) else path
    if isinstance(text, str) and _ADDRESS.match(text):
        raise ConfigError(f"{name} must be a local path, got the address '{text}'; a folder is './{text}'.")
    if isinstance(text, str) and text.strip() and not text.isprintable():  # control characters, and no UTF-8
        raise ConfigError(f"{name} must be of visible characters in UTF-8, got '{text}'.")
    return given_path(text, name)


def given_path(path: object, name: str = "path") -> Path:
    r"""Return the path of what is already there, which may be any that a file system takes.

    Raises:
        ConfigError: when it is no path, is empty, or has a name that no file system takes.

    >>> given_path("runs/a\0b", "the run folder")
    Traceback (most recent call last):
    instar.errors.ConfigError: the run folder must be a path, and 'runs/a\x00b' holds a null byte.
    """
    text = os.fspath(path) if isinstance(path, os.PathLike) else path
    if not isinstance(text, str):
        raise ConfigError(f"{name} must be a path, got {type(path).__name__} {path!r}.")
    if not text.strip():
        raise ConfigError(f"{name} must name a file or a folder, got '{text}'.")
    if "\0" in text:
        raise ConfigError(f"{name} must be a path, and {text!r} holds a null byte.")
    longest = max(len(_bytes(part)) for part in text.split("/"))
    if longest > MAX_NAME_BYTES or len(_bytes(text)) > MAX_PATH_BYTES:
        raise ConfigError(
            f"{name} must have names of at most {MAX_NAME_BYTES} bytes and {MAX_PATH_BYTES} in all, got {longest} in "
            f"one name and {len(_bytes(text))} in all of '{text}'."
        )
    return Path(text)


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")  # what is there may have names that are not UTF-8
