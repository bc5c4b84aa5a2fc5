"""Freed blocks stay with the process for a step, so a loop over large tensors has no page faults."""

import ctypes
import subprocess
import sys

import pytest

SCRIPT = """
import ctypes, sys
from contextlib import ExitStack
from instar.compute.allocator import freed_memory_kept
class Numbers(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in "arena ordblks smblks hblks hblkhd f1 f2 f3 f4 f5".split()]
library = ctypes.CDLL(None)
library.malloc.restype, library.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
library.free.argtypes, library.mallinfo2.restype = [ctypes.c_void_p], Numbers
step = ExitStack()
if sys.argv[1] != "as it is":
    step.enter_context(freed_memory_kept())
    with freed_memory_kept():  # one inside the other
        pass
if sys.argv[1] == "afterwards":
    step.close()
before = library.mallinfo2()
size = (32 << 20) - 4096  # a block begins with some of the C library's own
block = library.malloc(size)
mapped = library.mallinfo2().hblks - before.hblks
library.free(block)
print(mapped, library.mallinfo2().arena >= before.arena + size)
"""


@pytest.mark.skipif(
    not (sys.platform.startswith("linux") and hasattr(ctypes.CDLL(None), "mallinfo2")), reason="needs glibc"
)
@pytest.mark.parametrize(
    ("how", "printed"), [("kept", "0 True\n"), ("as it is", "1 False\n"), ("afterwards", "1 False\n")]
)
def test_blocks_have_no_mapping_of_their_own_and_their_memory_is_kept(how, printed):
    done = subprocess.run([sys.executable, "-c", SCRIPT, how], capture_output=True, text=True, check=True)
    assert done.stdout == printed


JUDGED = """
import torch
from instar.compute.allocator import freed_memory_kept
with freed_memory_kept():
    pass
put_aside = []
for size in range(60):  # as a model is judged: large tensors, and a little of each that stays
    logits = torch.rand((14 << 18) + (size << 12))
    softened = logits * 2
    del logits
    put_aside.append(softened[:1000].clone())
    found = softened + 1
    del softened
    put_aside.append(found[:1000].clone())
    del found
status = dict(line.split(':') for line in open('/proc/self/status'))
print(int(status['VmHWM'].split()[0]) >> 10)  # that of resource knows the parent's as well
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs glibc")
def test_small_tensors_after_a_step_do_not_keep_the_memory_of_large_ones():
    done = subprocess.run([sys.executable, "-c", JUDGED], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 600, "MiB; inside of a step 1,900"
