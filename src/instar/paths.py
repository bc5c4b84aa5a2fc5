"""Checks of paths that users give."""

from __future__ import annotations

import os
import re
from pathlib import Path

from instar.errors import ConfigError

MAX_NAME_BYTES = 255
"""Longest name of one file or folder on common file systems."""

MAX_PATH_BYTES = 4095
"""Longest path on Linux."""

_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")  # two letters at least: C:/ is a drive


def local_path(path: object, name: str = "path") -> Path:
    """Return the local path that a user gave for the setting `name`.

    Raises:
        ConfigError: when it is not a path, is empty, has a name that no file system allows, or is an address such as
            s3://bucket/run, which would create a local folder "s3:".

    >>> local_path("runs/teacher", "out").name
    'teacher'
    >>> local_path("s3://bucket/run", "out")
    Traceback (most recent call last):
    instar.errors.ConfigError: out must be a local path, got the address 's3://bucket/run'; a folder is './s3://bucket/run'.
    """
    text = str(given_path(path, name)) if isinstance(path, os.PathLike) else path
    if isinstance(text, str) and _ADDRESS.match(text):
        raise ConfigError(f"{name} must be a local path, got the address '{text}'; a folder is './{text}'.")
    if isinstance(text, str) and text.strip() and not text.isprintable():  # control characters, or not UTF-8
        raise ConfigError(f"{name} must contain only visible characters in UTF-8, got '{text}'.")
    return given_path(text, name)


def given_path(path: object, name: str = "path") -> Path:
    r"""Return the path of an existing file or folder, with any name that a file system allows.

    Raises:
        ConfigError: when it is not a path, is empty, or has a name that no file system allows.

    >>> given_path("runs/a\0b", "the run folder")
    Traceback (most recent call last):
    instar.errors.ConfigError: the run folder must be a path, but 'runs/a\x00b' contains a null byte.
    """
    text = os.fspath(path) if isinstance(path, os.PathLike) else path
    if not isinstance(text, str):
        raise ConfigError(f"{name} must be a path, got {type(path).__name__} {path!r}.")
    if not text.strip():
        raise ConfigError(f"{name} must name a file or a folder, got '{text}'.")
    if "\0" in text:
        raise ConfigError(f"{name} must be a path, but {text!r} contains a null byte.")
    longest = max(len(_bytes(part)) for part in text.split("/"))
    if longest > MAX_NAME_BYTES or len(_bytes(text)) > MAX_PATH_BYTES:
        raise ConfigError(
            f"{name} must be a path of at most {MAX_PATH_BYTES} bytes, with names of at most {MAX_NAME_BYTES} bytes; "
            f"got {len(_bytes(text))} bytes, with a name of {longest} bytes: '{text}'."
        )
    return Path(text)


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")  # existing files may have names that are not UTF-8
