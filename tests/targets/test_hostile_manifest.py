"""Manifests of strangers: names that lead elsewhere and numbers without bounds are refused."""

import json
import time
from pathlib import Path

import pytest
import torch

from instar.errors import StoreError
from instar.procedures.target_stores import merge_targets, targets_info, verify_targets
from instar.runs.files import write_json
from instar.targets import TargetStore
from instar.targets.manifest import MANIFEST_FILE, Manifest, PartDescription, TeacherDescription


@pytest.fixture
def store(tmp_path: Path) -> TargetStore:
    teacher = TeacherDescription(names=("t",), fingerprint="t")
    part = PartDescription(source="s", fingerprint="s", samples=2, rows_per_shard=65536)
    plan = Manifest(version="0", teacher=teacher, data={"source": "digits"}, classes=("a", "b"), parts={"train": part})
    found = TargetStore.start(tmp_path / "store", plan, {})
    found.write(found.pieces()[0], torch.zeros(2, 4, dtype=torch.uint8))
    found.finish()
    return found


def change(store: TargetStore, **changes: object) -> None:
    content = json.loads((store.path / MANIFEST_FILE).read_text())
    content["parts"]["train"] |= changes
    write_json(store.path / MANIFEST_FILE, content)


@pytest.mark.parametrize(
    "name", ["../train", "/tmp/train", "a/b", "..", "", ".hidden", "a\\b", "train\n", "a\0b", "x" * 5000]
)
def test_a_part_whose_name_leads_elsewhere_is_refused(store: TargetStore, tmp_path: Path, name: str) -> None:
    content = json.loads((store.path / MANIFEST_FILE).read_text())
    content["parts"] = {name: content["parts"]["train"]}
    write_json(store.path / MANIFEST_FILE, content)
    for use in (targets_info, verify_targets, lambda path: merge_targets([path], tmp_path / "merged")):
        with pytest.raises(StoreError, match="is damaged"):
            use(store.path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["store"]


@pytest.mark.parametrize("name", ["../victim", "/etc/passwd", "train-00001.safetensors", "train-0.safetensors", ""])
def test_a_shard_of_another_name_than_its_part_gives_it_is_refused(store: TargetStore, name: str) -> None:
    (shard,) = store.manifest.parts["train"].shards or ()
    change(store, shards=[{"name": name, "rows": 2, "checksum": shard.checksum}])
    with pytest.raises(StoreError, match=r"the shards of part 'train' must be train-00000\.safetensors"):
        TargetStore(store.path)


@pytest.mark.parametrize(
    "changes",
    [
        {"samples": 10**12, "rows_per_shard": 1},
        {"samples": 10**30},
        {"num_views": 10**12},
        {"positions": [10**12]},
        {"positions": [1 << 24] * 100},
        {"shards": []},
        {"layers": [{"name": "stage1", "shape": [1 << 40]}]},
        {"layers": [{"name": "stage1", "shape": [1 << 16] * 8}]},
        {"layers": [{"name": "stage1", "shape": [0]}]},
        {"layers": [{"name": "stage1", "shape": [2]}] * 2},
        {"layers": [{"name": "stage1", "shape": [2], "has_positions": True}]},
        {"layers": [{"name": "stage1", "shape": [2, 3], "channels_last": True}]},
    ],
)
def test_numbers_that_decide_about_work_have_bounds(store: TargetStore, changes: dict) -> None:
    started = time.monotonic()
    change(store, **{"shards": None} | changes)
    with pytest.raises(StoreError, match=r"the manifest of '.*' is damaged: "):
        targets_info(store.path)
    assert time.monotonic() - started < 5
