"""Audio classifiers of Transformers, teaching and learning, are their own pipelines on recordings of any length."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import instar
from instar.data import Data, Loader, load_data
from instar.errors import ConfigError, DataError, MismatchError
from instar.models import FrameNet
from instar.models.audio_classifier import AudioClassifier
from instar.models.feature_extractor import extractor_reader
from instar.models.readers import Extracted, parse_reader

transformers = pytest.importorskip("transformers", reason="needs the extra transformers")
pytest.importorskip("soundfile", reason="needs the extra speech")

NAMES = ("yes", "no")  # the data have them in this order too, and the model in the other
RATE = 8000
WAVES = [
    np.random.default_rng(at).integers(-9000, 9000, length, dtype=np.int16)
    for at, length in enumerate((5000, 5600, 7200, 5600, 6400, 8000))
]
LABELS: dict[str, Any] = {"id2label": {0: "no", 1: "yes"}, "label2id": {"no": 0, "yes": 1}}
WAVE_MODEL: dict[str, Any] = {
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "conv_dim": [8, 8],
    "conv_stride": [5, 4],
    "conv_kernel": [10, 8],
    "num_feat_extract_layers": 2,
    "num_conv_pos_embeddings": 8,
    "num_conv_pos_embedding_groups": 2,
    "classifier_proj_size": 8,
}


def make_model(kind: str) -> tuple[Any, Any]:
    if kind == "spectrogram":  # all recordings get one length
        config = transformers.ASTConfig(
            hidden_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=16,
            max_length=64,
            num_mel_bins=32,
            **LABELS,
        )
        extractor = transformers.ASTFeatureExtractor(max_length=64, num_mel_bins=32, sampling_rate=RATE)
        return transformers.ASTForAudioClassification(config), extractor
    # a group normalisation takes the whole length, so its mask does not hide padding
    has_mask = kind == "wave with a mask"
    norm = {"feat_extract_norm": "layer", "do_stable_layer_norm": True, "conv_bias": True} if has_mask else {}
    config = transformers.Wav2Vec2Config(**WAVE_MODEL, **norm, **LABELS)
    extractor = transformers.Wav2Vec2FeatureExtractor(sampling_rate=RATE, return_attention_mask=has_mask)
    return transformers.Wav2Vec2ForSequenceClassification(config), extractor


@pytest.fixture(params=["wave", "wave with a mask", "spectrogram"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    torch.manual_seed(0)
    model, extractor = make_model(request.param)
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(3 if weight.dim() > 1 else 1)  # logits that differ
    model.save_pretrained(tmp_path / "model")
    extractor.save_pretrained(tmp_path / "model")
    return tmp_path / "model"


@pytest.fixture
def data(tmp_path: Path, write_recordings: Callable[..., Path]) -> Data:
    folder = write_recordings(tmp_path / "data", {"train": WAVES, "test": WAVES}, RATE)
    return load_data(folder, label_column="word", states=0, validation=0)


def by_pipeline(folder: Path) -> torch.Tensor:
    """Return the probabilities of Transformers' own pipeline, one recording after the other."""
    pipeline = transformers.pipeline("audio-classification", model=str(folder), top_k=None)
    rows = []
    for wave in WAVES:
        found = pipeline({"raw": (wave / 32768).astype(np.float32), "sampling_rate": RATE})
        scores = {one["label"]: one["score"] for one in found}
        rows.append([scores[name] for name in NAMES])
    return torch.tensor(rows)


def test_a_teacher_is_its_own_pipeline_and_padding_changes_no_answer(folder: Path, data: Data) -> None:
    wanted = by_pipeline(folder)
    assert (wanted[:, 0] - wanted[0, 0]).abs().max() > 1e-4
    teacher = instar.ForeignTeacher(f"transformers:{folder}").make(trust=False)
    assert teacher.classes == ("no", "yes")
    for size in (6, 1):
        batches = Loader(data.test, size, seed=0).in_order()
        found = torch.cat([teacher.targets(batch).log_probs(1.0) for batch in batches]).exp()
        torch.testing.assert_close(found.flip(1), wanted, rtol=0, atol=1e-5)
    network = teacher.network.network
    assert isinstance(network, AudioClassifier)
    has_mask = json.loads((folder / "preprocessor_config.json").read_text())["return_attention_mask"]
    assert network.ignores_padding == has_mask


