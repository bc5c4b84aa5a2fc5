"""A stranger's folder runs nothing: whatever its files name, whatever verb reads it, whatever stdin says."""

import builtins
import io
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

import instar as package
from instar.data import load_data
from instar.errors import ConfigError, InstarError
from instar.foreign import from_pretrained
from instar.models import CausalLM
from instar.runs.files import read_json, read_tensors, write_json, write_tensors
from instar.runs.run import Run

transformers = pytest.importorskip("transformers", reason="needs the extra transformers")

LLAMA = {
    "vocab_size": 4,
    "hidden_size": 8,
    "intermediate_size": 8,
    "num_hidden_layers": 1,
    "num_attention_heads": 1,
    "max_position_embeddings": 12,
}
CODE = "import pathlib\npathlib.Path({marker!r}).touch()\nraise SystemExit('ran')\n"


class Hostile:
    """Folders whose code would leave a marker."""

    def __init__(self, root: Path, honest: Path) -> None:
        self.root, self.honest, self.marker = root, honest, root / "ran"

    def code(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(CODE.format(marker=str(self.marker)))

    def model(self, **settings: object) -> Path:
        """Return a folder whose model, tokenizer and processor are classes in files of its own."""
        folder = self.root / "model"
        for name in ("configuration_evil", "modeling_evil", "tokenization_evil", "processing_evil"):
            self.code(folder / f"{name}.py")
        classes = {
            "AutoConfig": "configuration_evil.Config",
            "AutoModelForCausalLM": "modeling_evil.Model",
            "AutoTokenizer": ["tokenization_evil.Slow", "tokenization_evil.Fast"],
            "AutoProcessor": "processing_evil.Processor",
        }
        write_json(folder / "config.json", {"model_type": "evil", "auto_map": classes, **settings})
        write_json(folder / "tokenizer_config.json", {"tokenizer_class": "Evil", "auto_map": classes})
        write_json(folder / "processor_config.json", {"processor_class": "Evil", "auto_map": classes})
        torch.save({"weight": torch.zeros(1)}, folder / "pytorch_model.bin")
        return folder

    def run(self, folder: str, /, **described: object) -> Path:
        """Return a complete run whose model.json says something else."""
        path = Path(shutil.copytree(self.honest, self.root / folder))
        description = path / "model.json"
        write_json(description, read_json(description) | described)  # a stranger can make checksums too
        result = path / "result.json"
        write_json(result, read_json(result) | {"files": Run(path).checksums()})
        return path


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("honest") / "run"
    return package.train(load_data("digits", subset=32), package.models.MLP([2]), out=folder, epochs=1).path


@pytest.fixture(params=["y\n" * 20, None], ids=["yes", "closed"])
def hostile(
    request: pytest.FixtureRequest, tmp_path: Path, honest: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Hostile]:
    monkeypatch.setenv("HF_MODULES_CACHE", str(tmp_path / "modules"))
    stdin = io.StringIO(request.param or "")
    if request.param is None:
        stdin.close()
    monkeypatch.setattr(sys, "stdin", stdin)
    asked: list[object] = []
    original: Callable[..., str] = builtins.input
    monkeypatch.setattr(builtins, "input", lambda *words: asked.append(words) or original(*words))
    made = Hostile(tmp_path, honest)
    yield made
    assert not made.marker.exists()
    assert not asked


@pytest.mark.parametrize("kind", ["AutoConfig", "AutoTokenizer", "AutoProcessor"])
def test_no_loader_of_transformers_runs_code_that_lies_in_the_folder(hostile: Hostile, kind: str) -> None:
    with pytest.raises(
        ConfigError, match="Instar does not run its code; load it yourself and pass it as a Python object"
    ):
        from_pretrained(kind, str(hostile.model()), "model")


@pytest.mark.parametrize("settings", [{}, {"model_type": "llama", **LLAMA}], ids=["own", "llama"])
@pytest.mark.parametrize("pretrained", [True, False])
def test_a_language_model_runs_nothing(hostile: Hostile, settings: dict[str, object], pretrained: bool) -> None:
    with pytest.raises(InstarError, match="transformers cannot load"):
        CausalLM(str(hostile.model(**settings)), pretrained=pretrained)


@pytest.mark.parametrize("setting", ["attn_implementation", "experts_implementation"])
def test_a_kernel_of_the_hub_is_code_too(hostile: Hostile, setting: str) -> None:
    folder = hostile.model(model_type="llama", **LLAMA, **{setting: "evil/kernel"})
    with pytest.raises(ConfigError, match=f"needs a kernel from the Hub \\({setting} 'evil/kernel'\\), which is code"):
        CausalLM(str(folder), pretrained=False)


def test_no_verb_runs_what_a_run_folder_names(hostile: Hostile, instar, tmp_path: Path) -> None:
    hostile.code(tmp_path / "evil.py")
    model = hostile.model()
    names = ("evil:Net", "os:system", f"transformers:{model}")
    for number, name in enumerate(names):
        run = hostile.run(f"run{number}", name=name, arguments={})
        for command in (
            ["inspect", run],
            ["evaluate", run],
            ["export", run, "--to", "safetensors"],
            ["distill", "digits", "--teacher", run, "--model", "mlp", "--out", tmp_path / "student"],
            ["label", "digits", "--teacher", run, "--out", tmp_path / "store"],
            ["compare", run, run],
            ["report", run],
        ):
            code, _, err = instar(*command)
            assert code == (0 if command[0] in {"inspect", "report"} else 2), (command, err)
            assert "Traceback" not in err
        with pytest.raises(ConfigError):
            package.load(run)


@pytest.mark.parametrize("settings", [{"objective": "evil:Term()"}, {"views": "evil:View() + Flip()"}], ids=str)
def test_no_verb_imports_a_term_or_a_view_that_a_run_folder_names(
    hostile: Hostile, instar, tmp_path: Path, settings: dict[str, str]
) -> None:
    hostile.code(tmp_path / "evil.py")
    run = hostile.run("run")
    config = read_json(run / "config.json")
    write_json(run / "config.json", config | {"config": config["config"] | settings})
    result = read_json(run / "result.json")
    write_json(run / "result.json", result | {"files": Run(run).checksums()})
    (name, text) = next(iter(settings.items()))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        patch.setattr(sys, "path", ["", *sys.path])  # where evil could be imported from
        for verb in (["inspect", run], ["report", run], ["evaluate", run], ["export", run, "--to", "safetensors"]):
            assert instar(*verb)[0] == 0, verb
        settings_file = tmp_path / "settings.yaml"
        settings_file.write_text(f"{name}: {text}")
        code, _, err = instar("train", "digits", "--model", "cnn", "--config", settings_file, "--out", tmp_path / "out")
        assert (code, "allow this with --trust" in err) == (2, True)


def test_no_verb_imports_a_reader_that_a_run_folder_names(hostile: Hostile, instar, tmp_path: Path) -> None:
    hostile.code(tmp_path / "evil.py")
    run = hostile.run("run", reader="evil:Reader()")
    student = ["digits", "--teacher", run, "--model", "cnn", "--out", tmp_path / "student"]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        patch.setattr(sys, "path", ["", *sys.path])  # where evil could be imported from
        for verb in (["inspect", run], ["report", run]):
            assert instar(*verb)[0] == 0, verb
        for verb in (["evaluate", run], ["export", run, "--to", "safetensors"], ["distill", *student]):
            code, _, err = instar(*verb)
            assert (code, "allow this with --trust" in err) == (2, True), verb


def test_no_verb_imports_data_or_a_teacher_that_a_run_folder_names(hostile: Hostile, instar, tmp_path: Path) -> None:
    hostile.code(tmp_path / "evil.py")
    run = hostile.run("run")
    config = read_json(run / "config.json")
    data = config["config"]["data"] | {"source": "evil:load", "source_arguments": {"path": "x"}}
    write_json(
        run / "config.json", config | {"config": config["config"] | {"data": data, "teachers": ["evil:Teacher"]}}
    )
    result = read_json(run / "result.json")
    write_json(run / "result.json", result | {"files": Run(run).checksums()})
    out = ["--out", tmp_path / "out"]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        patch.setattr(sys, "path", ["", *sys.path])  # where evil could be imported from
        small = ["--model", "mlp", "--arg", "widths=[2]", "--epochs", "1"]
        student = ["distill", "digits", "--teacher", run, *small, "--out", tmp_path / "student"]
        for verb in (["inspect", run], ["report", run], student):
            assert instar(*verb)[0] == 0, verb
        for verb in (
            ["evaluate", run],
            ["export", run, "--to", "onnx"],
            ["correct-bias", run, "--class", "3", *out],
            ["ensemble", run, *out],
            ["specialists", "cluster", run],
            ["specialists", "train", run, "--clusters", "2", *out],
        ):
            code, _, err = instar(*verb)
            assert (code, "allow this with --trust" in err) == (2, True), (verb, err)
        settings = tmp_path / "settings.yaml"
        for text in ("data: {source: 'evil:load'}", "teachers: ['evil:Teacher']"):
            settings.write_text(text)
            data = ["digits"] if "teachers" in text else []
            code, _, err = instar("distill", *data, *small, "--config", settings, *out)
            assert code == 2, err


def test_naming_a_class_of_ones_own_does_not_trust_that_of_a_teacher(hostile: Hostile, instar, tmp_path: Path) -> None:
    hostile.code(tmp_path / "evil.py")
    (tmp_path / "my_net.py").write_text(
        "from torch import nn\n"
        "class Net(nn.Sequential):\n"
        "    def __init__(self, num_classes: int):\n"
        "        super().__init__(nn.Flatten(), nn.Linear(64, num_classes))\n"
    )
    run = hostile.run("run", name="evil:Net", arguments={})
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        patch.setattr(sys, "path", [*sys.path])
        flags = ["--model", "my_net:Net", "--epochs", "1", "--set", "data.subset=32"]
        assert instar("train", "digits", *flags, "--out", "mine")[0] == 0
        for verb in ("distill", "tune"):
            code, _, err = instar(verb, "digits", "--teacher", run, *flags, "--out", verb)
            assert code == 2
            assert "allow this with --trust" in err


def test_a_teacher_or_tokenizer_of_transformers_runs_nothing(hostile: Hostile, instar, tmp_path: Path) -> None:
    model = hostile.model()
    text = tmp_path / "text"
    text.mkdir()
    for split in ("train", "test"):
        (text / f"{split}.txt").write_text("a b\n" * 20)
    for flags in (["--teacher", f"transformers:{model}"], ["--set", f"data.tokenizer={model}", "--teacher", "nowhere"]):
        command = ["distill", text, *flags, "--model", "lstm", "--out", tmp_path / "student"]
        code, _, err = instar(*command)
        assert code == 2
        assert "Traceback" not in err


def test_the_header_of_an_export_runs_nothing(hostile: Hostile, instar, tmp_path: Path) -> None:
    hostile.code(tmp_path / "evil.py")
    run = hostile.run("run")
    written = Path(package.export(run, "safetensors").path)
    tensors, header = read_tensors(written)
    config = read_json(hostile.model() / "config.json")
    for change in ({"name": "evil:Net"}, {"name": "os:system"}, {"transformers": config, "arguments": {}}):
        write_tensors(tmp_path / "changed", tensors, header | {"model": header["model"] | change})
        with pytest.raises(InstarError):
            package.load(tmp_path / "changed")
        hub = tmp_path / "hub"
        hub.mkdir(exist_ok=True)
        (tmp_path / "changed").rename(hub / "model.safetensors")
        write_json(hub / "config.json", {"library_name": "instar", "auto_map": config["auto_map"]})
        with pytest.raises(InstarError):
            package.load(hub)
        assert instar("inspect", hub)[0] == 2


def test_a_script_of_a_data_set_runs_nothing(hostile: Hostile, instar, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    hostile.code(folder / "data.py")
    hostile.code(folder / "train.py")
    code, _, err = instar("train", folder, "--model", "mlp", "--out", tmp_path / "run")
    assert code == 2
    assert "cannot be loaded" in err


def test_files_where_the_command_is_given_are_not_imported(tmp_path: Path) -> None:
    hostile = Hostile(tmp_path, tmp_path)
    for name in ("torch", "yaml", "datasets", "numpy", "typer", "peft"):
        hostile.code(tmp_path / f"{name}.py")
    program = [sys.executable, "-P", "-m", "instar.cli", "inspect", "."]
    found = subprocess.run(program, cwd=tmp_path, capture_output=True, text=True, input="y\n", check=False)
    assert found.returncode == 2, found.stderr
    assert not hostile.marker.exists()
