"""An int8 file has the labels of the float file, almost always, and says how often; float files pass the quantisers."""

import json

import numpy as np
import pytest
import torch
from tests.models.llama import save_llama
from tests.models.tiny_classifier import write_model

import instar
from instar.config import DataConfig
from instar.data import Data, Samples
from instar.data.text import cut_windows
from instar.errors import ConfigError, MismatchError
from instar.exporting.quantisation import quantise_onnx
from instar.exporting.student import read_student
from instar.exporting.to_onnx import write_onnx
from instar.models import CNN, LSTM, MLP, CharacterLSTM, DenseNet

onnx = pytest.importorskip("onnx", reason="needs the extra export")
onnxruntime = pytest.importorskip("onnxruntime", reason="needs the extra export")

DIGITS = instar.load_data("digits")


@pytest.fixture(scope="module", params=["cnn", "mlp"])
def run(request, tmp_path_factory):
    model = CNN([4, 8], 16) if request.param == "cnn" else MLP([16])
    settings = {"epochs": 4, "learning_rate": 0.01, "show": False}
    return instar.train(DIGITS, model, out=tmp_path_factory.mktemp(request.param) / "run", **settings)


def predict(path, raw):
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    assert set(session.get_modelmeta().custom_metadata_map) >= {"classes", "instar"}
    return session.run(None, {"inputs": raw.numpy()})[0]


def test_an_int8_file_is_compared_with_the_float_file_and_the_labels(run, caplog):
    plain, small = instar.export(run, "onnx"), instar.export(run, "onnx", quantise="int8")
    # onnxruntime logs advice on stderr for graphs that it has not prepared
    assert not [one.getMessage() for one in caplog.records if one.levelname == "WARNING"]
    assert small.path == str(run.path / "export" / "model.int8.onnx")
    has_convolutions = run.config["model"]["name"] == "cnn"
    found = small.quantised
    assert found.method == ("static" if has_convolutions else "dynamic")
    assert (found.float_bytes, plain.quantised) == (plain.bytes, None)
    raw, labels = DIGITS.test.inputs(), DIGITS.test.labels.numpy()
    before, after = (predict(one.path, raw) for one in (plain, small))
    assert found.samples == len(labels)
    assert found.float_accuracy == pytest.approx((before.argmax(1) == labels).mean())
    assert found.accuracy == pytest.approx((after.argmax(1) == labels).mean(), abs=2 / len(labels))
    assert found.agreement == pytest.approx((before.argmax(1) == after.argmax(1)).mean(), abs=2 / len(labels))
    assert found.agreement > 0.95
    assert 0 < found.difference < 0.2 * np.abs(before).max()
    graph = onnx.load(small.path)
    assert any(weight.data_type == onnx.TensorProto.INT8 for weight in graph.graph.initializer)
    assert json.loads({p.key: p.value for p in graph.metadata_props}["quantised"]) == {
        "to": "int8",
        "method": found.method,
    }
    assert "accuracy" in str(small)


def test_the_float_file_passes_the_quantisers_of_onnxruntime(run, tmp_path):
    from onnxruntime import quantization

    path = instar.export(run, "onnx", out=tmp_path / "model.onnx").path
    quantization.quantize_dynamic(path, tmp_path / "dynamic.onnx")

    class Calibration(quantization.CalibrationDataReader):
        batches = iter([{"inputs": DIGITS.train.inputs()[:32].numpy()}])

        def get_next(self):
            return next(self.batches, None)

    quantization.quantize_static(path, tmp_path / "static.onnx", Calibration())
    predict(tmp_path / "static.onnx", DIGITS.test.inputs()[:5])


def test_a_model_with_a_reader_is_quantised_behind_it(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (60, 3, 12, 12), dtype=np.uint8)
    labels = np.arange(60) % 2
    pixels[labels == 1, :, :, 6:] //= 4
    data = instar.load_data((pixels, labels))
    run = instar.train(data, CNN([4], 8), out=tmp_path / "run", reader="Pixels(8)", epochs=2, show=False)
    found = instar.export(run, "onnx", quantise="int8", data=data)
    assert (found.inputs, found.quantised.samples) == ("uint8 [batch, 3, 8, 8]", len(data.test))


