"""Stores that are damaged, verified, described and merged."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import instar
from instar.data import load_data
from instar.errors import ConfigError, InstarError, StoreError
from instar.models import MLP
from instar.procedures.label import label
from instar.procedures.target_stores import merge_targets, targets_info, verify_targets
from instar.runs.files import read_json, write_json
from instar.targets import TargetStore
from instar.targets.manifest import STORE_FORMAT
from instar.targets.shards import PAGE_BYTES, read_records, write_shard
from instar.teachers import as_teacher

DIGITS = load_data("digits", subset=500)
PLAIN = {"views": "Shift(1)", "num_views": 5, "keep": "top:5", "dtype": "float32", "shard_rows": 1, "show": False}
SHARD = "train-00001.safetensors"


def network(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 10))


def write(out: Path, **changes: Any) -> TargetStore:
    return label(DIGITS, network(), out=out, **PLAIN | changes)


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.glob("[!.]*"))}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("whole") / "store").path


@pytest.fixture
def copy(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "copy"))


def flip(path: Path, at: int) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


DAMAGED = {
    "missing": (Path.unlink, rf"the shard '.*{SHARD}' is missing; run the label command again to make it"),
    "truncated": (cut, rf"the shard '.*{SHARD}' has 79,999 bytes instead of 80,000; delete it, and run the label com"),
    "empty": (lambda path: path.write_bytes(b""), rf"{SHARD}' has 0 bytes instead of"),
    "first bit": (
        lambda path: flip(path, PAGE_BYTES),
        rf"{SHARD}' has changed since it was written: its checksum differs from the manifest",
    ),
    "last bit": (lambda path: flip(path, -1), rf"{SHARD}' has changed .*delete it, and run the label command again"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_shard_is_named_by_everyone_who_opens_the_store_and_made_anew_alone(copy, whole, name: str) -> None:
    damage, sentence = DAMAGED[name]
    damage(copy / SHARD)
    for use in (as_teacher, verify_targets):
        with pytest.raises(StoreError, match=sentence):
            use(copy)
    with pytest.raises(StoreError, match=sentence):
        instar.distill(DIGITS, copy, MLP([4]), out=copy.parent / "run", objective="SoftTargets(1)", epochs=1)
    assert not (copy.parent / "run").exists()
    (copy / SHARD).unlink(missing_ok=True)  # as the sentence says
    before = {path.name: path.stat().st_mtime_ns for path in copy.glob("*-*.safetensors")}
    write(copy)
    assert bytes_of(copy) == bytes_of(whole)
    assert all((copy / name).stat().st_mtime_ns == time for name, time in before.items())


def test_ids_that_have_changed_are_found(copy) -> None:
    flip(copy / "train.ids.safetensors", -8)
    with pytest.raises(InstarError, match=r"train\.ids\.safetensors' has changed since it was written"):
        verify_targets(copy)


@pytest.mark.parametrize("damage", [Path.unlink, cut, lambda path: path.write_bytes(b"?")])
def test_a_file_of_ids_that_is_missing_or_cut_is_named(copy, damage) -> None:
    damage(copy / "train.ids.safetensors")
    for use in (as_teacher, verify_targets):
        with pytest.raises(InstarError, match=r"train\.ids\.safetensors' (is missing|has|is unreadable|is damaged)"):
            use(copy)


def test_a_manifest_that_is_newer_or_damaged_or_missing_is_refused(copy, tmp_path) -> None:
    file = copy / "manifest.json"
    content = json.loads(file.read_text())
    for text, sentence in (
        (
            json.dumps(content | {"format": STORE_FORMAT + 1}),
            f"in store format {STORE_FORMAT + 1}, and this version of Instar reads up to {STORE_FORMAT}; upgrade",
        ),
        (file.read_text()[:-30], "the manifest of '.*copy' is damaged: "),
        ("[]", "the manifest of '.*copy' is damaged: "),
        (json.dumps({"format": 1}), "the manifest of '.*copy' is damaged: 'version' is required but missing"),
        (json.dumps(content | {"parts": {"train": {}}}), r"is damaged: 'parts\.train\.\w+' is required but missing"),
        (json.dumps(content | {"colour": 1}), "is damaged: 'colour' is not a setting"),
    ):
        file.write_text(text)
        for use in (TargetStore, as_teacher, verify_targets, targets_info, write):
            with pytest.raises(StoreError, match=sentence):
                use(copy)
    file.unlink()
    with pytest.raises(StoreError, match=r"copy' is not a target store: it has no manifest\.json"):
        TargetStore(copy)
    assert len(list(copy.glob("*-*.safetensors"))) == 4  # nothing was thrown away


def test_information_says_whose_answers_about_what(whole, tmp_path) -> None:
    found = targets_info(whole)
    assert found["teacher"]["fingerprint"] == as_teacher(network()).fingerprint()
    assert found["parts"]["train"]["fingerprint"] == DIGITS.train.source.fingerprint()
    assert found["parts"]["train"]["temperature"] == 1
    assert [part["num_views"] for part in found["parts"].values()] == [5, 1, 1]
    assert (found["shards"], found["missing"]) == (4, 0)
    assert found["bytes"] == sum(path.stat().st_size for path in whole.glob("*-*.safetensors"))
    begun = targets_info(write(tmp_path / "begun", share=(2, 2)))
    assert (begun["shards"], begun["missing"]) == (4, 2)
    assert json.dumps(found)


@pytest.mark.parametrize("keep", ["all", "top:3", "sample:8"])
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_a_true_store_is_verified_within_the_rounding_of_its_type(tmp_path, keep: str, dtype: str) -> None:
    store = write(tmp_path / "store", keep=keep, dtype=dtype)
    found = verify_targets(store, teacher=network(), rows=100)
    assert found.rows == 300
    assert found.difference <= {"float32": 1e-6, "float16": 1e-3, "bfloat16": 1e-2}[dtype]
    assert found.bytes == targets_info(store)["bytes"] - PAGE_BYTES * len(store.pieces())
    assert f"differ by at most {found.difference:.2g}" in str(found)
    assert "all checksums match" in str(found)


def test_verifying_without_the_teacher_says_why_it_was_not_asked(whole) -> None:
    assert verify_targets(whole).note == "'Module(Sequential)' is not a folder here; give a teacher"
    assert verify_targets(whole).difference is None
    assert verify_targets(whole, rows=0, teacher=network()).rows == 0


def test_verifying_finds_another_teacher_and_other_data(whole) -> None:
    mine, theirs = (as_teacher(network(seed)).fingerprint()[:8] for seed in (0, 1))
    with pytest.raises(StoreError, match=rf"fingerprint {mine}, but the given teacher has {theirs}"):
        verify_targets(whole, teacher=network(1))
    arrays = (torch.rand(60, 1, 8, 8), torch.arange(60) % 10)
    with pytest.raises(StoreError, match=rf"fingerprint {DIGITS.train.source.fingerprint()[:8]}\), and the data have"):
        verify_targets(whole, teacher=network(), data=arrays)


def patch(folder: Path, row: int, value: float) -> None:
    """Change a number of a record, and let every checksum agree."""
    store = TargetStore(folder)
    part = store.manifest.parts["train"]
    rows, width = len(part.shard_rows(1)), part.width(10)
    records = read_records(folder / SHARD, rows, width).clone()
    records[row].view(torch.float32)[0] = value
    write_shard(folder / SHARD, records)
    store.finish()


@pytest.mark.parametrize("value", [5.0, float("nan")])
def test_verifying_finds_changed_answers_behind_checksums_that_are_right(tmp_path, value: float) -> None:
    store = write(tmp_path / "store", keep="all", num_views=40)
    first = store.manifest.parts["train"].rows_per_shard
    patch(store.path, 700, value)
    view, at = divmod(first + 700, len(DIGITS.train))
    where = f"train, id {int(DIGITS.train.ids[at])}, view {view}"
    with pytest.raises(StoreError, match=rf"differs from its teacher by [\w.]+ in a probability \({where}\)"):
        verify_targets(store.path, teacher=network(), rows=10**9)


@pytest.mark.parametrize("keep", ["all", "top:3"])
def test_verifying_finds_a_class_that_was_taken_out_of_the_manifest(tmp_path, keep: str) -> None:
    store = write(tmp_path / "store", keep=keep, dtype="float16")  # whose shards have the same length without it
    manifest = store.path / "manifest.json"
    described = read_json(manifest)
    write_json(manifest, described | {"classes": described["classes"][:-1]})  # sealed again, as a stranger can
    with pytest.raises(StoreError, match="the store has predictions of 9 classes, and its teacher predicts 10"):
        verify_targets(store.path, teacher=network())


def test_shares_in_two_folders_merge_into_the_store_of_one(tmp_path, whole) -> None:
    shares = [write(tmp_path / f"share-{k}", share=(k, 2)) for k in (1, 2)]
    assert [len(store.missing()) for store in shares] == [2, 2]
    merged = merge_targets([store.path for store in shares], tmp_path / "merged")
    assert bytes_of(tmp_path / "merged") == bytes_of(whole)
    assert verify_targets(merged, teacher=network()).difference < 1e-6
    merge_targets([tmp_path / "share-2"], tmp_path / "share-1")  # into one of them
    assert bytes_of(tmp_path / "share-1") == bytes_of(whole)


def test_a_merge_without_a_shard_names_it_and_is_completed_by_another(tmp_path, whole) -> None:
    third = [write(tmp_path / f"share-{k}", share=(k, 3)).path for k in (1, 2)]
    with pytest.raises(StoreError, match=r"^1 of 4 shards are in none of the stores \(validation-00000\.safetensors\)"):
        merge_targets(third, tmp_path / "merged")
    assert len(list((tmp_path / "merged").glob("*-*.safetensors"))) == 3
    third.append(write(tmp_path / "share-3", share=(3, 3)).path)
    merge_targets(third[2:], tmp_path / "merged")
    assert bytes_of(tmp_path / "merged") == bytes_of(whole)


def test_stores_of_different_plans_are_not_merged(tmp_path) -> None:
    first, other = write(tmp_path / "first", share=(1, 2)), write(tmp_path / "other", share=(2, 2), seed=1)
    with pytest.raises(StoreError, match=r"is another target store than '.*first' \(parts\.train\.view_seed was 1, no"):
        merge_targets([first.path, other.path], tmp_path / "merged")
    assert not (tmp_path / "merged").exists()
    with pytest.raises(StoreError, match=r"other' is another target store than '.*first'"):
        merge_targets([first.path], other.path)
    with pytest.raises(ConfigError, match="merge needs at least one store"):
        merge_targets([], tmp_path / "merged")


def test_a_merge_into_a_folder_of_something_else_is_refused(copy, tmp_path) -> None:
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "a.txt").touch()
    with pytest.raises(StoreError, match=r"letters' exists and is not a target store"):
        merge_targets([copy], tmp_path / "letters")


def test_a_merge_of_a_store_without_its_ids_is_refused_in_a_sentence(copy, tmp_path) -> None:
    (copy / "train.ids.safetensors").unlink()
    with pytest.raises(InstarError, match=r"train\.ids\.safetensors' is missing"):
        merge_targets([copy], tmp_path / "merged")
