"""The command line as a user meets it: results on stdout, sentences on stderr, exit codes."""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import typer

from instar import cli

TRAIN = ["train", "digits", "--model", "mlp", "--arg", "widths=[16]", "--epochs", "2", "--set", "data.subset=200"]


def test_train_distill_evaluate_correct_and_report_work_together(instar, tmp_path: Path) -> None:
    teacher, student = str(tmp_path / "teacher"), str(tmp_path / "student")
    code, out, _ = instar(*TRAIN, "--out", teacher, "--json")
    result = json.loads(out)
    assert code == 0
    assert result["run"] == teacher
    assert result["parameters"] == 64 * 16 + 16 + 16 * 10 + 10

    code, out, _ = instar(
        "distill", "digits", "--teacher", teacher, "--model", "mlp", "--arg", "widths=[8]", "--temperature", "4",
        "--epochs", "2", "--out", student, "--json",
    )  # fmt: skip
    assert code == 0
    assert 0 <= json.loads(out)["metrics"]["agreement"] <= 1
    objective = json.loads((tmp_path / "student" / "config.json").read_text())["config"]["objective"]
    assert objective == "SoftTargets(4) + 0.1 * HardLabels()"  # what it is without --temperature, at that temperature

    code, out, _ = instar("evaluate", student, "--teacher", teacher, "--json")
    assert code == 0
    assert (
        json.loads(out)["errors"] == json.loads((tmp_path / "student" / "result.json").read_text())["metrics"]["errors"]
    )

    code, out, _ = instar(
        "correct-bias", student, "--class", "3", "--offset", "100", "--out", str(tmp_path / "three"), "--json"
    )
    assert code == 0
    assert json.loads(out)["metrics"]["class_errors"]["3"][0] == 0

    code, out, _ = instar("report", str(tmp_path))
    assert code == 0
    assert Path(out.strip()).read_text().startswith("<!")


def test_the_result_is_readable_without_json(instar, tmp_path: Path) -> None:
    code, out, _ = instar(*TRAIN, "--out", str(tmp_path / "run"))
    assert code == 0
    assert "errors" in out
    assert "of 597" in out


def test_distill_has_labels_in_its_default_objective(instar, tmp_path: Path) -> None:
    instar(*TRAIN, "--out", str(tmp_path / "teacher"))
    code, _, _ = instar(
        "distill", *TRAIN[1:], "--teacher", str(tmp_path / "teacher"), "--out", str(tmp_path / "student")
    )
    assert code == 0
    found = json.loads((tmp_path / "student" / "config.json").read_text())["config"]["objective"]
    assert found == "SoftTargets(4) + 0.1 * HardLabels()"


def test_flags_lie_over_the_file_and_assignments_over_flags(instar, tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    file.write_text("training: {epochs: 7, batch_size: 50}\nseed: 3\n")
    code, _, _ = instar(*TRAIN, "--config", str(file), "--set", "seed=5", "--out", str(tmp_path / "run"))
    config = json.loads((tmp_path / "run" / "config.json").read_text())["config"]
    assert code == 0
    assert (config["training"]["epochs"], config["training"]["batch_size"], config["seed"]) == (2, 50, 5)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["train", "nowhere", "--model", "mlp", "--arg", "widths=[8]"], "'nowhere' is not a folder"),
        (["train", "digits", "--model", "mpl"], "model 'mpl' is unknown; did you mean 'mlp'?"),
        (["train", "digits", "--model", "mlp", "--arg", "width=[8]"], "did you mean 'widths'?"),
        ([*TRAIN, "--set", "training.lerning_rate=1"], "did you mean 'learning_rate'?"),
        (
            [*TRAIN, "--set", "training.epochs=0"],
            "'training.epochs': input should be greater than or equal to 1, got 0",
        ),
        ([*TRAIN, "--objective", "HardLables()"], "term 'HardLables' is unknown; did you mean 'HardLabels'?"),
        ([*TRAIN, "--objective", "-1 * HardLabels()"], "weight of HardLabels must be at least 0, got -1"),
        ([*TRAIN, "--objective", "SoftTargets(4)"], "SoftTargets needs a teacher, but the run has none"),
        ([*TRAIN, "--views", "Flipp()"], "view 'Flipp' is unknown; did you mean 'Flip'?"),
        (["train", "--model", "mlp"], "'data' is required but missing"),
        ([*TRAIN, "--config", "missing.yaml"], "'missing.yaml' cannot be read"),
        (["distill", *TRAIN[1:]], "distill needs a teacher; give one, such as a run folder."),
        (["distill", *TRAIN[1:], "--teacher", "nowhere"], "'nowhere' is not a run folder"),
        (["distill", *TRAIN[1:], "--teacher", "x", "--temperature", "0"], "must be greater than 0, got 0"),
        (["distill", *TRAIN[1:], "--teacher", "x", "--temperature", "1", "--objective", "HardLabels()"], "not both"),
    ],
)
def test_what_the_user_can_mend_is_one_sentence_and_exit_code_2(
    instar, tmp_path: Path, arguments: list[str], sentence: str
) -> None:
    out = tmp_path / "run"
    code, stdout, stderr = instar(*arguments, "--out", str(out))
    assert code == 2
    assert stdout == ""
    assert sentence in stderr
    assert stderr.startswith("instar: ")
    assert stderr.count("\n") == 1
    assert not out.exists()


