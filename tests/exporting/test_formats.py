"""Exports: each format predicts raw inputs as the model of the run does, or nothing is written."""

import json
import subprocess
import sys

import numpy as np
import pytest
import safetensors.torch
import torch
from tests.models.llama import save_llama
from torch import nn

import instar
from instar.config import DataConfig
from instar.data import Data, Samples, Source, load_data
from instar.data.text import cut_windows
from instar.errors import ConfigError, MismatchError, RunError
from instar.models import LSTM, MLP, CharacterLSTM, DenseNet, FrameNet, WideResNet
from instar.procedures.correct_bias import correct_bias
from instar.procedures.ensemble import ensemble
from instar.procedures.export import export
from instar.procedures.load import load
from instar.procedures.train import train

onnxruntime = pytest.importorskip("onnxruntime", reason="needs the extra export")

NAMES = ("<b>nought</b>", "line\nbreak", "pipe|`tick`", "---", *(f"class {number}" for number in range(4, 10)))


def pixels_of(samples):
    source = samples.source
    raw = (source.inputs * 255).round().to(torch.uint8)
    return Samples.all_of(Source("pixels", raw, source.labels, NAMES))


DIGITS = load_data("digits")
PIXELS = Data(DataConfig(source="arrays"), pixels_of(DIGITS.train), None, pixels_of(DIGITS.test))
RAW = PIXELS.test.inputs()[20:31]
SETTINGS = {"epochs": 1, "learning_rate": 0.01}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    return train(PIXELS, MLP([16]), out=tmp_path_factory.mktemp("trained") / "run", **SETTINGS)


def by_hand(model, raw):
    """Normalise in float64 with NumPy, then call the inner network."""
    mean, std = (tensor.double().numpy() for tensor in (model.mean, model.std))
    with torch.no_grad():
        return model.network(torch.from_numpy((raw.numpy() / 255 - mean) / std).float()).numpy()


def run_onnx(path, raw):
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (given,), (left,) = session.get_inputs(), session.get_outputs()
    (logits,) = session.run([left.name], {given.name: raw.numpy()})
    return logits, given, session.get_modelmeta().custom_metadata_map


def names_in(folder):
    return sorted(path.name for path in folder.rglob("*"))


@pytest.mark.parametrize(
    "model",
    [WideResNet(10, 1), DenseNet(10, 4)],
    ids=lambda model: type(model).__name__,
)
def test_onnx_takes_raw_pixels_in_batches_of_any_size(model, tmp_path):
    run = train(PIXELS.select(subset=128), model, out=tmp_path / "run", **SETTINGS)
    written = export(run, "onnx", data=PIXELS)
    assert written.difference < 1e-5
    for size in (1, 4, 11):
        logits, given, metadata = run_onnx(written.path, RAW[:size])
        np.testing.assert_allclose(logits, by_hand(run.model, RAW[:size]), atol=1e-4)
    assert (given.type, given.shape) == ("tensor(uint8)", ["batch", 1, 8, 8])
    assert tuple(json.loads(metadata["classes"])) == NAMES
    content = (tmp_path / "run/export/model.onnx").read_bytes()
    assert str(tmp_path).encode() not in content
    assert b".py" not in content
    assert names_in(tmp_path / "run/export") == ["model.onnx"]


def test_torchscript_predicts_without_instar(trained, tmp_path):
    written = export(trained, "torchscript", out=tmp_path / "model.pt", data=PIXELS)
    torch.save(RAW, tmp_path / "raw.pt")
    program = (
        "import json, sys, torch\n"
        "extra = {'classes.json': ''}\n"
        "model = torch.jit.load(sys.argv[1], _extra_files=extra)\n"
        "raw = torch.load(sys.argv[2], weights_only=True)\n"
        "logits = [model(raw[:size]).tolist() for size in (1, 11)]\n"
        "assert 'instar' not in sys.modules\n"
        "print(json.dumps([logits, json.loads(extra['classes.json'])]))\n"
    )
    command = [sys.executable, "-W", "ignore", "-c", program, written.path, str(tmp_path / "raw.pt")]
    (one, eleven), names = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    np.testing.assert_allclose(eleven, by_hand(trained.model, RAW), atol=1e-4)
    np.testing.assert_allclose(one, eleven[:1], atol=1e-5)
    assert tuple(names) == NAMES


@pytest.mark.parametrize("to", ["safetensors", "hub"])
def test_what_is_loaded_is_the_model_bit_for_bit(to, trained, tmp_path):
    written = export(trained, to, out=tmp_path / "there", data=PIXELS, tolerance=0.0)
    model, again = load(written.path), instar.load(trained.path)
    for name, tensor in trained.model.state_dict().items():
        assert torch.equal(model.state_dict()[name], tensor)
        assert torch.equal(again.state_dict()[name], tensor)
    assert not model.training
    with torch.no_grad():
        assert torch.equal(model(RAW), trained.model(RAW))
        assert torch.equal(again(RAW), trained.model(RAW))
    file = tmp_path / "there" / "model.safetensors" if to == "hub" else tmp_path / "there"
    plain = safetensors.torch.load_file(file)
    assert plain.keys() == trained.model.state_dict().keys()
    assert sum(tensor.numel() for name, tensor in plain.items() if name.startswith("network.")) == 64 * 16 + 16 + 170


def test_weights_that_were_changed_after_the_export_are_refused(trained, tmp_path):
    folder = tmp_path / "hub"
    export(trained, "hub", out=folder, data=PIXELS)
    content = bytearray((folder / "model.safetensors").read_bytes())
    content[-1] ^= 1
    (folder / "model.safetensors").write_bytes(content)
    with pytest.raises(RunError, match=r"model\.safetensors' is damaged: its SHA-256 is"):
        load(folder)


