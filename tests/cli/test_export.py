"""`export` and `inspect` on the command line."""

import json
import shlex
from pathlib import Path

import numpy as np
import pytest
import torch

import instar as package

onnxruntime = pytest.importorskip("onnxruntime", reason="needs the extra export")

TRAIN = ["train", "digits", "--model", "mlp", "--arg", "widths=[16]", "--epochs", "2", "--set", "data.subset=300"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("refused") / "run"
    package.train("digits", package.models.MLP([16]), out=out, epochs=1)
    return out


def test_train_export_load_and_inspect_work_together(instar, tmp_path: Path) -> None:
    run = tmp_path / "[red]run"
    instar(*TRAIN, "--out", run)
    code, out, err = instar("export", run, "--to", "onnx", "--json")
    assert (code, err) == (0, "")
    written = json.loads(out)
    assert written["path"] == str(run / "export" / "model.onnx")
    assert written["bytes"] == (run / "export" / "model.onnx").stat().st_size
    assert 0 <= written["difference"] <= written["tolerance"] == 1e-4

    raw = package.load_data("digits").test.inputs()[:50]
    session = onnxruntime.InferenceSession(written["path"], providers=["CPUExecutionProvider"])
    with torch.no_grad():
        expected = package.load(run)(raw).numpy()
    np.testing.assert_allclose(session.run(None, {"inputs": raw.numpy()})[0], expected, atol=1e-5)

    for to in ("safetensors", "torchscript", "hub"):
        code, out, _ = instar("export", run, "--to", to)
        assert code == 0
        assert "logits differ by at most" in out
    model = package.load(run / "export" / "hub")
    with torch.no_grad():
        np.testing.assert_array_equal(model(raw).numpy(), expected)

    code, out, _ = instar("inspect", run)
    assert code == 0
    assert out.startswith(f"{run}  complete"[:40])
    for wanted in ("[red]run", "1,210", "HardLabels", "test error", "mlp(widths=[16])", "instar export"):
        assert wanted in out
    code, out, _ = instar("inspect", run, "--json")
    assert json.loads(out)["state"] == "complete"

    (run / "weights.safetensors").write_bytes(b"\x00" * 20)
    code, out, _ = instar("inspect", run)
    assert code == 0
    assert "damaged" in out
    assert "unreadable or truncated" in out


def test_what_inspect_suggests_can_be_given_as_it_stands(
    instar, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = Path("some text")
    folder.mkdir()
    for split in ("train", "test"):
        (folder / f"{split}.txt").write_text("the cat sat\nthe dog ran\n" * 20)
    train = ["train", folder, "--set", "data.length=5", "--set", "training.batch_size=4", "--epochs", "1"]
    runs = [Path("some runs") / name for name in ("one", "two")]
    for run in runs:
        instar(*train, "--model", "lstm", "--arg", "units=8", "--seed", str(runs.index(run)), "--out", run)
    package.ensemble(runs, out="some runs/both")
    for run in (runs[0], Path("some runs/both")):
        commands = json.loads(instar("inspect", run, "--json")[1])["commands"]
        verbs = [command.split()[1] for command in commands]
        kinds = ["evaluate", "distill", "label", "report"]
        assert verbs == (kinds if run.name == "both" else [*kinds[:1], "export", *kinds[1:]])
        for command in commands:
            code, _, err = instar(*shlex.split(command)[1:])
            assert code == 0, (command, err)


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (
            ["--to", "onnx", "--tolerance", "0"],
            "in a logit of a test sample, and the tolerance is 0; nothing was written",
        ),
        (["--to", "onnx", "--tolerance", "-1"], "tolerance must be at least 0, got -1"),
        (
            ["--to", "tflite"],
            "format 'tflite' is unknown; known are: c, hub, onnx, python, rules, safetensors, scikit-learn, "
            "torchscript, transformers",
        ),
        (["--to", "hub", "--data", "nowhere"], "'nowhere' is not a folder"),
        (["--to", "safetensors", "--out", "."], "'.' is a folder; give the path of a file to write"),
    ],
)
def test_refusals_are_one_sentence_and_leave_nothing(instar, trained: Path, flags: list[str], sentence: str) -> None:
    before = sorted(trained.rglob("*"))
    code, out, err = instar("export", trained, *flags)
    assert (code, out) == (2, "")
    assert sentence in err
    assert err.count("\n") == 1
    assert sorted(trained.rglob("*")) == before
