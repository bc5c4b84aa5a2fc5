"""Labelling, stores and training from them on the command line."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

DATA = ["digits", "--set", "data.subset=300"]
MODEL = ["--model", "mlp", "--arg", "widths=[8]"]
VIEWS = ["--num-views", "3", "--views", "Shift(1)"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from instar.models import MLP
    from instar.procedures.train import train

    out = tmp_path_factory.mktemp("trained")
    for seed in (0, 1):
        train("digits", MLP([12]), out=out / f"teacher-{seed}", epochs=2, learning_rate=0.02, seed=seed)
    return out


def config_of(run: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run / "config.json").read_text())["config"]
    return found


def result(found: tuple[int, str, str]) -> dict[str, Any]:
    code, out, err = found
    assert code == 0, err
    values: dict[str, Any] = json.loads(out)
    return values


def test_label_distill_evaluate_and_verify_work_together(instar, trained: Path, tmp_path: Path) -> None:
    teacher, store, student = trained / "teacher-0", tmp_path / "store", tmp_path / "student"
    made = result(instar("label", *DATA, "--teacher", teacher, *VIEWS, "--seed", "5", "--out", store, "--json"))
    assert made["store"] == str(store)
    assert (made["shards"], made["missing"]) == (3, 0)
    train = made["parts"]["train"]
    assert (train["samples"], train["num_views"], train["view_seed"], train["dtype"]) == (300, 3, 5, "float16")
    assert made["teacher"]["names"] == [str(teacher)]
    assert made.pop("first_look")["examples"] == 120
    assert result(instar("targets", "info", store, "--json")) == made

    verified = result(instar("targets", "verify", store, "--json"))
    assert verified["rows"] == 256 + 120 + 256
    assert 0 <= verified["difference"] < 2e-3
    assert verified["note"] == ""
    command = ["distill", *DATA, "--teacher", store, *MODEL, "--temperature", "2", "--epochs", "2", "--out", student]
    ran = result(instar(*command, "--json"))
    assert 0 < ran["metrics"]["agreement"] <= 1
    assert "gain" in ran["metrics"]
    config = config_of(student)
    assert (config["views"], config["num_views"], config["view_seed"]) == ("Shift(pixels=1)", 3, 5)
    assert config["teachers"] == [str(store)]

    both = [result(instar("evaluate", student, "--teacher", asked, "--json")) for asked in (store, teacher)]
    assert both[0]["agreement"] == both[1]["agreement"] == ran["metrics"]["agreement"]
    first, second = (result(instar("evaluate", subject, "--data", "digits", "--json")) for subject in (store, teacher))
    assert first["errors"] == second["errors"]


def test_people_are_told_what_a_store_holds_and_how_large_it_will_be(instar, trained: Path, tmp_path: Path) -> None:
    command = ["label", *DATA, "--teacher", trained / "teacher-0", *VIEWS, "--keep", "top:3", "--temperature", "4"]
    code, out, err = instar(*command, "--out", tmp_path / "store")
    assert code == 0
    sizes = "train: 300 samples, 3 views 'Shift(pixels=1)' of seed 0, top:3 of 10 classes in float16: 900 rows of 12"
    assert sizes in err
    assert sizes in out
    assert "MB in 3 shards" in out
    assert out.rstrip().endswith("complete")
    code, out, err = instar(*command, "--out", tmp_path / "store")
    assert sizes not in err  # nothing is left to do
    code, out, _ = instar("targets", "verify", tmp_path / "store", "--rows", "10")
    assert "all checksums match\n30 rows labelled again: probabilities differ by at most " in out


def test_shares_are_merged_and_a_missing_one_is_named(instar, trained: Path, tmp_path: Path) -> None:
    command = ["label", *DATA, "--teacher", trained / "teacher-0", *VIEWS]
    for k in (1, 2):
        code, out, _ = instar(*command, "--share", f"{k}/2", "--out", tmp_path / f"share-{k}")
        assert code == 0
        assert f"{k} shards are missing; run the label command again." in out  # of three
    code, _, err = instar("targets", "merge", tmp_path / "share-1", "--out", tmp_path / "merged")
    assert code == 2
    assert err.startswith("instar: 1 of 3 shards are in none of the stores (validation-00000.safetensors). The others ")
    merge = ["targets", "merge", tmp_path / "share-1", tmp_path / "share-2", "--out", tmp_path / "merged", "--json"]
    assert result(instar(*merge))["missing"] == 0
    assert result(instar("targets", "verify", tmp_path / "merged", "--json"))["difference"] < 2e-3


def test_several_teachers_are_labelled_as_one(instar, trained: Path, tmp_path: Path) -> None:
    teachers = ["--teacher", trained / "teacher-0", "--teacher", trained / "teacher-1"]
    command = ["label", *DATA, *teachers, "--combine", "arithmetic", "--temperature", "4", "--no-held-out"]
    made = result(instar(*command, "--out", tmp_path / "store", "--json"))
    assert list(made["parts"]) == ["train"]
    assert made["parts"]["train"]["temperature"] == 4
    assert made["teacher"]["combine"] == "arithmetic"
    assert len(made["teacher"]["names"]) == 2
    verified = result(instar("targets", "verify", tmp_path / "store", "--json"))
    assert verified["difference"] < 2e-3
    student = ["distill", *DATA, "--teacher", tmp_path / "store", *MODEL, "--epochs", "1", "--out", tmp_path / "run"]
    code, _, err = instar(*student, "--temperature", "2")
    assert code == 2
    assert "were stored at temperature 4, but the objective needs 2" in err
    ran = result(instar(*student, "--temperature", "4", "--json"))
    assert "agreement" not in ran["metrics"]


def test_targets_are_kept_in_the_run_or_in_a_folder_of_stores(instar, trained: Path, tmp_path: Path) -> None:
    command = ["distill", *DATA, "--teacher", trained / "teacher-0", *MODEL, "--epochs", "1", "--temperature", "2"]
    assert instar(*command, "--targets", "store", "--out", tmp_path / "inside")[0] == 0
    assert (tmp_path / "inside" / "targets" / "manifest.json").is_file()
    for k in (1, 2):
        run = tmp_path / f"student-{k}"
        assert instar(*command, "--targets", tmp_path / "kept", "--set", "store.keep=top:4", "--out", run)[0] == 0
        assert config_of(run)["targets"] == "store"
        assert config_of(run)["store"]["folder"] == str(tmp_path / "kept")
    (store,) = (tmp_path / "kept").iterdir()
    assert store.name.startswith("teacher-0-")
    assert result(instar("targets", "info", store, "--json"))["parts"]["train"]["keep"] == "top:4"


def test_a_lineage_keeps_its_targets(instar, tmp_path: Path) -> None:
    command = ["born-again", *DATA, *MODEL, "--generations", "1", "--epochs", "1", "--no-controls", "--json"]
    found = result(instar(*command, "--targets", tmp_path / "kept", "--out", tmp_path / "lineage"))
    assert len(found["runs"]) == 3
    (store,) = (tmp_path / "kept").iterdir()
    assert store.name.startswith("generation-0-")
    assert config_of(tmp_path / "lineage" / "generation-0")["targets"] == "online"


REFUSED = {
    "no teacher": ([], "instar: label needs a teacher; give one, such as a run folder."),
    "share": (["--teacher", "T", "--share", "half"], "instar: --share must be i/n, such as 1/4, got 'half'."),
    "share out of range": (["--teacher", "T", "--share", "3/2"], "instar: share must be (i, n) with i from 1 to n"),
    "views alone": (
        ["--teacher", "T", "--num-views", "3"],
        "instar: 3 views without augmentation would",
    ),
    "augmentation alone": (["--teacher", "T", "--views", "Flip()"], "instar: a target store holds a number of"),
    "keep": (["--teacher", "T", "--keep", "best"], "instar: keep must be 'all', 'top:K' or 'sample:N'"),
    "dtype": (["--teacher", "T", "--dtype", "int8"], "instar: 'dtype': input should be 'float32', 'float16' or"),
    "precision": (["--teacher", "T", "--precision", "int8"], "instar: "),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_wrong_label_command_ends_with_one_sentence(instar, trained: Path, tmp_path: Path, name: str) -> None:
    flags, sentence = REFUSED[name]
    given = [trained / "teacher-0" if flag == "T" else flag for flag in flags]
    code, out, err = instar("label", *DATA, *given, "--out", tmp_path / "store")
    assert (code, out) == (2, "")
    assert err.startswith(sentence)
    assert err.count("\n") == 1
    assert not (tmp_path / "store").exists()


def test_damage_is_told_in_one_sentence(instar, trained: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    assert instar("label", *DATA, "--teacher", trained / "teacher-0", "--out", store)[0] == 0
    shutil.copytree(store, tmp_path / "cut")
    shard = store / "train-00000.safetensors"
    content = bytearray(shard.read_bytes())
    content[-1] ^= 8
    shard.write_bytes(content)
    (tmp_path / "cut" / shard.name).write_bytes(content[:-1])
    run = tmp_path / "run"
    for folder, words in ((store, "has changed since it was written"), (tmp_path / "cut", "bytes instead of")):
        for command in (["targets", "verify", folder], ["distill", *DATA, "--teacher", folder, *MODEL, "--out", run]):
            code, out, err = instar(*command)
            assert (code, out) == (2, "")
            assert err.startswith("instar: the shard ")
            assert words in err
            assert err.count("\n") == 1
    assert result(instar("targets", "info", tmp_path / "cut", "--json"))["missing"] == 1
    code, _, err = instar("targets", "info", tmp_path)
    assert (code, err) == (2, f"instar: '{tmp_path}' is not a target store: it has no manifest.json.\n")
