"""Arrays on disk as arrays in memory, whose pages the system reads when they are first used."""

from __future__ import annotations

import ctypes
import mmap
import os
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from instar.errors import DataError

# NORESERVE: memory is set aside only for pages that are written, so a file may be larger than memory
_FLAGS = mmap.MAP_PRIVATE | getattr(mmap, "MAP_NORESERVE", 0x4000 if os.uname().sysname == "Linux" else 0)
_MAP_FIXED_FLAG = 0x10  # Python's mmap module does not name it, because its own mmap takes no address
_PROTECTION = mmap.PROT_READ | mmap.PROT_WRITE  # writable, because torch has no read-only tensors


def map_array(path: Path) -> NDArray[Any]:
    """Map an array of NumPy's format; what is written to the array stays in this process, and the file never changes.

    Raises:
        DataError: when the system does not map the file.
    """
    described = np.load(path, mmap_mode="r", allow_pickle=False)  # reads the header only
    if described.size == 0:  # an empty range cannot be mapped
        return np.array(described)
    with path.open("rb") as file, _explain(path, described.nbytes):
        # NumPy's own copy on write reserves all of its memory
        memory = mmap.mmap(file.fileno(), 0, _FLAGS, _PROTECTION)
    return np.ndarray(described.shape, described.dtype, memory, described.offset, described.strides)


def map_vector(path: Path, before: int, total: int) -> NDArray[Any]:
    """Map a vector of NumPy's format, with room before and behind it; writing changes only the returned array.

    Args:
        path: the file.
        before: number of values before the first one of the file, fewer than its header has bytes for.
        total: length of the returned array; values beyond the file are undefined.

    Raises:
        DataError: when the system does not map the file.
    """
    described = np.load(path, mmap_mode="r", allow_pickle=False)  # reads the header only
    start = described.offset - before * described.itemsize  # the room before is the header, in a page of this process
    if described.ndim != 1 or start < 0 or total < before:
        raise ValueError(f"'{path}' is no vector with a header of {before} values.")
    size = max(start + total * described.itemsize, described.offset + described.nbytes)
    with path.open("rb") as file, _explain(path, described.nbytes):
        memory = reserve(size)
        map_over(memory, 0, min(size, described.offset + described.nbytes), file.fileno(), _PROTECTION, _FLAGS)
    return np.frombuffer(memoryview(memory), described.dtype, total, start)


@contextmanager
def _explain(path: Path, size: int) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DataError(
            f"'{path}' ({size / 1e9:,.1f} GB) cannot be mapped: {error.strerror}. Allow it with "
            "'sysctl vm.overcommit_memory=0' and without a limit of addresses (ulimit -v), or use less data."
        ) from None


def reserve(size: int, protection: int = _PROTECTION) -> ctypes.Array[ctypes.c_uint8]:
    """Reserve a range of addresses, which takes no memory before it is used; it is freed with the last array of it.

    Raises:
        OSError: when the system has no such range.
    """
    address = _map(None, size, protection, _FLAGS | mmap.MAP_ANONYMOUS, -1, 0)
    memory = (ctypes.c_uint8 * size).from_address(address)
    # arrays and tensors hold `memory`; at the end of the process the system frees it, after their last use
    weakref.finalize(memory, _libc.munmap, address, size).atexit = False
    return memory


def map_over(
    memory: ctypes.Array[ctypes.c_uint8], at: int, size: int, file: int, protection: int, flags: int, offset: int = 0
) -> None:
    """Map bytes of a file over a reserved range.

    Args:
        memory: the range, of `reserve`.
        at: where in the range, a multiple of the size of a page.
        size: number of bytes.
        file: descriptor of the file, which may be closed afterwards.
        protection: of the pages, as for mmap.
        flags: as for mmap.
        offset: where in the file, a multiple of the size of a page.

    Raises:
        OSError: when the system does not map it.
    """
    _map(ctypes.addressof(memory) + at, size, protection, flags | _MAP_FIXED_FLAG, file, offset)


_libc = ctypes.CDLL(None, use_errno=True)
_libc.mmap.restype = ctypes.c_void_p  # the default, a C int, would cut addresses to 32 bits
_libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_int64]
_libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]


def _map(address: int | None, length: int, protection: int, flags: int, file: int, offset: int) -> int:
    # of the C library, because Python's mmap cannot map at an address
    found: int | None = _libc.mmap(address, length, protection, flags, file, offset)
    if found is None or found == ctypes.c_void_p(-1).value:  # MAP_FAILED is -1
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return found
