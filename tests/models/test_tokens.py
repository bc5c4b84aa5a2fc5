"""Texts read by a tokenizer of Transformers: classifiers as teachers and students, and back to Transformers."""

import json
import shutil

import numpy as np
import pytest
import torch
from tests.models.tiny_texts import WORDS, write_classifier, write_tokenizer

import instar
from instar.data import Loader, load_data
from instar.errors import MismatchError
from instar.models.readers import Tokens
from instar.teachers import as_teacher

transformers = pytest.importorskip("transformers", reason="needs the extra transformers")

ODD = ["", "good " * 40, "你好", "МИР!", "xyzzy\n\n", "\ufeffThe film"]
DRAWS = np.random.default_rng(0)
TEXTS = ODD + [" ".join(DRAWS.choice(WORDS, DRAWS.integers(1, 15))) for _ in range(54)]
LABELS = ["good" if "good" in text else "bad" for text in TEXTS]


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    """40 training and 20 test samples."""
    folder = tmp_path_factory.mktemp("films")
    rows = [json.dumps({"text": text, "label": label}) for text, label in zip(TEXTS, LABELS, strict=True)]
    (folder / "train.jsonl").write_text("\n".join(rows[:40]))
    (folder / "test.jsonl").write_text("\n".join(rows[40:] + rows[:6]))
    return load_data(folder, validation=0)


def pipeline_scores(folder, texts):
    """The probabilities of Transformers' own pipeline in the order bad, good."""
    made = transformers.pipeline("text-classification", str(folder), top_k=None, function_to_apply="softmax")
    found = made(texts, truncation=True)
    return np.array(
        [[{one["label"]: one["score"] for one in each}[name] for name in ("bad", "good")] for each in found]
    )


@pytest.mark.parametrize("kind", ["bert", "roberta"])
def test_a_teacher_is_its_own_pipeline_for_every_text(tmp_path, films, kind):
    folder = write_classifier(tmp_path / "model", kind=kind)
    teacher, texts = as_teacher(f"transformers:{folder}"), films.test.source.input_texts[0].strings()
    found = torch.cat([teacher.targets(one).log_probs(1).exp() for one in Loader(films.test, 9, seed=0).in_order()])
    # the pipeline cuts no text where the tokenizer has no limit, and the model fails
    short = [at for at, text in enumerate(texts) if kind == "bert" or len(text.split()) < 9]
    expected = pipeline_scores(folder, [texts[at] for at in short])
    np.testing.assert_allclose(found[short][:, [1, 0]], expected, atol=1e-5)
    for row in range(len(texts)):  # without padding
        (alone,) = Loader(films.test.select(torch.tensor([row])), 1, seed=0).in_order()
        torch.testing.assert_close(teacher.targets(alone).log_probs(1).exp(), found[row : row + 1])
    assert instar.evaluate(f"transformers:{folder}", data=films)["samples"] == len(texts)


def test_a_student_of_fewer_layers_returns_to_its_pipeline_without_its_folder(tmp_path, films):
    folder = write_classifier(tmp_path / "model")
    student = instar.distill(
        films, f"transformers:{folder}", f"transformers:{folder}", out=tmp_path / "run", epochs=2, learning_rate=0.01
    )
    scores = instar.predict_proba(tmp_path / "run", TEXTS)
    written = instar.export(student, to="transformers", out=tmp_path / "export", data=films)
    np.testing.assert_allclose(scores, pipeline_scores(written.path, TEXTS), atol=1e-5)
    logits = instar.load(tmp_path / "run")(TEXTS)
    np.testing.assert_allclose(logits.softmax(1).detach(), scores, atol=1e-6)
    hub = instar.export(student, to="hub", out=tmp_path / "hub", data=films)
    shutil.rmtree(folder)
    torch.testing.assert_close(instar.load(hub.path)(TEXTS), logits)