def test_a_shift_of_logits_is_exported_with_the_model(trained, tmp_path):
    corrected = correct_bias(trained, ["---"], offset=2.5, out=tmp_path / "corrected", data=PIXELS)
    logits, *_ = run_onnx(export(corrected, "onnx", data=PIXELS).path, RAW)
    moved = logits - by_hand(trained.model, RAW)
    np.testing.assert_allclose(moved, 2.5 * np.eye(10)[3] * np.ones((11, 1)), atol=1e-4)


def text_and_frames():
    random = np.random.default_rng(0)
    tokens = [cut_windows("text", random.integers(0, 5, 90).astype(np.int32), tuple("abcde"), end=0, length=6)] * 2
    frames = random.standard_normal((20, 6, 3)).astype(np.float32)
    labels = torch.from_numpy(random.integers(0, 5, (20, 6)))
    recorded = [Source("frames", torch.from_numpy(frames), labels, tuple("abcde"))] * 2
    for sources, model in (
        (tokens, LSTM(6, 2)),
        (tokens, CharacterLSTM(6, 2, filters=[(1, 3), (2, 4)])),
        (recorded, FrameNet([8], (2, 1))),
    ):
        yield Data(DataConfig(source="arrays"), *(Samples.all_of(source) for source in (*sources, sources[0]))), model


@pytest.mark.filterwarnings("ignore:`torch.jit.load` is deprecated")  # this is what a reader without Instar calls
@pytest.mark.parametrize(("data", "model"), list(text_and_frames()), ids=["lstm", "character-lstm", "frame-net"])
def test_positions_may_be_any_number_in_every_format(data, model, tmp_path):
    run = train(data, model, out=tmp_path / "run", epochs=1, batch_size=4)
    written = {to: export(run, to, data=data) for to in ("onnx", "torchscript", "safetensors")}
    assert all("[batch, positions" in found.inputs for found in written.values())
    raw = torch.cat([data.test.inputs()[:3]] * 3, 1)[:, :11]
    with torch.no_grad():
        expected = run.model(raw)
    assert expected.shape == (3, 11, 5)
    np.testing.assert_allclose(run_onnx(written["onnx"].path, raw)[0], expected.numpy(), atol=1e-5)
    torch.testing.assert_close(torch.jit.load(written["torchscript"].path)(raw), expected)


class Spectrum(nn.Module):
    """A network with an operation that ONNX does not have."""

    def __init__(self):
        super().__init__()
        self.last = nn.Linear(8, 10)

    def forward(self, inputs):
        return self.last(torch.linalg.eigvals(inputs[:, 0]).abs())


class Branching(nn.Module):
    """A network with a Python branch on values."""

    def __init__(self):
        super().__init__()
        self.last = nn.Linear(64, 10)

    def forward(self, inputs):
        flat = inputs.flatten(1)
        return self.last(flat if flat.sum() > 0 else -flat)


@pytest.mark.parametrize(
    ("network", "to", "sentence"),
    [
        (Spectrum(), "onnx", r"onnx cannot hold model '.*Spectrum': operation aten\.linalg_eig"),
        (
            Branching(),
            "torchscript",
            r"torchscript cannot hold model '.*Branching': Converting a tensor to a Python bool",
        ),
        (Branching(), "hub", r"allow this with --trust"),
    ],
)
def test_what_a_format_cannot_hold_is_refused_and_leaves_nothing(network, to, sentence, tmp_path):
    run = train(PIXELS.select(subset=64), network, out=tmp_path / "run", **SETTINGS)
    before = names_in(tmp_path)
    with pytest.raises((MismatchError, ConfigError), match=sentence) as refused:
        export(run, to, data=PIXELS)
    assert "\n" not in str(refused.value)
    assert names_in(tmp_path) == before


def test_a_run_that_has_no_model_or_other_data_is_refused(trained, tmp_path):
    runs = [train("digits", MLP([4]), out=tmp_path / str(seed), seed=seed, **SETTINGS) for seed in (0, 1)]
    both = ensemble(runs, out=tmp_path / "both")
    with pytest.raises(MismatchError, match="combines several models and has no weights of its own"):
        export(both, "onnx")
    with pytest.raises(MismatchError, match=r"expected the classes of '.*' \(.*\), found samples of other classes in"):
        export(runs[0], "safetensors", data=PIXELS)
    with pytest.raises(instar.InstarError, match="trained on arrays; pass them again"):
        export(trained, "safetensors")
    with pytest.raises(ConfigError, match="format 'onxx' is unknown; did you mean 'onnx'"):
        export(trained, "onxx")
    with pytest.raises(RunError, match="its header does not describe a model"):
        load(trained.weights)
    with pytest.raises(RunError, match="is not an empty folder"):
        export(trained, "hub", out=tmp_path, data=PIXELS)
    (tmp_path / "0" / "result.json").unlink()
    with pytest.raises(RunError, match="is not complete"):
        load(tmp_path / "0")


def test_an_exported_transformers_model_does_not_need_its_folder(tmp_path):
    pytest.importorskip("transformers", reason="needs the extra transformers")
    save_llama(tmp_path / "llama")
    data, _ = next(text_and_frames())
    run = train(data, f"transformers:{tmp_path / 'llama'}", out=tmp_path / "run", epochs=1, batch_size=4)
    expected = run.model
    export(run, "hub", out=tmp_path / "hub", data=data, tolerance=0.0)
    (tmp_path / "llama").rename(tmp_path / "gone")
    raw = data.test.inputs()[:3]
    with pytest.raises(ConfigError, match="transformers cannot load"):
        load(tmp_path / "run")
    with torch.no_grad():
        assert torch.equal(load(tmp_path / "hub")(raw), expected(raw))
