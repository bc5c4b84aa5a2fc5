"""Labelled texts, end to end: words read once, batches padded to their longest, and the model that knows its words."""

import json

import numpy as np
import onnxruntime
import pytest
import torch
from torch import nn

import instar
from instar.data import Loader, load_data
from instar.errors import MismatchError
from instar.models import MLP, Bag, TextLSTM, TextTransformer
from instar.models.readers import Words
from instar.teachers import as_teacher

GOOD, BAD = ("fine", "moving", "warm"), ("dull", "tedious", "cold")
SETTINGS = {"epochs": 3, "batch_size": 8, "learning_rate": 0.05}


def make_texts(count):
    draws = np.random.default_rng(0)
    rows = []
    for number in range(count):
        words = [(BAD, GOOD)[number % 2][draws.integers(3)], *draws.choice(["the", "film", "is", "a", "plot"], 9)]
        rows.append({"text": " ".join(words[: draws.integers(1, 10)]), "label": ("bad", "good")[number % 2]})
    return rows


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("texts")
    rows = make_texts(120)
    (folder / "train.jsonl").write_text("\n".join(map(json.dumps, rows[:90])))
    (folder / "test.jsonl").write_text("\n".join(map(json.dumps, rows[90:])))
    return folder


@pytest.fixture(scope="module")
def data(folder):
    return load_data(str(folder))


@pytest.fixture(scope="module")
def teacher(data, tmp_path_factory):
    return instar.train(data, Bag(8), out=tmp_path_factory.mktemp("teacher") / "run", **SETTINGS)


def test_training_is_that_of_a_loop_that_pads_each_batch_by_hand(data, teacher):
    model = instar.load(teacher)
    known = {word: number for number, word in enumerate(model.reader.knowledge()["words"], 2)}
    torch.manual_seed(0)
    start = instar.train(data, Bag(8), out=teacher.path.parent / "start", **SETTINGS | {"epochs": 1})
    assert instar.load(start).reader == model.reader
    again = instar.train(data, Bag(8), out=teacher.path.parent / "again", **SETTINGS | {"micro_batches": 2})
    loader = Loader(data.train, 8, seed=0)
    batch = loader.batch(3)
    texts = data.train.source.texts("text").strings(batch.ids)
    rows = [[known.get(word, 1) for word in text.split()] for text in texts]
    padded = nn.utils.rnn.pad_sequence([torch.tensor(row) for row in rows], batch_first=True)
    read = batch.read(model.reader)
    assert torch.equal(read["input_ids"], padded)
    assert torch.equal(read["attention_mask"], padded > 0)
    by_hand = [model.network.embedding(torch.tensor(row)).mean(0) for row in rows]
    wanted = model.network.head(torch.stack(by_hand))
    torch.testing.assert_close(model(texts), wanted)
    # parts of a batch are padded to their own longest, which changes nothing
    torch.testing.assert_close(instar.load(again)(texts), wanted, rtol=1e-3, atol=1e-3)


def test_each_text_is_read_once_by_each_reader(folder, tmp_path, monkeypatch):
    calls = []
    encode = Words.encode
    monkeypatch.setattr(Words, "encode", lambda self, *texts: calls.append(len(texts[0])) or encode(self, *texts))
    data = load_data(str(folder))
    run = instar.train(data, "bag", out=tmp_path / "run", **SETTINGS)
    instar.distill(data, run, "bag", out=tmp_path / "student", **SETTINGS)  # reads as its teacher does
    assert calls == [90, 30]
    instar.distill(data, run, "bag", out=tmp_path / "other", reader=Words(3), **SETTINGS)
    assert calls == [90, 30] * 2


def test_a_student_reads_other_words_than_its_teacher_live_and_from_a_store(data, teacher, tmp_path):
    settings = {"reader": "Words(5, length=4)", **SETTINGS}
    live = instar.distill(data, teacher, Bag(4), out=tmp_path / "live", **settings)
    stored = instar.distill(data, teacher, Bag(4), out=tmp_path / "stored", targets="store", **settings)
    ours, theirs = instar.load(live), instar.load(stored)
    assert ours.network.embedding.weight.shape == (7, 4)
    assert len(ours.reader(["a b c d e f"])["input_ids"][0]) == 4
    torch.testing.assert_close(ours.network.embedding.weight, theirs.network.embedding.weight, rtol=1e-3, atol=1e-3)