def text():
    random = np.random.default_rng(0)
    tokens = [cut_windows("text", random.integers(0, 5, 300).astype(np.int32), tuple("abcde"), end=0, length=6)] * 2
    return Data(DataConfig(source="arrays"), *(Samples.all_of(source) for source in (*tokens, tokens[0])))


def pictures():
    random, labels = np.random.default_rng(0), np.arange(90) % 3
    pixels = random.integers(0, 150, (90, 3, 32, 32))
    pixels[np.arange(90), labels] += 100
    return instar.load_data((pixels.astype(np.uint8), np.array(("cat", "dog", "owl"))[labels]))


FAMILIES = {
    "characters": (text, lambda _: CharacterLSTM(32, 2, filters=[(1, 3), (2, 4)]), "dynamic", 0.9),
    "dense": (pictures, lambda _: DenseNet(10, 4), "static", 0.9),
    "llama": (text, lambda folder: f"transformers:{save_llama(folder)}", "dynamic", 0.9),
    # its convolution, the embedding of patches, stays float and has most of its few weights
    "vision transformer": (pictures, lambda folder: f"transformers:{write_model(folder)}", "dynamic", 0.3),
}


@pytest.mark.parametrize("family", FAMILIES)
def test_each_kind_of_graph_passes_all_quantisers(family, tmp_path):
    from onnxruntime import quantization

    make, name_model, method, share = FAMILIES[family]
    if family in ("llama", "vision transformer"):
        pytest.importorskip("transformers", reason="needs the extra transformers")
    data = make()
    run = instar.train(data, name_model(tmp_path / "model"), out=tmp_path / "run", epochs=1, batch_size=16, show=False)
    student = read_student(run, data, tolerance=1e-4)
    before = write_onnx(student, tmp_path / "model.onnx")
    assert student.difference(before) < 1e-4
    raw = student.batches[0]
    (tmp_path / "float.onnx").write_bytes((tmp_path / "model.onnx").read_bytes())
    quantization.quantize_dynamic(tmp_path / "float.onnx", tmp_path / "dynamic.onnx")

    class Calibration(quantization.CalibrationDataReader):
        batches = iter([{"inputs": raw.numpy()}])

        def get_next(self):
            return next(self.batches, None)

    quantization.quantize_static(tmp_path / "float.onnx", tmp_path / "static.onnx", Calibration())
    expected = before(raw).numpy()
    found = quantise_onnx(student, tmp_path / "model.onnx", before)
    for name in ("dynamic", "static", "model"):
        np.testing.assert_allclose(predict(tmp_path / f"{name}.onnx", raw), expected, atol=0.1 * np.ptp(expected))
    assert (found.method, found.weights > share, found.agreement > 0.95) == (method, True, True), str(found)


def test_a_model_without_weights_to_quantise_is_refused(tmp_path):
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.PReLU(64), torch.nn.Unflatten(1, (1, 64)))
    network.append(torch.nn.AvgPool1d(6, 6))  # 10 logits
    network.append(torch.nn.Flatten())
    run = instar.train(DIGITS, network, out=tmp_path / "run", epochs=1, show=False)
    with pytest.raises(MismatchError, match=r"finds no weights of model '.*' that it can quantise; leave out --quant"):
        instar.export(run, "onnx", quantise="int8", network=network)
    assert not (run.path / "export").exists()


def test_only_onnx_is_quantised(run):
    with pytest.raises(ConfigError, match="needs the format onnx"):
        instar.export(run, "safetensors", quantise="int8")
    with pytest.raises(ConfigError, match="quantise must be"):
        instar.export(run, "onnx", quantise="int4")


def test_positions_are_compared_one_by_one(tmp_path):
    text = np.random.default_rng(0).integers(0, 5, (40, 9))
    data = instar.load_data((text[:, :-1], text[:, 1:]))
    run = instar.train(data, LSTM(8, layers=1), out=tmp_path / "run", epochs=1, show=False)
    found = instar.export(run, "onnx", quantise="int8", data=data).quantised
    assert (found.method, found.samples) == ("dynamic", len(data.test) * 8)
    assert torch.isfinite(torch.tensor(found.difference))


def test_the_command_quantises(instar, run):
    code, out, err = instar("export", run.path, "--to", "onnx", "--quantise", "int8", "--json")
    assert (code, err) == (0, "")
    assert json.loads(out)["quantised"]["agreement"] > 0.95
