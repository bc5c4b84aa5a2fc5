"""Words with a label each: classifiers of words of Transformers and of Instar, from files to exports."""

import datasets
import numpy as np
import pandas
import pytest
import torch
import torch.nn.functional as F
from tests.models.tiny_tags import LENGTH, TAGS, make_sentences, write_byte_tokenizer, write_sentences, write_tagger

import instar
from instar.data import Loader, load_data
from instar.data.columns.split_texts import SPLIT_TEXT
from instar.errors import DataError, MismatchError
from instar.models.readers import GivenWords, WordTokens
from instar.objectives import parse_objective
from instar.teachers import as_teacher

transformers = pytest.importorskip("transformers", reason="needs the extra transformers")

SETTINGS = {"epochs": 2, "batch_size": 8, "learning_rate": 0.01}
SENTENCES = ["the warm film was good", "never!", "it is the very dull, loud film and not the funny 你好 film"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_sentences(
        tmp_path_factory.mktemp("words") / "data", train=make_sentences(40), test=make_sentences(15, seed=1)
    )


@pytest.fixture(scope="module")
def data(folder):
    return load_data(str(folder))


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    """A tagger whose classes are named in another order than those of the data."""
    return str(write_tagger(tmp_path_factory.mktemp("tagger") / "model", ("I-PER", "O", "B-PER")))


@pytest.fixture(scope="module")
def student(data, encoder, tmp_path_factory):
    out = tmp_path_factory.mktemp("student") / "run"
    return instar.distill(data, f"transformers:{encoder}", f"transformers:{encoder}", out=out, **SETTINGS)


def with_pipeline(folder, text, words):
    """Class and probability of the first token of each word, as the pipeline of Transformers finds them."""
    pipeline = transformers.pipeline("token-classification", str(folder), ignore_labels=[])
    places = pipeline.tokenizer(words, is_split_into_words=True).word_ids()
    found = {one["index"]: (one["entity"], float(one["score"])) for one in pipeline(text)}
    return [found[places.index(at)] for at in range(len(words))]


def align(folder, words, labels):
    """Inputs of Transformers, with labels at the first token of each word and -100 at all others."""
    made = transformers.AutoTokenizer.from_pretrained(folder)(
        words, is_split_into_words=True, padding=True, return_tensors="pt"
    )
    aligned = torch.full(made["input_ids"].shape, -100)
    for row, each in enumerate(labels):
        places = made.word_ids(row)
        for at, label in enumerate(each):
            aligned[row, places.index(at)] = label
    return made, aligned


def refuse_other_than_the_pipeline(folder, model, names):
    logits = model(SENTENCES)  # of all sentences at once, padded
    for row, text in enumerate(SENTENCES):
        words = text.split()
        best = logits[row, : len(words)].softmax(-1).max(-1)
        expected = with_pipeline(folder, text, words)
        assert [names[at] for at in best.indices] == [name for name, _ in expected]
        np.testing.assert_allclose(best.values.detach(), [score for _, score in expected], atol=1e-5)


def test_a_teacher_and_a_student_that_came_back_are_the_pipeline_of_their_folders(data, encoder, student, tmp_path):
    teacher = as_teacher(f"transformers:{encoder}")
    refuse_other_than_the_pipeline(encoder, teacher.network.eval(), teacher.classes)
    exported = instar.export(student, "transformers", out=tmp_path / "export", data=data)
    assert exported.difference < 1e-5
    refuse_other_than_the_pipeline(exported.path, instar.load(student), data.classes)
    assert transformers.AutoModelForTokenClassification.from_pretrained(exported.path).config.num_labels == 3
    assert 'pipeline("token-classification", "FOLDER")' in (tmp_path / "export" / "README.md").read_text()


def test_the_loss_is_on_the_first_token_of_each_word_alone_as_transformers_aligns_it(data, encoder):
    teacher, model = (as_teacher(f"transformers:{encoder}") for _ in range(2))
    order = [teacher.classes.index(name) for name in data.classes]
    batch = Loader(data.train, 8, seed=0).batch(1)
    words = data.train.source.columns[SPLIT_TEXT].lists(batch.ids)
    numbers = [row[: len(each)].tolist() for row, each in zip(batch.labels, words, strict=True)]
    made, aligned = align(encoder, words, numbers)
    by_hand = transformers.AutoModelForTokenClassification.from_pretrained(encoder).eval()
    logits = by_hand(**made).logits[..., order]
    hard = F.cross_entropy(logits.flatten(0, 1), aligned.flatten())
    ours = model.network.eval()(batch.read(model.network.reader))[..., order]
    loss, _ = parse_objective("HardLabels()")(ours, batch, None)
    torch.testing.assert_close(loss / batch.count(), hard, rtol=1e-5, atol=1e-6)
    other = as_teacher(teacher.network)  # soft targets of itself, moved
    with torch.no_grad():
        other.network.network.model.classifier.bias.add_(torch.tensor([0.5, -1.0, 0.2]))
    targets = other.targets(batch)
    valid = aligned != -100
    moved = by_hand(**made).logits + torch.tensor([0.5, -1.0, 0.2])
    soft = F.cross_entropy(by_hand(**made).logits[valid], moved[valid].softmax(-1))
    loss, _ = parse_objective("SoftTargets(1)")(model.network(batch.read(model.network.reader)), batch, targets)
    torch.testing.assert_close(loss / batch.count(), soft, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("model", ["text-lstm", "text-transformer", "encoder"])
def test_students_of_a_store_and_of_parts_are_those_of_the_live_teacher(data, encoder, model, tmp_path):
    # without dropout, whose draws depend on the size of a part
    arguments = {"encoder": {"pretrained": False}, "text-transformer": {"dropout": 0.0}}.get(model, {})
    chosen = {"name": f"transformers:{encoder}" if model == "encoder" else model, "arguments": arguments}
    found = {}
    for kind, more in {"live": {}, "stored": {"targets": "store"}, "parts": {"micro_batches": 3}}.items():
        # not adam, which makes a rounding of a gradient near 0 a step
        settings = more | {"epochs": 1, "batch_size": 8, "optimiser": "sgd", "learning_rate": 0.1}
        run = instar.distill(data, f"transformers:{encoder}", chosen, out=tmp_path / kind, **settings)
        found[kind] = instar.load(run)
    assert [one.name for one in instar.predict(run, ["a film", "good"])] == ["0: a", "0: film", "1: good"]
    live = found["live"](SENTENCES)
    assert live.shape == (3, 13, 3)
    for kind in ("stored", "parts"):
        torch.testing.assert_close(found[kind](SENTENCES), live, rtol=1e-3, atol=1e-3)
    for row, text in enumerate(SENTENCES):  # padding changes nothing
        alone = found["live"]([text])[0]
        torch.testing.assert_close(live[row, : len(alone)], alone, rtol=1e-5, atol=1e-5)


def test_it_predicts_a_class_for_each_word_and_exports_take_any_number_of_words(data, student, tmp_path):
    import onnxruntime

    found = instar.predict(student, [["the", "film"], ["good"]], top=2)
    assert [one.name for one in found] == ["0: the", "0: film", "1: good"]
    model = instar.load(student)
    np.testing.assert_allclose([one.probability for one in found], model(["the film", "good"]).softmax(-1).amax(-1)[
        torch.tensor([[True, True], [True, False]])
    ].detach(), rtol=1e-5)  # fmt: skip
    assert instar.predict_proba(student, "the film was good").shape == (4, 3)
    with pytest.raises(MismatchError, match="takes words; give a list with a list of words for each sample"):
        instar.predict(student, np.zeros((2, 3)))
    with pytest.raises(MismatchError, match="takes words, and sample 1 has none"):
        instar.predict(student, ["a film", " "])
    (tmp_path / "words.txt").write_text("a film")
    with pytest.raises(MismatchError, match=r"words\.txt' is a file; give the texts that it holds"):
        instar.predict(student, str(tmp_path / "words.txt"))
    instar.export(student, "onnx", out=tmp_path / "model.onnx", data=data)
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    for texts in (["film"], SENTENCES):
        read = {name: tensor.numpy() for name, tensor in model.reader(texts).items()}
        [logits] = session.run(["logits"], read)
        torch.testing.assert_close(torch.from_numpy(logits), model(texts), rtol=1e-4, atol=1e-5)
    assert "word_starts" in session.get_modelmeta().custom_metadata_map["inputs"]
    hub = instar.export(student, "hub", out=tmp_path / "hub", data=data)
    assert torch.equal(instar.load(hub.path)(SENTENCES), model(SENTENCES))
    assert "pipeline_tag: token-classification" in (tmp_path / "hub" / "README.md").read_text()


def as_features(names):
    return datasets.Features(
        {"tokens": datasets.List(datasets.Value("string")), "ner_tags": datasets.List(datasets.ClassLabel(names=names))}
    )


def test_words_and_labels_are_the_same_in_every_form(data, folder, tmp_path):
    rows, test = make_sentences(40), make_sentences(15, seed=1)
    assert data.classes == tuple(sorted(TAGS))
    numbered = [
        [{"tokens": row["tokens"], "ner_tags": [data.classes.index(tag) for tag in row["ner_tags"]]} for row in part]
        for part in (rows, test)
    ]
    named = datasets.DatasetDict(
        {
            split: datasets.Dataset.from_list(part, features=as_features(list(data.classes)))
            for split, part in zip(("train", "test"), numbered, strict=True)
        }
    )
    parquet = tmp_path / "parquet"
    parquet.mkdir()
    for split, part in named.items():
        part.to_parquet(parquet / f"{split}.parquet")
    plain = {split: datasets.Dataset.from_list(part) for split, part in (("train", rows), ("test", test))}
    in_python = {"train": rows, "test": {name: [row[name] for row in test] for name in test[0]}}
    for other in map(load_data, (named, str(parquet), plain, in_python, (pandas.DataFrame(rows), test))):
        assert other.classes == data.classes
        assert [other.split(s).source.fingerprint() for s in ("train", "test")] == [
            data.split(s).source.fingerprint() for s in ("train", "test")
        ]
    assert "labels of column 'ner_tags' for each word" in data.describe()


def test_words_without_a_label_have_no_loss_and_samples_without_any_are_for_soft_targets():
    rows = [
        {"tokens": ["a", "film"], "ner_tags": [-100, 1]},
        {"tokens": [], "ner_tags": []},
        {"tokens": ["the", "dull", "film"], "ner_tags": [-100, -100, -100]},
    ]
    given = datasets.Dataset.from_list(rows, features=as_features(["O", "B"]))
    found = load_data({"train": given, "test": given}, validation=0).train.source
    assert found.labels.tolist() == [[-1, 1, -1], [-1, -1, -1]]
    assert found.valid(torch.arange(2)).tolist() == [[False, True, False], [True, True, True]]
    assert "without 1 rows that have no words" in found.reading


def test_what_cannot_be_read_is_told(data, encoder, tmp_path):
    one = make_sentences(4)
    twice = [{**row, "pos_tags": row["ner_tags"]} for row in one]
    several = str(write_sentences(tmp_path / "several", train=twice, test=twice))
    found = load_data(several, validation=0).test.source
    assert found.reading.startswith("words of column 'tokens', labels of column 'ner_tags' for")
    assert "'pos_tags'" in load_data(several, validation=0, label_column="pos_tags").test.source.reading
    tags = datasets.List(datasets.ClassLabel(names=list(TAGS)))
    numbered = datasets.Dataset.from_list(twice).cast_column("ner_tags", tags).cast_column("pos_tags", tags)
    with pytest.raises(DataError, match=r"several columns with a label for each word \(ner_tags, pos_tags\); choose"):
        load_data({"train": numbered, "test": numbered})
    other = write_sentences(tmp_path / "other", train=one, test=[{"tokens": ["a", "film"], "ner_tags": ["O"]}])
    with pytest.raises(DataError, match=r"row 0 of '.*' has 2 words in 'tokens' and 1 labels in 'ner_tags'"):
        load_data(str(other))
    with pytest.raises(MismatchError, match=r"predicts no class for each word, .*: text-lstm, text-transformer"):
        instar.train(data, "bag", out=tmp_path / "bag", **SETTINGS)
    given = datasets.Dataset.from_list([{"tokens": ["a"] * 30, "ner_tags": ["O"] * 30}] * 4)
    long = load_data({"train": given, "test": given}, validation=0)
    with pytest.raises(MismatchError, match=rf"reads {LENGTH} tokens of a sample, and 4 of 4 samples have more"):
        instar.evaluate(f"transformers:{encoder}", data=long)


@pytest.mark.parametrize("adds_space", [False, True])
def test_words_of_tokenizers_of_bytes_have_the_tokens_of_their_text(tmp_path, adds_space):
    write_byte_tokenizer(tmp_path, adds_space=adds_space)
    words = SENTENCES[0].split()
    found = WordTokens(str(tmp_path))([words, ["never!"]])
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path)
    tokens = tokenizer.convert_ids_to_tokens(found["input_ids"][0])
    assert tokens == tokenizer(SENTENCES[0]).tokens()
    starts = [tokens[place].strip("\u0120") for place in found["word_starts"][0]]
    assert all(word.startswith(start) for word, start in zip(words, starts, strict=True))


def test_a_word_that_a_tokenizer_drops_is_read_as_unknown_and_each_word_keeps_its_place(encoder):
    reader = WordTokens(encoder)
    found = reader([["a", "\u200b", "good!", "film"], ["bad"]])
    assert found["input_ids"][0].tolist() == [2, 6, 1, 10, 24, 7, 3]
    assert found["word_starts"].tolist() == [[1, 2, 3, 5], [1, 0, 0, 0]]
    words = GivenWords().with_knowledge({"words": ["a"]})
    assert words(["A b"])["input_ids"].tolist() == [[2, 1]]
