"""Atomic writes and verified reads of JSON and safetensors files with checksums."""

from __future__ import annotations

import errno
import json
import math
import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from instar.errors import RunError
from instar.runs.checksums import BLANK_CHECKSUM, CHECKSUM, seal, seal_tensors, tensors_checksum, unseal
from instar.runs.locks import whole

MAX_DOCUMENT_BYTES = 16 << 20
"""Largest JSON file that is read; files may come from anyone, and parsing takes up to 25 times their size."""


@contextmanager
def explain_full_disk(path: Path) -> Iterator[None]:
    """Turn a full disk into an error message that names `path` and not a temporary file."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise RunError(
            f"the disk has no space left to write '{path}'; free some space and run the same command again."
        ) from None


@contextmanager
def explain_disk(path: Path) -> Iterator[None]:
    """Turn errors of the operating system while writing `path` into an error message, also those from libraries."""
    try:
        with explain_full_disk(path):
            try:
                yield
            except SafetensorError as error:  # its text contains the system's error number
                if not (found := _ERROR_NUMBER.search(str(error))):
                    raise
                raise OSError(int(found[1]), os.strerror(int(found[1])), str(path)) from None
    except OSError as error:
        if error.errno not in _WRITE_ERRORS:
            raise
        raise RunError(
            f"'{path}' cannot be written: {error.strerror}; choose another path or change its permissions, and run the "
            "same command again."
        ) from None


_WRITE_ERRORS = {
    errno.EACCES, errno.EPERM, errno.EROFS, errno.EFBIG, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.ELOOP,
    errno.EMFILE, errno.ENFILE, errno.ENOENT, errno.EEXIST,
}  # fmt: skip
"""System errors that are about the user's disk, limits or paths, and not about a bug of Instar."""