def test_it_teaches_a_model_of_frames_and_learns_and_is_given_back(folder: Path, data: Data, tmp_path: Path) -> None:
    settings: dict[str, Any] = {"epochs": 1, "batch_size": 3}
    small = instar.distill(data, f"transformers:{folder}", FrameNet([8]), out=tmp_path / "small", **settings)
    assert small.metrics["agreement"] is not None
    tuned = instar.train(data, f"transformers:{folder}", out=tmp_path / "tuned", **settings)
    reader = parse_reader(tuned.config["reader"])
    assert isinstance(reader, Extracted)
    assert reader == extractor_reader(str(folder))
    # the run needs the weights of the folder no more
    weights = (folder / "model.safetensors").rename(tmp_path / "away")
    instar.export(tuned, to="transformers", out=tmp_path / "exported")
    weights.rename(folder / "model.safetensors")
    found = by_pipeline(tmp_path / "exported")
    files = [tmp_path / f"{at}.wav" for at in range(len(WAVES))]
    for file, wave in zip(files, WAVES, strict=True):
        import soundfile

        soundfile.write(file, wave, RATE)
    torch.testing.assert_close(torch.from_numpy(instar.predict_proba(tuned, files)), found, rtol=0, atol=1e-5)
    assert instar.evaluate(tuned)["errors"] == tuned.metrics["errors"]


@pytest.mark.parametrize("kind", ["wave", "wave with a mask"])
def test_onnx_holds_what_ignores_padding_and_another_is_refused(
    kind: str, data: Data, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    onnxruntime = pytest.importorskip("onnxruntime", reason="needs the extra export")
    for part in make_model(kind):
        part.save_pretrained(tmp_path / "model")
    run = instar.train(data, f"transformers:{tmp_path / 'model'}", out=tmp_path / "run", epochs=1, batch_size=3)
    assert {layer.name: layer.shape for layer in instar.layers(run).layers}["model.classifier"] == (2,)
    capfd.readouterr()
    if kind == "wave":
        with pytest.raises(MismatchError, match=r"padding changes its logits, .* use --to transformers or hub\."):
            instar.export(run, to="onnx", out=tmp_path / "model.onnx")
        assert "torch" not in capfd.readouterr().err
        return
    instar.export(run, to="onnx", out=tmp_path / "model.onnx")
    assert capfd.readouterr().err == ""
    session, model = onnxruntime.InferenceSession(tmp_path / "model.onnx"), instar.load(run)
    batch = next(iter(Loader(data.test, 6, seed=0).in_order()))
    padded = {name: tensor.numpy() for name, tensor in batch.read(model.reader).items()}
    assert not padded["attention_mask"].all()
    [found] = session.run(None, padded)
    for row, (values, mask) in enumerate(zip(*padded.values(), strict=True)):
        alone = {"input_values": torch.from_numpy(values[mask])[None], "attention_mask": torch.ones(1, mask.sum()) > 0}
        with torch.no_grad():
            np.testing.assert_allclose(found[row], model(alone)[0], atol=1e-5)


def test_training_is_the_same_after_numpy_has_drawn(tmp_path: Path) -> None:
    model, _ = make_model("wave")
    model.save_pretrained(tmp_path)
    network = AudioClassifier(str(tmp_path)).train()
    values = torch.rand(2, 8000)
    found = []
    for seed in (0, 1):
        torch.manual_seed(0)
        np.random.seed(seed)  # Transformers masks stretches of time by it
        state = np.random.get_state()[1].copy()
        found.append(network(input_values=values))
        assert (np.random.get_state()[1] == state).all()
    assert torch.equal(*found)


def test_what_does_not_fit_is_refused_in_a_sentence(
    tmp_path: Path, data: Data, write_recordings: Callable[..., Path]
) -> None:
    model, extractor = make_model("wave")
    model.save_pretrained(tmp_path / "model")
    extractor.sampling_rate = 16000
    extractor.save_pretrained(tmp_path / "model")
    name = f"transformers:{tmp_path / 'model'}"
    message = r"takes recordings of 16000 Hz, and these have 8000 Hz; set data\.sample_rate=16000 to resample them\."
    with pytest.raises(MismatchError, match=message):
        instar.train(data, name, out=tmp_path / "run", epochs=1)
    with pytest.raises(MismatchError, match="change frames, and the student reads the sound; leave them out"):
        instar.train(data, name, out=tmp_path / "run", epochs=1, views="Speed(0.1)")
    words = load_data(tmp_path / "data", label_column="word", validation=0)
    with pytest.raises(DataError, match=r"has no sound to read; load recordings with data\.states=0\."):
        instar.train(words, name, out=tmp_path / "run", epochs=1)
    for settings, reason in (
        ("{}", "no feature extractor 'None' of sound"),
        ('{"feature_extractor_type": "AutoModel"}', "no feature extractor 'AutoModel' of sound"),
        ("no", "must be JSON"),
    ):
        with pytest.raises(ConfigError, match=reason):
            Extracted(settings)
