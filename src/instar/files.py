"""Files that are whole or absent: JSON and safetensors, written under a temporary name and renamed."""

from __future__ import annotations

import errno
import json
import math
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from instar.errors import RunError
from instar.locks import whole


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


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a temporary file, then rename it to `path`: a reader sees all of it or nothing."""
    with explain_full_disk(path), whole(path) as temporary:
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
    """Write `values` as indented JSON, whole or not at all."""
    write_whole(path, lambda temporary: temporary.write_text(to_json(values, indent=2) + "\n"))


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        RunError: when it is missing or is no JSON.
    """
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        raise RunError(f"'{path}' is missing.") from None
    except ValueError as error:  # no JSON, or no text
        raise RunError(f"'{path}' is damaged: {error}.") from None


def write_tensors(path: Path, tensors: Mapping[str, Tensor], header: Mapping[str, Any] | None = None) -> None:
    """Write tensors, and `header` as JSON in the metadata, to one safetensors file, whole or not at all."""
    plain: dict[str, Tensor] = {}
    written: set[int] = set()
    for name, tensor in tensors.items():
        plain[name] = tensor.detach().cpu().contiguous()
        storage = plain[name].untyped_storage()
        # safetensors refuses slices of a larger storage, and storage that two tensors share
        if storage.nbytes() != plain[name].nbytes or storage.data_ptr() in written:
            plain[name] = plain[name].clone()
        written.add(storage.data_ptr())
    metadata = {"instar": to_json(header or {})}

    def write(temporary: Path) -> None:
        try:
            save_file(plain, temporary, metadata)
        except SafetensorError as error:  # it wraps the operating system's error as text
            if "No space left" in str(error):
                raise OSError(errno.ENOSPC, str(error)) from None
            raise

    write_whole(path, write)


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what `write_tensors` wrote: the tensors and the header.

    Raises:
        RunError: when the file is missing, truncated or no safetensors file.
    """
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
            return tensors, json.loads((file.metadata() or {}).get("instar", "{}"))
    except FileNotFoundError:
        raise RunError(f"the weights file '{path}' is missing.") from None
    except (SafetensorError, OSError, json.JSONDecodeError) as error:
        raise RunError(f"the weights file '{path}' is unreadable or truncated: {error}.") from None