_ERROR_NUMBER = re.compile(r"\(os error (\d+)\)")


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Write a file atomically: `write` fills a temporary file, which is then renamed to `path`."""
    with explain_disk(path), whole(path) as temporary:
        temporary.touch()
        mode = temporary.stat().st_mode  # what the user's umask allows
        write(temporary)
        temporary.chmod(mode)  # safetensors creates files that only their owner can read
        # before the rename: after a power cut, some file systems have the new name and no content otherwise
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())


def to_json(values: Any, indent: int | None = None) -> str:
    """Return values as JSON text, with null for NaN and infinity, which JSON lacks.

    >>> to_json({"nll": float("inf"), "errors": (3, 4)})
    '{"nll": null, "errors": [3, 4]}'
    """
    try:
        return json.dumps(values, indent=indent, allow_nan=False)
    except ValueError:  # rare, so that values are walked through only then
        return json.dumps(_finite(values), indent=indent, allow_nan=False)


def _finite(values: Any) -> Any:
    if isinstance(values, Mapping):
        return {name: _finite(value) for name, value in values.items()}
    if isinstance(values, list | tuple):
        return [_finite(value) for value in values]
    return None if isinstance(values, float) and not math.isfinite(values) else values


def write_json(path: Path, values: Any) -> None:
    """Write `values` as indented JSON atomically; an object gets its checksum as one more key.

    A file with the same content is not written again, so it may be read-only.
    """
    plain = json.loads(to_json(values))  # as it is read back: tuples become lists, and keys become text
    text = to_json(seal(plain) if isinstance(plain, dict) else plain, indent=2) + "\n"
    with suppress(OSError, ValueError):  # missing, unreadable or not text: it is written anew
        if path.read_text() == text:
            return
    write_whole(path, lambda temporary: temporary.write_text(text))


def read_json(path: Path, *, sealed: bool = False) -> Any:
    """Read a JSON file and verify its checksum, which is left out of the result.

    Args:
        path: path of the file.
        sealed: refuse a file without a checksum; otherwise accept it, because older versions wrote none.

    Raises:
        RunError: when the file is missing, too large, not JSON, or was changed.
    """
    return unsealed(path, parse_json(path), sealed=sealed)


def parse_json(path: Path) -> Any:
    """Read a JSON file without verifying its checksum.

    Raises:
        RunError: when the file is missing, too large, or not JSON.
    """
    _refuse_irregular(path)
    try:
        with path.open("rb") as file:
            content = file.read(MAX_DOCUMENT_BYTES + 1)  # one more shows that it is larger, whatever stat says
        if len(content) <= MAX_DOCUMENT_BYTES:
            return json.loads(content.decode())
    except FileNotFoundError:
        raise RunError(f"'{path}' is missing.") from None
    except OSError as error:
        raise RunError(f"'{path}' cannot be read: {error.strerror}.") from None
    except RecursionError:
        raise RunError(f"'{path}' is damaged: its values are nested too deeply.") from None
    except ValueError as error:  # not JSON, or not UTF-8
        raise RunError(f"'{path}' is damaged: {error}.") from None
    raise RunError(f"'{path}' is damaged: it is larger than {MAX_DOCUMENT_BYTES >> 20} MiB.")


def unsealed(path: Path, content: Any, *, sealed: bool) -> Any:
    """Verify the checksum of what `parse_json` read, and return the rest.

    Raises:
        RunError: when the content was changed, or has no checksum although `sealed` requires one.
    """
    if not isinstance(content, dict):
        return content
    try:
        return unseal(content, required=sealed)
    except (ValueError, RecursionError) as error:
        raise RunError(f"'{path}' is damaged: {error}.") from None


def write_tensors(path: Path, tensors: Mapping[str, Tensor], header: Mapping[str, Any] | None = None) -> str:
    """Write tensors and `header` (as JSON in the metadata) to one safetensors file atomically.

    Returns:
        The hash of the whole file, which is also the first value of the header.
    """
    plain: dict[str, Tensor] = {}
    written: set[int] = set()  # addresses of storages, two of which are one for tied weights
    for name, tensor in tensors.items():
        plain[name] = tensor.detach().cpu().contiguous()
        storage = plain[name].untyped_storage()
        # safetensors refuses slices of a larger storage, and a storage that two tensors share
        if storage.nbytes() != plain[name].nbytes or storage.data_ptr() in written:
            plain[name] = plain[name].clone()
        written.add(storage.data_ptr())
    # the checksum comes first, so that it is at a known place of the file
    metadata = {"instar": to_json({CHECKSUM: BLANK_CHECKSUM} | dict(header or {}))}
    found = ""

    def write(temporary: Path) -> None:
        nonlocal found
        save_file(plain, temporary, metadata)
        found = seal_tensors(temporary)

    write_whole(path, write)
    return found


def read_tensors(
    path: Path, *, sealed: bool | Callable[[Mapping[str, Any]], bool] = False, checksum: str | None = None
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read the tensors and the header that `write_tensors` wrote, and verify the hash of the whole file.

    Args:
        path: path of the file.
        sealed: refuse a file without a checksum, or a function of the header that decides this; otherwise accept it,
            because older versions wrote none.
        checksum: checksum that the result of the run names.

    Raises:
        RunError: when the file is missing, truncated, not a safetensors file, or was changed.
    """
    _refuse_irregular(path)
    try:
        with safe_open(path, framework="pt") as file:
            header = json.loads((file.metadata() or {}).get("instar", "{}"))
            if not isinstance(header, dict):
                raise ValueError("its header must be a JSON object")
            required = checksum is not None or (sealed(header) if callable(sealed) else sealed)
            # before the tensors, so that nobody computes with damaged ones
            found = tensors_checksum(path, required=required)
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    except FileNotFoundError:
        raise RunError(f"the weights file '{path}' is missing.") from None
    except (SafetensorError, OSError, json.JSONDecodeError, RecursionError) as error:
        raise RunError(f"the weights file '{path}' is unreadable or truncated: {error}.") from None
    except ValueError as error:
        raise RunError(f"the weights file '{path}' is damaged: {error}.") from None
    if checksum is not None and found != checksum:
        raise RunError(f"the weights file '{path}' does not belong to this run: result.json names another checksum.")
    return tensors, {name: value for name, value in header.items() if name != CHECKSUM}


def _refuse_irregular(path: Path) -> None:
    if path.exists() and not path.is_file():  # a folder, or a pipe or device, which may never end
        raise RunError(f"'{path}' is not a regular file.")
