"""Several processes make one store: each shard is made by the process that has claimed it."""

import errno
import fcntl
import subprocess
import sys

import pytest
import torch

from instar.targets import Manifest, PartDescription, TargetStore, TeacherDescription

HOLD = """
import sys
from instar.targets import TargetStore
store = TargetStore(sys.argv[1])
with store.claims() as claims, claims.taken(store.pieces()[int(sys.argv[2])]) as is_mine:
    print("mine" if is_mine else "not mine", flush=True)
    if is_mine:
        sys.stdin.readline()
"""


@pytest.fixture
def store(tmp_path):
    part = PartDescription(source="numbers", fingerprint="f", samples=20000, rows_per_shard=16384)
    answering = TeacherDescription(names=("teacher",), fingerprint="t")
    plan = Manifest(version="0", teacher=answering, data={}, classes=("a", "b"), parts={"train": part})
    return TargetStore.start(tmp_path, plan, {})


def other_process(store, piece):
    command = [sys.executable, "-c", HOLD, str(store.path), str(piece)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def write(store, piece):
    store.write(piece, torch.zeros(len(store.manifest.parts["train"].shard_rows(piece.index)), 4, dtype=torch.uint8))


def test_a_shard_belongs_to_another_process_until_that_is_killed(store):
    first, second = store.pieces()
    with store.claims() as claims, other_process(store, 0) as other:
        assert other.stdout.readline() == "mine\n"
        with claims.taken(first) as is_mine:
            assert not is_mine
        with claims.taken(second) as is_mine:
            assert is_mine
        other.kill()
        other.wait()
        with claims.taken(first) as is_mine:
            assert is_mine


def test_a_shard_that_this_process_has_claimed_is_refused_to_others(store):
    first, second = store.pieces()
    with store.claims() as claims, claims.taken(second) as is_mine:
        assert is_mine
        with claims.taken(first) as is_mine_too:
            assert is_mine_too
        with other_process(store, 1) as other:
            assert other.communicate(timeout=60)[0] == "not mine\n"
        with other_process(store, 0) as other:  # given back
            assert other.communicate("\n", timeout=60)[0] == "mine\n"


def test_a_shard_that_exists_cannot_be_claimed(store):
    first, second = store.pieces()
    write(store, first)
    with store.claims() as claims:
        with claims.taken(first) as is_mine:
            assert not is_mine
        with claims.taken(second) as is_mine:
            assert is_mine
    assert store.missing() == [second]


def test_a_shard_that_was_cut_short_is_made_again(store):
    first, _ = store.pieces()
    write(store, first)
    store.file(first).write_bytes(store.file(first).read_bytes()[:-1])
    with store.claims() as claims, claims.taken(first) as is_mine:
        assert is_mine


def test_what_a_killed_process_had_begun_is_cleared_away(store):
    first, second = store.pieces()
    begun = [store.path / f".{piece.name}.123.partial" for piece in (first, second)]
    for path in begun:
        path.touch()
    with store.claims() as claims, claims.taken(first):
        assert [path.exists() for path in begun] == [False, True]


def test_a_claim_is_given_back_when_making_fails(store):
    first, _ = store.pieces()
    with store.claims() as claims:
        with pytest.raises(RuntimeError, match="teacher"), claims.taken(first):
            raise RuntimeError("the teacher failed")
        with other_process(store, 0) as other:
            assert other.communicate("\n", timeout=60)[0] == "mine\n"


def test_a_file_system_without_locks_is_not_another_process(store, monkeypatch):
    def lockf(*arguments):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "lockf", lockf)
    with pytest.raises((OSError, ValueError), match="lock"), store.claims() as claims, claims.taken(store.pieces()[0]):
        pass
