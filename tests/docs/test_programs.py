"""The programs of three pages run as they stand, without a network."""

import gc
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from tests.docs.pages import blocks, read, section
from tests.models.tiny_chat import ROWS, save_chat_tokenizer, save_small_model, write_rows

from instar.objectives import parse_objective
from instar.runs.run import Run
from instar.stages.phases import read_phases
from instar.targets import TargetStore


def run_in_shell(program: str, folder: Path) -> None:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    ran = subprocess.run(
        ["bash", "-e"],
        input=program,
        cwd=folder,
        env=os.environ | {"PATH": path},
        text=True,
        capture_output=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr


def run_commands(program: str, instar: Callable[..., tuple[int, str, str]]) -> None:
    """Run the commands `instar` of a program in this process, which starts none for each; a shell expands the words."""
    recorded = "instar() { printf '%s\\n' \"$@\" ''; }\n"  # a word per line, and an empty line behind each command
    words = subprocess.run(["bash", "-e"], input=recorded + program, text=True, capture_output=True, check=True).stdout
    for command in words.removesuffix("\n\n").split("\n\n"):
        code, out, err = instar(*command.split("\n"))
        assert code == 0, out + err


def test_the_language_model_page_runs_offline_as_it_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("transformers", reason="needs the extra transformers")
    (program,) = blocks(read("docs/language-models.md"), "python")
    monkeypatch.chdir(tmp_path)
    found: dict[str, Any] = {}
    exec(compile(program, "docs/language-models.md", "exec"), found)
    assert found["student"].metrics["perplexity"] < len(found["data"].classes) / 2


def test_the_page_of_instructions_runs_offline_as_it_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("transformers", reason="needs the extra transformers")
    using, program = blocks(read("docs/instructions.md"), "python")
    monkeypatch.chdir(tmp_path)
    found: dict[str, Any] = {}
    exec(compile(program + using, "docs/instructions.md", "exec"), found)
    assert found["student"].metrics["perplexity"] < 2
    assert found["model"].generate([{"role": "user", "content": "who sings here"}]) == "Eve sings"


def test_the_commands_of_the_page_of_instructions_run(
    instar: Callable[..., tuple[int, str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("transformers", reason="needs the extra transformers")
    monkeypatch.chdir(tmp_path)
    write_rows(tmp_path / "instructions", train=ROWS * 8, test=ROWS)
    for name in ("teacher", "student"):
        save_small_model(tmp_path / name, intermediate_size=24)
        save_chat_tokenizer(tmp_path / name)
    (program,) = [block for block in blocks(read("docs/instructions.md"), "") if "instar train" in block]
    program = program.replace("pip install 'instar[transformers]'\n", "").replace("../", "").replace("=512", "=64")
    run_commands(program, instar)
    student = json.loads(Path("runs/student/result.json").read_text())["metrics"]
    learnt = json.loads(Path("runs/teacher/result.json").read_text())["metrics"]
    assert student["samples"] == learnt["samples"], "packing changes no example"
    code, out, err = instar("export", "runs/student", "--to", "transformers", "--out", "exported")
    assert code == 0, out + err
    code, out, err = instar("report", "runs", "--out", "report.html")
    assert code == 0, out + err


def test_the_example_of_the_readme_runs(
    instar: Callable[..., tuple[int, str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (commands,), (program,) = blocks(read("README.md"), "sh"), blocks(read("README.md"), "python")
    monkeypatch.chdir(tmp_path)
    run_commands(commands.replace("--epochs 30", "--epochs 1"), instar)
    exec(compile(program.replace('"epochs": 30', '"epochs": 1'), "README.md", "exec"), found := {})
    assert found["student"].complete


def test_the_page_of_several_inputs_runs_and_its_networks_learn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = blocks(read("docs/several-inputs.md"), "python")[0]
    monkeypatch.chdir(tmp_path)
    exec(compile(program, "docs/several-inputs.md", "exec"), found := {})
    assert found["teacher"].metrics["error"] <= found["student"].metrics["error"] < 0.3


def test_the_page_of_hidden_layers_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = {}
    for program in blocks(read("docs/features.md"), "python"):
        exec(compile(program.replace("epochs=5", "epochs=1"), "docs/features.md", "exec"), found)
    assert found["term"].name == "attentions"
    assert found["student"].history()[0]["attention_transfer"] > 0
    assert found["layer"].name == "classifier"


def test_the_page_of_estimators_runs_and_its_student_learns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("xgboost", reason="XGBoost is not installed")
    (program,) = blocks(read("docs/estimators.md"), "python")
    monkeypatch.chdir(tmp_path)
    exec(compile(program, "docs/estimators.md", "exec"), found := {})
    assert found["errors"] <= found["student"].metrics["errors"] < 8
    assert found["student"].metrics["samples"] == 143


def test_the_out_of_bag_predictions_of_a_forest_teach_as_the_page_says(
    instar: Callable[..., tuple[int, str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = section("docs/targets.md", "Predictions that were made elsewhere")
    monkeypatch.chdir(tmp_path)
    (program,), (commands,) = blocks(text, "python"), blocks(text, "sh")
    exec(compile(program, "docs/targets.md", "exec"), {})
    run_commands(commands, instar)
    student = json.loads((tmp_path / "runs" / "from-oob" / "result.json").read_text())["metrics"]
    assert student["error"] < 0.25


def test_predictions_are_matched_by_ids_of_words_as_the_page_says(
    instar: Callable[..., tuple[int, str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = section("docs/targets.md", "Ids of samples")
    monkeypatch.chdir(tmp_path)
    (program,), (commands,) = blocks(text, "python"), blocks(text, "sh")
    exec(compile(program, "docs/targets.md", "exec"), {})
    run_commands(commands, instar)
    assert TargetStore(tmp_path / "targets" / "churn").manifest.parts["test"].samples == 50


def test_the_commands_of_the_speech_page_run_as_they_stand(
    instar: Callable[..., tuple[int, str, str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    write_recordings: Callable[..., Path],
) -> None:
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(0)

    def said(count: int) -> list[np.ndarray]:
        """Two words in turn, each a tone of its own in noise."""
        tones = [
            np.sin(np.arange(900) * (0.2 + 0.4 * (at % 2))) + 0.3 * random.standard_normal(900) for at in range(count)
        ]
        return [(6000 * tone[: random.integers(600, 900)]).astype(np.int16) for tone in tones]

    write_recordings(tmp_path / "recordings", {"train": said(120), "test": said(24)})
    for program in blocks(read("docs/speech.md"), "sh"):
        run_commands(program.replace("256,256,256", "8").replace("--epochs 60", "--epochs 20"), instar)
    student = json.loads((tmp_path / "runs" / "student" / "result.json").read_text())["metrics"]
    assert student["words"] == 24
    assert student["word_error"] < 0.1 < student["error"]


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # the library leaves metadata.csv open
def test_the_page_of_recordings_runs_as_it_stands(
    instar: Callable[..., tuple[int, str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(0)
    for folder, count in (("sounds", 45), ("new", 3)):
        (tmp_path / folder).mkdir()
        lines = ["file_name,kind,transcript"]
        for number in range(count):
            rate = (16000, 22050)[number % 2]
            seconds = np.arange(int(rate * random.uniform(0.1, 0.3))) / rate
            tone = np.sin(2 * np.pi * (300 + 700 * (number % 3)) * seconds) + 0.3 * random.standard_normal(len(seconds))
            soundfile.write(tmp_path / folder / f"{number}.wav", tone / 4, rate)
            lines.append(f"{number}.wav,{('horn', 'siren', 'whistle')[number % 3]},")
        if folder == "sounds":
            (tmp_path / folder / "metadata.csv").write_text("\n".join(lines) + "\n")
    (commands,), (program,) = (blocks(read("docs/recordings.md"), language) for language in ("sh", "python"))
    *before, last = (
        commands.replace("256,256", "32").replace("runs/student new/*.wav", "runs/student").strip().split("\n")
    )
    run_commands("\n".join(before), instar)
    code, out, _ = instar(*last.split()[1:], *sorted(map(str, Path("new").glob("*.wav"))))
    assert code == 0
    assert [line.split()[:2] for line in out.splitlines()] == [
        ["new/0.wav", "horn"],
        ["new/1.wav", "siren"],
        ["new/2.wav", "whistle"],
    ]
    exec(compile(program, "docs/recordings.md", "exec"), {})
    gc.collect()


def test_the_page_of_texts_runs_and_its_models_learn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program, of_words = blocks(read("docs/texts.md"), "python")
    monkeypatch.chdir(tmp_path)
    exec(compile(program, "docs/texts.md", "exec"), found := {})
    assert found["student"].metrics["error"] < 0.2
    assert found["logits"].argmax(1).tolist() == [1, 0]
    exec(compile(of_words, "docs/texts.md", "exec"), found := {})
    assert found["student"].metrics["error"] == 0


def test_the_program_of_the_page_of_tables_runs_and_its_student_follows_its_teacher(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("onnxscript", reason="needs the extra export")
    program = blocks(read("docs/tables.md"), "python")[0]
    monkeypatch.chdir(tmp_path)
    exec(compile(program.replace('"epochs": 60', '"epochs": 20'), "docs/tables.md", "exec"), found := {})
    assert found["student"].metrics["agreement"] > 0.9
    assert (tmp_path / "runs" / "student.onnx").is_file()


def test_the_commands_of_the_page_of_tables_train_on_customers(
    instar: Callable[..., tuple[int, str, str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    churn_folder: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    commands, distillation, embedding = (
        block.replace("../shared/data/churn", str(churn_folder)).replace("--out", "--epochs 2 --out")
        for block in blocks(read("docs/tables.md"), "sh")
    )
    run_commands(commands, instar)
    run_commands(embedding, instar)
    for name in ("mlp", "linear", "embedded"):
        errors = json.loads((tmp_path / "runs" / name / "result.json").read_text())["metrics"]["error"]
        assert errors < 0.25
    pytest.importorskip("xgboost", reason="needs XGBoost")
    program = blocks(read("docs/tables.md"), "python")[1]
    (tmp_path / "customers.py").write_text(program.replace("../shared/data/churn", str(churn_folder)))
    monkeypatch.syspath_prepend(tmp_path)
    run_commands(distillation, instar)
    sys.modules.pop("customers")
    assert json.loads((tmp_path / "runs" / "taught" / "result.json").read_text())["metrics"]["agreement"] > 0.9
    report = (tmp_path / "runs" / "report.html").read_text()
    assert "taught" in report
    assert "monthly_charges: " in report  # the rows that the explorer shows


def test_the_page_of_phases_runs_as_it_stands_and_its_file_says_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = read("docs/phases.md")
    monkeypatch.chdir(tmp_path)
    Path("phases.yaml").write_text(blocks(page, "yaml")[0])
    exec(compile("\n".join(blocks(page, "python")[:2]), "docs/phases.md", "exec"), {})
    assert Run("runs/shallow").config["start_layers"] == {"blocks.*": "blocks.{0,2,4}"}
    for phase, folder in zip(read_phases("phases.yaml"), ("phases/1", "."), strict=True):
        config = Run(Path("runs/python/in-phases") / folder).config
        assert parse_objective(phase["objective"]) == parse_objective(config["objective"])
        assert all(config["training"][name] == value for name, value in phase.items() if name != "objective")


def test_the_page_of_scikit_learn_runs_and_tells_what_one_tree_loses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, churn_folder: Path
) -> None:
    *of_customers, of_flowers = blocks(read("docs/scikit-learn.md"), "python")
    monkeypatch.chdir(tmp_path)
    program = "\n".join(of_customers).replace("../shared/data/churn", str(churn_folder))
    exec(compile(program, "docs/scikit-learn.md", "exec"), found := {})
    assert found["tree"].student_.network.trees.leaf_count <= 12
    assert -0.05 < found["lost"].low < found["lost"].high < 0.1
    assert found["search"].best_params_["student_arguments__leaves"] in (4, 12)
    assert Path("runs/skl/export/model.py").exists()
    exec(compile(of_flowers, "docs/scikit-learn.md", "exec"), found := {})
    assert found["single"].get_n_leaves() > 4


def test_boosted_trees_of_prices_become_a_network_and_a_smaller_booster_as_the_page_says(
    instar: Callable[..., tuple[int, str, str]],
    diamonds_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("xgboost", reason="XGBoost is not installed")
    text = section("docs/regression.md", "XGBoost into a network, and into a smaller booster")
    (fit, program), (commands,) = blocks(text, "python"), blocks(text, "sh")
    here = lambda words: words.replace("../shared/data/diamonds", str(diamonds_folder))  # noqa: E731
    (tmp_path / "diamonds.py").write_text(here(fit).replace("n_estimators=300", "n_estimators=30"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    few = "--set data.subset=3000 --out"
    run_commands(here(commands).replace("--out", few).replace("rounds=50", "rounds=20"), instar)
    for name, least in (("price-network", 0.8), ("price-booster", 0.8)):
        metrics = Run(tmp_path / "runs" / name).metrics
        assert least < metrics["r2"] < metrics["teacher_r2"]
    few = here(program).replace('labels="numbers"', 'labels="numbers", subset=3000').replace("rounds=50", "rounds=5")
    exec(compile(few, "docs/regression.md", "exec"), found := {})
    sys.modules.pop("diamonds")
    assert found["booster"].result["trees"] == 5
