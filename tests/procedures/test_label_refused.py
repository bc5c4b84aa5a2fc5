"""What labelling refuses: wrong settings, teachers that do not fit, folders of something else."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from instar.data import load_data
from instar.errors import ConfigError, InstarError, MismatchError, RunError, StoreError
from instar.models import MLP
from instar.procedures.distill import distill
from instar.procedures.label import label
from instar.runs.run import Run
from instar.targets import TargetStore

DIGITS = load_data("digits", subset=500)
VIEWS = {"views": "Shift(1)", "num_views": 5, "show": False}


def network(outputs: int = 10, inputs: int = 64, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Flatten(), nn.Linear(inputs, outputs))


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.glob("[!.]*"))}


REFUSED = {
    "unknown keep": ({"keep": "most"}, "keep must be 'all', 'top:K' or 'sample:N' with a whole number above 0, got"),
    "no class": ({"keep": "top:0"}, "keep must be 'all', 'top:K' or 'sample:N' .* got 'top:0'"),
    "half a class": ({"keep": "top:1.5"}, "keep must be .* got 'top:1.5'"),
    "no draws": ({"keep": "sample:"}, "keep must be .* got 'sample:'"),
    "too many": ({"keep": "top:11"}, "keep 'top:11' asks for more classes than the 10 that there are"),
    "dtype": ({"dtype": "float8"}, "'dtype': input should be 'float32', 'float16' or 'bfloat16', got 'float8'"),
    "temperature": (
        {"keep": "top:1", "temperature": 0.0},
        "'temperature': input should be greater than or equal to 0.000001, got 0",
    ),
    "views without augmentation": ({"views": "Identity()"}, "5 views without augmentation would all be alike"),
    "endless views": ({"num_views": None}, r"a number of views, and 'Shift\(pixels=1\)' are endless; say how many"),
    "no views": ({"num_views": 0}, "num_views"),
    "view": ({"views": "Spin(1)"}, "Spin"),
    "share above": ({"share": (3, 2)}, r"share must be \(i, n\) with i from 1 to n, got \(3, 2\)"),
    "share below": ({"share": (0, 2)}, r"share must be \(i, n\) with i from 1 to n, got \(0, 2\)"),
    "precision": ({"precision": "float8"}, "float8"),
    "combine": ({"combine": "median"}, "median"),
    "batch size": ({"batch_size": 0}, "batch_size"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_wrong_setting_is_refused_in_a_sentence_and_nothing_is_made(tmp_path: Path, name: str) -> None:
    changes, sentence = REFUSED[name]
    with pytest.raises(InstarError, match=sentence):
        label(DIGITS, network(), out=tmp_path / "store", **VIEWS | changes)
    assert not (tmp_path / "store").exists()


def test_a_teacher_that_does_not_fit_is_refused_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(MismatchError, match=r"the teacher has 7 classes, and 'digits \(train\)' has 10"):
        label(DIGITS, network(7), out=tmp_path / "store", **VIEWS)
    with pytest.raises(RunError, match="is not a run folder"):
        label(DIGITS, tmp_path / "nowhere", out=tmp_path / "store", **VIEWS)
    assert not (tmp_path / "store").exists()


def test_a_teacher_of_another_input_shape_is_refused_in_a_sentence(tmp_path: Path) -> None:
    sentence = r"the network Sequential fails for 2 samples \(ids 1, 2\), inputs of shape \[2, 1, 8, 8\]: RuntimeError"
    with pytest.raises(MismatchError, match=sentence):
        label(DIGITS, network(10, 36), out=tmp_path / "store", **VIEWS)


def test_no_teacher_is_refused_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^label needs a teacher; give one, such as a run folder\.$"):
        label(DIGITS, [], out=tmp_path / "store", **VIEWS)


def test_a_folder_that_holds_something_else_is_refused_by_what_differs(tmp_path: Path) -> None:
    label(DIGITS, network(), out=tmp_path / "store", **VIEWS)
    before = bytes_of(tmp_path / "store")
    for changes, sentence in (
        ({"num_views": 4}, r"parts\.train\.num_views was 5, now 4"),
        ({"seed": 1}, r"parts\.train\.view_seed was 0, now 1"),
        ({"keep": "top:2", "temperature": 3}, r"parts\.train\.keep was 'all', now 'top:2'"),
        ({"held_out": False}, r"parts\.test\.\w+ was .*, now None"),
    ):
        with pytest.raises(StoreError, match=rf"is another target store than requested \(.*{sentence}"):
            label(DIGITS, network(), out=tmp_path / "store", **VIEWS | changes)
    with pytest.raises(StoreError, match=r"teacher\.fingerprint was '\w+', now '\w+'\); choose another folder, or del"):
        label(DIGITS, network(seed=1), out=tmp_path / "store", **VIEWS)
    with pytest.raises(StoreError, match=r"parts\.train\.ids was '\w+', now '\w+'"):
        label(load_data("digits", subset=500, split_seed=1), network(), out=tmp_path / "store", **VIEWS)
    assert bytes_of(tmp_path / "store") == before
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "a.txt").touch()
    with pytest.raises(StoreError, match=r"letters' exists and is not a target store; choose a new or an empty folder"):
        label(DIGITS, network(), out=tmp_path / "letters", **VIEWS)


def test_a_shard_whose_header_is_damaged_is_refused_with_the_way_out(tmp_path: Path) -> None:
    label(DIGITS, network(), out=tmp_path / "store", share=(1, 2), **VIEWS)
    shard = tmp_path / "store" / "train-00000.safetensors"
    content = bytearray(shard.read_bytes())
    content[9] = 0
    shard.write_bytes(content)
    with pytest.raises(StoreError, match=r"train-00000\.safetensors' is damaged: .*; delete it, and run the label com"):
        label(DIGITS, network(), out=tmp_path / "store", **VIEWS)
    shard.unlink()
    assert label(DIGITS, network(), out=tmp_path / "store", **VIEWS).complete


def student(out: Path, **changes: Any) -> Run:
    return distill(DIGITS, network(), MLP([4]), out=out, **{"epochs": 1, "targets": "store"} | changes)


def test_a_folder_for_stores_that_is_a_file_is_refused_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InstarError, match="file' "):
        student(tmp_path / "run", targets=str(tmp_path / "file"))


@pytest.mark.parametrize("keep", ["best", "top:11", "top:3"])
def test_a_run_that_was_refused_for_what_it_keeps_may_be_mended_in_its_folder(tmp_path: Path, keep: str) -> None:
    settings = {"objective": "LogitMatching()"}
    with pytest.raises(InstarError, match="keep"):
        student(tmp_path / "run", store={"keep": keep}, **settings)
    assert student(tmp_path / "run", **settings).complete
    assert TargetStore(tmp_path / "run" / "targets").complete
