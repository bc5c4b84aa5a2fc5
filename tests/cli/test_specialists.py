"""Specialists on the command line, from a generalist to one student."""

import json
from pathlib import Path

import pytest

from instar.models import MLP
from instar.procedures.train import train


@pytest.fixture(scope="module")
def generalist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("generalist") / "generalist"
    train("digits", MLP([16]), out=out, epochs=6, learning_rate=0.01)
    return out


def test_four_commands_make_one_student_of_a_generalist_and_its_specialists(
    instar, generalist: Path, tmp_path: Path
) -> None:
    code, out, err = instar(
        "specialists", "train", generalist, "--clusters", 3, "--size", 4, "--epochs", 2,
        "--set", "training.learning_rate=0.003", "--jobs", 2, "--out", tmp_path / "specialists",
    )  # fmt: skip
    assert code == 0, err
    assert "classes are in 3 clusters." in out
    assert out.count("errors") == 3
    config = json.loads((tmp_path / "specialists" / "specialist-02" / "config.json").read_text())["config"]
    assert (config["training"]["epochs"], config["training"]["learning_rate"]) == (2, 0.003)

    code, out, err = instar(
        "specialists", "combine", generalist, tmp_path / "specialists", "--top", 2, "--weight", 0.5,
        "--divergence", "reverse", "--out", tmp_path / "combined", "--json",
    )  # fmt: skip
    assert code == 0, err
    assert json.loads(out)["run"] == str(tmp_path / "combined")
    config = json.loads((tmp_path / "combined" / "config.json").read_text())["config"]
    assert config["model"]["arguments"] == {"top": 2, "weight": 0.5, "divergence": "reverse"}
    assert len(config["teachers"]) == 4

    code, out, err = instar("specialists", "evaluate", tmp_path / "combined")
    assert code == 0, err
    assert "accuracy within their classes" in out
    code, out, err = instar("specialists", "evaluate", tmp_path / "combined", "--split", "validation", "--json")
    assert code == 0, err
    assert sum(row["samples"] for row in json.loads(out)["covered"]) == 120

    code, out, err = instar(
        "distill", "digits", "--teacher", tmp_path / "combined", "--model", "mlp", "--arg", "widths=[16]",
        "--epochs", 2, "--out", tmp_path / "student", "--json",
    )  # fmt: skip
    assert code == 0, err
    assert 0 < json.loads(out)["metrics"]["agreement"] <= 1


def test_clusters_are_printed_written_and_taken(instar, generalist: Path, tmp_path: Path) -> None:
    file = tmp_path / "clusters.json"
    code, out, err = instar("specialists", "cluster", generalist, "--clusters", 2, "--out", file)
    assert code == 0, err
    assert "10 classes are in 2 clusters." in out
    found = json.loads(file.read_text())["clusters"]
    code, out, err = instar("specialists", "cluster", generalist, "--clusters", 2, "--json")
    assert code == 0, err
    assert json.loads(out) == found
    file.write_text('[["1", "7"]]')
    code, out, err = instar(
        "specialists", "train", generalist, "--clusters", file, "--epochs", 1, "--out", tmp_path / "out", "--json"
    )
    assert code == 0, err
    assert set(json.loads(out)["metrics"]["class_errors"]) == {"1", "7", "(all others)"}


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["cluster", "--clusters", "some"], "Invalid value for '--clusters': Input should be a valid integer"),
        (["train", "--clusters", "0", "--out", "out"], "clusters must be"),
        (["train", "--clusters", "none.json", "--out", "out"], "'none.json' is missing."),
        (["train", "--way", "dustbn", "--clusters", "2", "--out", "out"], "did you mean 'dustbin'?"),
        (["train", "--set", "data.subset=3", "--clusters", "2", "--out", "out"], "not 'data.subset'"),
        (["train", "--set", "training.epocs=3", "--clusters", "2", "--out", "out"], "did you mean 'epochs'?"),
        (["combine", "nowhere", "--out", "out"], "not complete: 'nowhere'"),
        (["evaluate"], "is not a generalist with specialists; give a folder of specialists combine."),
    ],
)
def test_what_the_user_can_mend_is_one_sentence(
    instar, generalist: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments, sentence
) -> None:
    monkeypatch.chdir(tmp_path)
    verb, *others = arguments
    code, out, err = instar("specialists", verb, generalist, *others)
    assert (code, out) == (2, "")
    assert sentence in err
    assert err.count("\n") == 1
    assert not (tmp_path / "out").exists()