def test_teacher_and_student_read_with_tokenizers_of_their_own(tmp_path, films):
    folder = write_classifier(tmp_path / "model")
    student = instar.distill(films, f"transformers:{folder}", "bag", out=tmp_path / "bag", epochs=1)
    assert instar.predict(student, ["a good film"])[0].label in ("good", "bad")
    reader = Tokens(str(folder), length=5)
    with pytest.raises(MismatchError, match=r"takes input_ids and attention_mask, and its reader makes token_type_ids"):
        instar.train(films, instar.models.Bag(4), reader=reader, out=tmp_path / "refused")
    reader = f"Tokens({str(folder)!r}, length=5, token_types=False)"
    tokens = instar.train(films, instar.models.Bag(4), reader=reader, out=tmp_path / "tokens", epochs=1)
    shutil.rmtree(folder)
    assert len(instar.predict(tokens, TEXTS)) == 60
    assert instar.load(tmp_path / "tokens").network.embedding.num_embeddings == 5 + len(WORDS)


def test_pairs_are_read_in_the_form_of_the_tokenizer(tmp_path, films):
    folder = write_classifier(tmp_path / "model")
    rows = [
        {"one": text, "two": other, "label": label}
        for text, other, label in zip(TEXTS, TEXTS[::-1], LABELS, strict=True)
    ]
    (tmp_path / "pairs.jsonl").write_text("\n".join(map(json.dumps, rows)))
    data = load_data(tmp_path / "pairs.jsonl", input_columns=["one", "two"], label_column="label", test=0.5)
    batch = next(Loader(data.test, 100, seed=0).in_order())
    teacher = as_teacher(f"transformers:{folder}")
    found = teacher.targets(batch).log_probs(1).exp()
    texts, others = (column.strings(batch.ids) for column in data.test.source.input_texts)
    # the pipeline reads pairs with an empty half as single texts, where it reads them one by one
    model = transformers.AutoModelForSequenceClassification.from_pretrained(folder).eval()
    given = transformers.AutoTokenizer.from_pretrained(folder)(
        texts, others, padding=True, truncation=True, return_tensors="pt"
    )
    torch.testing.assert_close(found, model(**given).logits.softmax(1).detach())


def test_an_onnx_file_takes_texts_of_any_length(tmp_path, films):
    onnxruntime = pytest.importorskip("onnxruntime", reason="needs the extra export")
    folder = write_classifier(tmp_path / "model")
    student = instar.train(films, f"transformers:{folder}", out=tmp_path / "run", epochs=1)
    written = instar.export(student, to="onnx", out=tmp_path / "model.onnx", data=films)
    session = onnxruntime.InferenceSession(written.path)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    for texts in (["good"], TEXTS[:7]):
        given = dict(tokenizer(texts, padding=True, truncation=True, return_tensors="np"))
        given = {
            one.name: given[one.name].astype(bool if "bool" in one.type else np.int64) for one in session.get_inputs()
        }
        expected = instar.load(tmp_path / "run")(texts).detach()
        np.testing.assert_allclose(session.run(None, given)[0], expected, atol=1e-4)


def test_what_it_cannot_read_is_told(tmp_path, films):
    reader = Tokens(str(write_tokenizer(tmp_path / "tokenizer")))
    assert reader([""])["input_ids"].tolist() == [[2, 3]]
    assert reader.shape({"text": ()}) == dict.fromkeys(("input_ids", "token_type_ids", "attention_mask"), (12,))
    for given in ([1, 2], [("a", "b", "c")], "a", []):
        with pytest.raises(MismatchError, match="reads texts"):
            reader(given)
    pictures = load_data((torch.zeros(4, 3, 8, 8, dtype=torch.uint8), [0, 1, 0, 1]), validation=0)
    with pytest.raises(MismatchError, match="reads texts"):
        instar.train(pictures, "bag", reader=reader, out=tmp_path / "run", epochs=1)