def test_an_unknown_verb_names_the_nearest(instar) -> None:
    code, _, stderr = instar("distil", "digits")
    assert code == 2
    assert "distill" in stderr


def test_a_class_on_the_command_line_is_trusted_and_one_in_a_folder_is_not(
    instar, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "my_networks.py").write_text(
        "from torch import nn\n"
        "class Plain(nn.Sequential):\n"
        "    def __init__(self, num_classes):\n"
        "        super().__init__(nn.Flatten(), nn.Linear(64, num_classes))\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    code, _, _ = instar("train", "digits", "--model", "my_networks:Plain", "--epochs", "1", "--out", "run")
    assert code == 0
    code, _, stderr = instar("evaluate", "run")
    assert code == 2
    assert "allow this with --trust" in stderr
    code, _, _ = instar("evaluate", "run", "--trust")
    assert code == 0


def test_papers_are_listed(instar) -> None:
    code, out, _ = instar("papers", "list", "--json")
    assert code == 0
    assert "hinton2015-mnist" in json.loads(out)


def test_help_does_not_wait_for_torch() -> None:
    script = (
        "import sys, instar.cli; sys.exit(any(m in sys.modules for m in ('torch', 'numpy', 'pydantic', 'datasets')))"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def test_every_verb_explains_every_flag() -> None:
    command = typer.main.get_command(cli.app)
    verbs = dict(command.commands)
    verbs |= dict(verbs.pop("papers").commands)
    for name, verb in verbs.items():
        assert verb.help, name
        for parameter in verb.params:
            assert getattr(parameter, "help", None), f"{name} {parameter.name}"


def test_the_flags_are_few_and_known() -> None:
    """Everything else is a setting: think twice before adding a flag, and then add it here."""
    command = typer.main.get_command(cli.app)
    flags = {name: {p.name for p in verb.params} for name, verb in command.commands.items()}
    shared = {"data", "out", "model", "arg", "objective", "views", "num_views", "epochs", "seed", "config", "settings"}
    foreign = {"teacher_arg", "teacher_weights", "teacher_reader", "teacher_classes"}
    assert flags["train"] == shared | {"as_json", "trust", "start", "network", "reader"}
    assert flags["distill"] == flags["train"] | foreign | {
        *("teacher", "temperature", "combine", "targets", "phases", "transfer", "transfer_rows")
    }


def test_the_demo_distils_an_ensemble_and_says_so(instar, tmp_path: Path) -> None:
    demo = ("demo", "--out", tmp_path, "--members", "2", "--seeds", "2", "--jobs", "1")
    started = time.monotonic()
    code, out, _ = instar(*demo)
    assert code == 0
    assert "student, distilled" in out
    assert (tmp_path / "report.html").is_file()
    again = instar(*demo, "--json")
    summary = json.loads(again[1])
    assert len(summary["distilled_errors"]) == 2
    assert summary["seconds"] < time.monotonic() - started


def test_of_a_text_the_perplexity_is_printed_and_reported(instar, tmp_path: Path) -> None:
    for split in ("train", "test"):
        (tmp_path / f"{split}.txt").write_text("the cat sat\nthe dog ran\n" * 20)
    train = ["train", str(tmp_path), "--set", "data.length=5", "--set", "training.batch_size=4"]
    run = tmp_path / "runs" / "lstm"
    code, out, _ = instar(*train, "--model", "lstm", "--arg", "units=8", "--epochs", "1", "--out", str(run))
    found = json.loads((run / "result.json").read_text())["metrics"]["perplexity"]
    assert code == 0
    assert f"perplexity {found:.2f} per token" in out
    instar("report", str(tmp_path / "runs"))
    assert f"{found:,.2f}" in (tmp_path / "runs" / "report.html").read_text()


def test_of_recordings_errors_of_words_are_printed_and_reported(
    instar, write_recordings: Callable[..., Path], tmp_path: Path
) -> None:
    noise = np.random.default_rng(0).integers(-9000, 9000, (24, 700)).astype(np.int16)
    data = write_recordings(tmp_path / "noise", {"train": noise, "test": noise[:7]})
    run = tmp_path / "runs" / "net"
    train = ["train", data, "--set", "data.label_column=word", "--model", "frame-net", "--arg", "widths=[8]"]
    _, out, err = instar(*train, "--epochs", "1", "--out", run)
    found = json.loads((run / "result.json").read_text())["metrics"]
    assert found["words"] == 7, err
    assert found["word_error"] == found["word_errors"] / 7
    words = f"words      {found['word_errors']} of 7 wrong: {found['word_error']:.2%}"
    assert words in out
    assert words in instar("evaluate", run)[1]
    assert f"{found['word_errors']} of 7, Wilson" in instar("inspect", run)[1]
    instar("report", tmp_path / "runs")
    assert "Word error (%)" in (tmp_path / "runs" / "report.html").read_text()