def test_it_predicts_evaluates_and_continues(data, teacher, folder, tmp_path):
    found = instar.predict(teacher, ["A fine, warm film", "dull", ""])
    assert [one.label for one in found[:2]] == ["good", "bad"]
    assert found[0].name == "A fine, warm film"
    assert instar.predict(teacher, "dull")[0].label == "bad"
    with pytest.raises(MismatchError, match="takes texts; give a list of strings"):
        instar.predict(teacher, np.zeros((2, 3)))
    texts = [json.loads(line)["text"] for line in (folder / "test.jsonl").read_text().splitlines()]
    assert instar.predict(teacher, str(folder / "test.jsonl")) == instar.predict(teacher, texts)
    with pytest.raises(MismatchError, match=r"weights\.safetensors' is a file; give only texts, or one file of them"):
        instar.predict(teacher, str(teacher.path / "weights.safetensors"))
    assert instar.evaluate(teacher)["errors"] == teacher.metrics["errors"]
    more = instar.train(data.select(subset=40), Bag(8), out=tmp_path / "more", start=teacher, epochs=1)
    assert instar.load(more).reader == instar.load(teacher).reader
    assert as_teacher(more).fingerprint() != as_teacher(teacher).fingerprint()


def test_exports_take_texts_of_any_length_and_say_how_to_number_words(data, teacher, tmp_path):
    instar.export(teacher, "onnx", out=tmp_path / "model.onnx", data=data)
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    model = instar.load(teacher)
    for texts in (["fine"], ["the film is a dull plot " * 9, "warm"], ["", "is", "a film"]):
        read = {name: tensor.numpy() for name, tensor in model.reader(texts).items()}
        [logits] = session.run(["logits"], read)
        torch.testing.assert_close(torch.from_numpy(logits), model(texts), rtol=1e-5, atol=1e-5)
    metadata = session.get_modelmeta().custom_metadata_map
    assert "Lower-case a text" in metadata["inputs"]
    words = json.loads(metadata["instar"])["model"]["knowledge"]["words"]
    assert words == model.reader.knowledge()["words"]
    small = instar.export(teacher, "onnx", quantise="int8", out=tmp_path / "small.onnx", data=data)
    assert small.quantised is not None
    instar.export(teacher, "hub", out=tmp_path / "hub", data=data)
    assert torch.equal(instar.load(tmp_path / "hub")(["warm film"]), model(["warm film"]))
    card = (tmp_path / "hub" / "README.md").read_text()
    assert 'inputs = ["a text", "another"]' in card
    assert "pipeline_tag: text-classification" in card


@pytest.mark.parametrize("network", [TextLSTM(6, 5), TextTransformer(2, 8, 2)], ids=["lstm", "transformer"])
def test_other_students_learn_and_their_onnx_files_take_texts_of_any_length(data, teacher, network, tmp_path):
    settings = SETTINGS | {"epochs": 8, "learning_rate": 0.02}
    student = instar.distill(data, teacher, network, out=tmp_path / "run", **settings)
    assert student.metrics["error"] < 0.35
    instar.export(student, "onnx", out=tmp_path / "model.onnx", data=data)
    session, model = onnxruntime.InferenceSession(tmp_path / "model.onnx"), instar.load(student)
    for texts in (["fine"], ["the film is a dull plot " * 9, "warm"]):
        read = {name: tensor.numpy() for name, tensor in model.reader(texts).items()}
        [logits] = session.run(["logits"], read)
        torch.testing.assert_close(torch.from_numpy(logits), model(texts), rtol=1e-4, atol=1e-4)


def test_the_report_shows_the_texts(data, teacher, tmp_path):
    student = instar.distill(data, teacher, "bag", out=tmp_path / "student", **SETTINGS)
    page = instar.report([student.path], out=tmp_path / "report.html").read_text()
    texts = data.test.source.texts("text").strings()
    assert sum(json.dumps(text) in page for text in texts) > 20
    assert student.metrics["error"] < 0.5


def test_models_and_teachers_that_read_no_texts_are_refused(data, tmp_path):
    with pytest.raises(MismatchError, match="reads numbers, and the data have texts; models of texts: bag, text-lstm"):
        instar.train(data, MLP([4]), out=tmp_path / "mlp")
    with pytest.raises(MismatchError, match="reads words of texts, and the data have inputs"):
        instar.train("digits", "bag", out=tmp_path / "digits")
