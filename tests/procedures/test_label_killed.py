"""Labelling that is killed at any moment, or done by several processes at once, makes the store of one that is not."""

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from torch import nn

from instar.procedures.label import label

COMMON = """
import json, os, random, signal, sys, time
from pathlib import Path
import torch
torch.set_num_threads(1)
import instar.runs.files
from instar.data import load_data
from instar.procedures.label import label
from instar.targets import TargetStore
from instar.teachers import Module

OUT, PAUSE = Path(sys.argv[1]), 0.003
DATA = load_data("digits", subset=1000)
torch.manual_seed(0)
NETWORK = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10))

class Slow(Module):
    asked, hangs_at = None, None

    def targets(self, batch):
        time.sleep(PAUSE)
        # every process tries two samples first, to plan the store, and looks at a selection of its own
        is_kept = any(batch.origin.samples is part for part in (DATA.train, DATA.validation, DATA.test))
        if self.asked and len(batch) != 2 and is_kept:
            source = batch.origin.samples.source.name
            for number in batch.ids.tolist():
                self.asked.write(f"{source} {number} {batch.view}\\n")
            self.asked.flush()
        if self.hangs_at == batch.view and len(batch) != 2:
            (OUT / "hangs").touch()
            time.sleep(600)
        return super().targets(batch)

def write(folder, asked=None, hangs_at=None):
    teacher = Slow(NETWORK)
    teacher.asked, teacher.hangs_at = asked and asked.open("w"), hangs_at
    label(DATA, teacher, out=folder, views="Shift(1)", num_views=6, keep="sample:60", dtype="float32", shard_rows=1,
          batch_size=125, show=False)

def begin(*arguments, **named):
    child = os.fork()
    if child == 0:
        try:
            write(*arguments, **named)
        except BaseException as error:
            print(error, file=sys.stderr)
            os._exit(1)
        os._exit(0)
    return child

def bytes_of(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.glob("[!.]*"))}
"""

KILLED = (
    COMMON
    + """
fsync = instar.runs.files.os.fsync
instar.runs.files.os.fsync = lambda file: (time.sleep(0.01), fsync(file))  # a slow disk: kills fall into writing too
write(OUT / "straight")
straight = bytes_of(OUT / "straight")
moments = random.Random(0)
kills, number, partials, kept, rewritten, stores, codes = 0, 0, 0, 0, [], [], []
before = {}
while kills < 50:
    folder = OUT / f"killed-{number}"
    child = begin(folder)
    time.sleep(moments.uniform(0, 0.25))
    os.kill(child, signal.SIGKILL)
    status = os.waitpid(child, 0)[1]
    found = {path: path.stat() for path in folder.glob("*-*.safetensors")}
    found = {path: (stat.st_ino, stat.st_mtime_ns, path.read_bytes()) for path, stat in found.items()}
    rewritten += [str(path) for path in before if found.get(path) != before[path]]
    kept += len(before)
    before = found
    if os.WIFSIGNALED(status):
        kills += 1
        partials += len(list(folder.glob(".*.partial")))
    if not os.WIFSIGNALED(status) or kills == 50:
        codes.append(os.waitpid(begin(folder), 0)[1])
        stores.append(bytes_of(folder) == straight and not list(folder.glob(".*-*.partial")))
        TargetStore(folder).check()
        rewritten += [str(path) for path in before if (path.stat().st_ino, path.stat().st_mtime_ns) != before[path][:2]]
        before, number = {}, number + 1
print(json.dumps({"kills": kills, "partials": partials, "kept": kept, "rewritten": rewritten, "stores": stores,
                  "codes": codes, "files": list(straight)}))
"""
)

TOGETHER = (
    COMMON
    + """
PAUSE = 0.01
write(OUT / "straight")
straight = bytes_of(OUT / "straight")
found = {"shards": len(TargetStore(OUT / "straight").pieces())}
for writers in (2, 3):
    children = [begin(OUT / f"by-{writers}", OUT / f"asked-{writers}-{k}") for k in range(writers)]
    codes = [os.waitpid(child, 0)[1] for child in children]
    found[str(writers)] = {"codes": codes, "equal": bytes_of(OUT / f"by-{writers}") == straight}
folder = OUT / "taken-over"
first = begin(folder, OUT / "asked-over-0", 3)
while not (OUT / "hangs").exists():
    time.sleep(0.01)
second = begin(folder, OUT / "asked-over-1")
store, deadline = TargetStore(folder), time.monotonic() + 30
while len(store.missing()) > 1 and time.monotonic() < deadline:
    time.sleep(0.01)
time.sleep(0.3)
found["waits"] = [piece.name for piece in store.missing()], os.waitpid(second, os.WNOHANG)[0] == 0
os.kill(first, signal.SIGKILL)
os.waitpid(first, 0)
found["over"] = {"codes": [os.waitpid(second, 0)[1]], "equal": bytes_of(folder) == straight}
print(json.dumps(found))
"""
)


def run(script: str, out: Path) -> dict[str, Any]:
    command = [sys.executable, "-W", "error", "-c", script, str(out)]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env=os.environ | {"OMP_NUM_THREADS": "1"}, timeout=120
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_fifty_kills_at_random_moments_lose_no_shard_and_end_with_the_same_bytes(tmp_path: Path) -> None:
    found = run(KILLED, tmp_path)
    assert len([name for name in found["files"] if name.startswith("train-")]) == 6
    assert found["kills"] == 50
    assert found["partials"] > 0  # some fell into the writing of a file
    assert found["kept"] > 0
    assert found["rewritten"] == []
    assert set(found["codes"]) == {0}
    assert all(found["stores"])


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    out = tmp_path_factory.mktemp("together")
    return out, run(TOGETHER, out)


def asked(out: Path, name: str) -> list[Counter[str]]:
    return [Counter(path.read_text().splitlines()) for path in sorted(out.glob(f"asked-{name}-*"))]


EVERYTHING = 6 * 1000 + 120 + 597


@pytest.mark.parametrize("writers", [2, 3])
def test_writers_at_the_same_time_ask_about_each_sample_and_view_once(together, writers: int) -> None:
    out, found = together
    assert found["shards"] == 8
    assert found[str(writers)] == {"codes": [0] * writers, "equal": True}
    each = asked(out, str(writers))
    assert len(each) == writers
    assert min(map(len, each)) > 0  # nobody was idle
    total = sum(each, Counter())
    assert len(total) == EVERYTHING
    assert set(total.values()) == {1}


def test_the_shard_of_a_writer_that_died_is_taken_over_by_the_one_that_waits(together) -> None:
    out, found = together
    (held,), is_waiting = found["waits"]
    assert held == "train-00002.safetensors"  # rows 2048 to 3071, and view 3 begins at 3000
    assert is_waiting
    assert found["over"] == {"codes": [0], "equal": True}
    died, lived = asked(out, "over")
    assert not (out / "taken-over" / ".lock").read_text()
    assert len(died | lived) == EVERYTHING
    assert max(lived.values()) == 1


def test_no_hidden_file_of_a_process_that_was_killed_while_it_wrote_the_manifest_is_left(tmp_path: Path) -> None:
    teacher = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    label("digits", teacher, out=tmp_path / "store", share=(1, 2), show=False)
    for name in ("manifest.json", "train.ids.safetensors"):
        (tmp_path / "store" / f".{name}.1.partial").touch()
    label("digits", teacher, out=tmp_path / "store", show=False)
    assert [path.name for path in (tmp_path / "store").glob(".*")] == [".lock"]
