"""Files that are whole or absent, and true: JSON and safetensors with checksums, renamed when they are written."""

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
from instar.runs.checksums import BLANK, CHECKSUM, seal, seal_tensors, tensors_checksum, unseal
from instar.runs.locks import whole

MAX_DOCUMENT_BYTES = 16 << 20
"""The largest JSON file that is read: it may be of a stranger, and takes up to 25 times its size when it is parsed."""


@contextmanager
def explain_full_disk(path: Path) -> Iterator[None]:
    """Turn "no space left" into a sentence; whatever was begun under a temporary name is left out."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise RunError(
            f"no space is left on the disk to write '{path}'; free some and run the same command again."
        ) from None


@contextmanager
def explain_disk(path: Path) -> Iterator[None]:
    """Turn whatever the system refuses while `path` is written into a sentence, also where a library words it."""
    try:
        with explain_full_disk(path):
            try:
                yield
            except SafetensorError as error:  # it has the system's error as text
                if not (found := _NUMBER.search(str(error))):
                    raise
                raise OSError(int(found[1]), os.strerror(int(found[1])), str(path)) from None
    except OSError as error:
        if error.errno not in REFUSALS:
            raise
        raise RunError(
            f"'{path}' cannot be written: {error.strerror}; choose another place, or change what forbids it, and run "
            "the same command again."
        ) from None


REFUSALS = (
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.EFBIG,
    errno.ENOTDIR,
    errno.EISDIR,
    errno.ENAMETOOLONG,
    errno.ELOOP,
    errno.EMFILE,
    errno.ENFILE,
    errno.ENOENT,
    errno.EEXIST,
)
"""Errors of the system that are about the user's disk, limits or paths."""

_NUMBER = re.compile(r"\(os error (\d+)\)")


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a temporary file, then rename it to `path`: a reader sees all of it or nothing."""
    with explain_disk(path), whole(path) as temporary:
        temporary.touch()
        mode = temporary.stat().st_mode
        write(temporary)
        temporary.chmod(mode)  # safetensors would leave a file that no colleague can read
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())


def to_json(values: Any, indent: int | None = None) -> str:
    """Return values as JSON, with null for NaN and infinity, which JSON does not have.

    >>> to_json({"nll": float("inf"), "errors": (3, 4)})
    '{"nll": null, "errors": [3, 4]}'
    """
    try:
        return json.dumps(values, indent=indent, allow_nan=False)
    except ValueError:
        return json.dumps(_finite(values), indent=indent, allow_nan=False)


def _finite(values: Any) -> Any:
    """Return values with none in the place of each number that is not finite."""
    if isinstance(values, Mapping):
        return {name: _finite(value) for name, value in values.items()}
    if isinstance(values, list | tuple):
        return [_finite(value) for value in values]
    return None if isinstance(values, float) and not math.isfinite(values) else values


def write_json(path: Path, values: Any) -> None:
    """Write `values` as indented JSON, whole or not at all; keys and values get their checksum as one more key.

    A file that holds them already is left alone, so it may be read-only.
    """
    plain = json.loads(to_json(values))  # as it will be read back: tuples are lists, and keys are text
    text = to_json(seal(plain) if isinstance(plain, dict) else plain, indent=2) + "\n"
    with suppress(OSError, ValueError):
        if path.read_text() == text:
            return
    write_whole(path, lambda temporary: temporary.write_text(text))


def read_json(path: Path, *, sealed: bool = False) -> Any:
    """Read a JSON file, and compare its checksum, which is left out.

    Args:
        path: of the file.
        sealed: refuse a file without a checksum; otherwise it may be from before there were any.

    Raises:
        RunError: when it is missing, too large, no JSON, or not as it was written.
    """
    return unsealed(path, parse_json(path), sealed=sealed)


def parse_json(path: Path) -> Any:
    """Read a JSON file as it is: the checksum is not compared.

    Raises:
        RunError: when it is missing, too large, or no JSON.
    """
    _refuse_irregular(path)
    try:
        with path.open("rb") as file:
            content = file.read(MAX_DOCUMENT_BYTES + 1)
        if len(content) <= MAX_DOCUMENT_BYTES:
            return json.loads(content.decode())
    except FileNotFoundError:
        raise RunError(f"'{path}' is missing.") from None
    except OSError as error:
        raise RunError(f"'{path}' cannot be read: {error.strerror}.") from None
    except RecursionError:
        raise RunError(f"'{path}' is damaged: its values are nested too deeply.") from None
    except ValueError as error:  # no JSON, or no text
        raise RunError(f"'{path}' is damaged: {error}.") from None
    raise RunError(f"'{path}' is damaged: a JSON file has at most {MAX_DOCUMENT_BYTES >> 20} MiB.")


def unsealed(path: Path, content: Any, *, sealed: bool) -> Any:
    """Return what `parse_json` read without its checksum, which is compared.

    Raises:
        RunError: when the content is not as it was written, or a checksum is demanded and missing.
    """
    if not isinstance(content, dict):
        return content
    try:
        return unseal(content, required=sealed)
    except (ValueError, RecursionError) as error:
        raise RunError(f"'{path}' is damaged: {error}.") from None


def write_tensors(path: Path, tensors: Mapping[str, Tensor], header: Mapping[str, Any] | None = None) -> str:
    """Write tensors, and `header` as JSON in the metadata, to one safetensors file, whole or not at all.

    The hash of the whole file is the first value of the header.

    Returns:
        That hash.
    """
    plain: dict[str, Tensor] = {}
    written: set[int] = set()
    for name, tensor in tensors.items():
        plain[name] = tensor.detach().cpu().contiguous()
        storage = plain[name].untyped_storage()
        # safetensors refuses slices of a larger storage, and storage that two tensors share
        if storage.nbytes() != plain[name].nbytes or storage.data_ptr() in written:
            plain[name] = plain[name].clone()
        written.add(storage.data_ptr())
    metadata = {"instar": to_json({CHECKSUM: BLANK} | dict(header or {}))}
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
    """Read what `write_tensors` wrote: the tensors and the header. The hash of the whole file is compared.

    Args:
        path: of the file.
        sealed: refuse a file without a checksum, or whether to do so as the header says; otherwise it may be from
            before there were any.
        checksum: that the file must have, because a result names it.

    Raises:
        RunError: when the file is missing, truncated, no safetensors file, or not as it was written.
    """
    _refuse_irregular(path)
    try:
        with safe_open(path, framework="pt") as file:
            header = json.loads((file.metadata() or {}).get("instar", "{}"))
            if not isinstance(header, dict):
                raise ValueError("its header holds no keys and values")
            required = checksum is not None or (sealed(header) if callable(sealed) else sealed)
            found = tensors_checksum(path, required=required)
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    except FileNotFoundError:
        raise RunError(f"the weights file '{path}' is missing.") from None
    except (SafetensorError, OSError, json.JSONDecodeError, RecursionError) as error:
        raise RunError(f"the weights file '{path}' is unreadable or truncated: {error}.") from None
    except ValueError as error:
        raise RunError(f"the weights file '{path}' is damaged: {error}.") from None
    if checksum is not None and found != checksum:
        raise RunError(f"the weights file '{path}' is not of this run: result.json names another checksum.")
    return tensors, {name: value for name, value in header.items() if name != CHECKSUM}


def _refuse_irregular(path: Path) -> None:
    """Refuse a folder, and a pipe or device, which would never end.

    Raises:
        RunError: names the path.
    """
    if path.exists() and not path.is_file():
        raise RunError(f"'{path}' is not a regular file.")
