"""Arrays on disk as arrays in memory, whose pages the system reads when they are first used."""

from __future__ import annotations

import mmap
import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from instar.errors import DataError

# NORESERVE: memory is set aside only for pages that are written, so a file may be larger than memory
_FLAGS = mmap.MAP_PRIVATE | getattr(mmap, "MAP_NORESERVE", 0x4000 if os.uname().sysname == "Linux" else 0)


def map_array(path: Path) -> NDArray[Any]:
    """Map an array of NumPy's format; what is written to the array stays in this process, and the file never changes.

    Raises:
        DataError: when the system does not map the file.
    """
    described = np.load(path, mmap_mode="r", allow_pickle=False)  # reads the header only
    if described.size == 0:  # an empty range cannot be mapped
        return np.array(described)
    with path.open("rb") as file:
        try:
            # writable, because torch has no read-only tensors; NumPy's own copy on write reserves all of its memory
            memory = mmap.mmap(file.fileno(), 0, _FLAGS, mmap.PROT_READ | mmap.PROT_WRITE)
        except OSError as error:
            raise DataError(
                f"'{path}' ({described.nbytes / 1e9:,.1f} GB) cannot be mapped: {error.strerror}. Allow it with "
                "'sysctl vm.overcommit_memory=0' and without a limit of addresses (ulimit -v), or use less data."
            ) from None
    return np.ndarray(described.shape, described.dtype, memory, described.offset, described.strides)
