"""Text: what its tokens are, how they are cut into windows, and what is refused."""

import io

import datasets
import pandas
import pytest
import torch

from instar.data import load_data
from instar.data.text import WordTokenizer, cut_windows
from instar.errors import DataError

LINES = ["the cat sat", "the dog", "", "<unk> sat sat"]
COUNT = 12  # words with an <eos> for every line


def folder_of(path, train, test=("the cat",), **more):
    path.mkdir(parents=True, exist_ok=True)
    for split, some in {"train": train, "test": test, **more}.items():
        rows = datasets.Dataset.from_dict({"text": list(some)}, datasets.Features({"text": datasets.Value("string")}))
        rows.to_parquet(path / f"{split}-00000-of-00001.parquet")
    return str(path)


def test_words_stand_in_the_order_of_their_frequency(tmp_path):
    data = load_data(folder_of(tmp_path / "text", LINES), validation=0)
    assert data.classes == ("<eos>", "sat", "the", "<unk>", "cat", "dog")
    source = data.train.source
    words = [data.classes[label] for label in source.labels[source.labels >= 0]]
    assert words == ["the", "cat", "sat", "<eos>", "the", "dog", "<eos>", "<eos>", "<unk>", "sat", "sat", "<eos>"]


@pytest.mark.parametrize("length", [1, 4, 5, 12, 35])
def test_every_word_is_a_label_once_and_the_word_before_it_is_its_input(tmp_path, length):
    data = load_data(folder_of(tmp_path / "text", LINES), validation=0, length=length)
    source = data.train.source
    assert source.inputs.shape == source.labels.shape == (-(-COUNT // length), length)
    labels, inputs = source.labels.flatten()[:COUNT], source.inputs.flatten()[:COUNT]
    assert int((source.labels >= 0).sum()) == int(source.lengths.sum()) == COUNT
    assert data.classes[inputs[0]] == "<eos>"
    assert torch.equal(inputs[1:].long(), labels[:-1])


def test_a_split_of_its_own_is_for_validation(tmp_path):
    data = load_data(folder_of(tmp_path / "text", LINES, validation=["the dog sat"]), length=3)
    assert data.validation.source is not data.train.source
    assert data.validation.source.labels[data.validation.labels >= 0].tolist() == [2, 5, 1, 0]
    assert len(data.train) == 4


def test_without_one_the_end_of_the_text_is(tmp_path):
    data = load_data(folder_of(tmp_path / "text", LINES * 5), length=4, validation=0.2)
    assert (data.train.ids.tolist(), data.validation.ids.tolist()) == (list(range(12)), [12, 13, 14])


def test_text_may_be_shuffled(tmp_path):
    folder = folder_of(tmp_path / "text", LINES * 5)
    assert load_data(folder, length=4).train.source.task.is_stream
    assert not load_data(folder, length=4, stream=False).train.source.task.is_stream


def test_plain_text_files_are_read(tmp_path):
    for split in ("train", "test"):
        (tmp_path / f"{split}.txt").write_text("the cat\n\nthe dog\n")
    data = load_data(str(tmp_path), validation=0, length=8)
    assert int(data.train.source.lengths.sum()) == 7  # an empty line is an <eos>


def test_a_column_of_text_beside_labels_is_a_corpus_only_if_it_is_named_for_both(tmp_path):
    features = datasets.Features({"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["a", "b"])})
    for split in ("train", "test"):
        rows = datasets.Dataset.from_dict({"text": ["the cat"] * 20, "label": [0] * 20}, features)
        rows.to_parquet(tmp_path / f"{split}-00000-of-00001.parquet")
    for columns in ({}, {"input_column": "text"}):
        labelled = load_data(str(tmp_path), validation=0, **columns)
        assert (labelled.classes, labelled.train.source.input_names) == (("a", "b"), ("text",))
    found = load_data(str(tmp_path), input_column="text", label_column="text", validation=0)
    assert found.classes == ("<eos>", "cat", "the")


CSV = {
    "a label": "sentence,label\nthe cat,good\nthe dog,bad\n",
    "a number": "sentence,label\nthe cat,1\nthe dog,0\n",
    "an id": "id,sentence\n1,the cat\n2,the dog\n",
    "two texts": "sentence,translation\nthe cat,le chat\nthe dog,le chien\n",
    "a rating": "sentence,stars\nthe cat,4.5\nthe dog,0.5\n",
}


@pytest.mark.parametrize("content", CSV.values(), ids=CSV)
@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet"])
@pytest.mark.parametrize("columns", [{}, {"input_column": "sentence"}])
def test_text_beside_other_columns_is_no_corpus_unless_it_is_named(tmp_path, content, form, columns):
    table = pandas.read_csv(io.StringIO(content))
    write = {
        "csv": lambda path: table.to_csv(path, index=False),
        "jsonl": lambda path: table.to_json(path, orient="records", lines=True),
        "parquet": table.to_parquet,
    }[form]
    for split in ("train", "test"):
        write(tmp_path / f"{split}.{form}")
    if "label" in table:
        assert load_data(tmp_path, validation=0, **columns).train.source.texts("text").strings() == [
            "the cat",
            "the dog",
        ]
    else:
        with pytest.raises(
            DataError, match=r"data\.input_column and data\.label_column to the same column \(.*sentence"
        ):
            load_data(tmp_path, **columns)
    found = load_data(tmp_path, input_column="sentence", label_column="sentence", validation=0)
    assert found.classes == ("<eos>", "the", "cat", "dog")


@pytest.mark.parametrize("column", ["file", "file,label"])
@pytest.mark.parametrize(
    ("form", "sentence"),
    [
        (
            "wav",
            r"Column 'file' names recordings that do not exist, such as 'train/0\.wav': paths are relative to the file",
        ),
        (
            "png",
            r"Column 'file' names images that do not exist, such as 'train/0\.png': paths are relative to the file",
        ),
    ],
)
def test_names_of_files_are_no_text(tmp_path, column, form, sentence):
    for split in ("train", "test"):
        rows = [f"{split}/{number}.{form}" + ",cat" * ("," in column) for number in range(3)]
        (tmp_path / f"{split}.csv").write_text("\n".join([column, *rows]) + "\n")
    with pytest.raises(DataError, match=sentence):
        load_data(tmp_path)


def test_a_table_is_refused_in_a_sentence_that_says_what_is_read(tmp_path):
    for split in ("train", "test"):
        (tmp_path / f"{split}.csv").write_text("age,income,churn\n31,10.5,Yes\n44,11.5,No\n")
    with pytest.raises(
        DataError,
        match=r"^data '\S+' are a table.* set data\.label_column to the column to predict; .* age, income, churn\.",
    ):
        load_data(tmp_path)


def test_the_held_out_column_is_no_second_reading(tmp_path):
    for split in ("train", "test"):
        (tmp_path / f"{split}.csv").write_text("text,author\nthe cat,ada\nthe cat,bob\n")
    assert load_data(tmp_path, test_where="author=bob", validation=0).classes == ("<eos>", "cat", "the")


@pytest.mark.parametrize(
    ("train", "test", "message"),
    [
        (
            ["the cat"],
            ["the", "a dog"],
            r"line 1 of '.*text \(test\)' has the word 'a', which is not among",
        ),
        (["the cat", None], ["the"], "row 1 of '.*text' has no text"),
    ],
)
def test_refuses_in_words(tmp_path, train, test, message):
    with pytest.raises(DataError, match=message):
        load_data(folder_of(tmp_path / "text", train, test))


def test_a_text_without_a_word_is_refused():
    with pytest.raises(DataError, match="'nothing' has no words"):
        cut_windows("nothing", WordTokenizer.of([]).encode([], "nothing"), ("<eos>",), 0, 35)


def test_a_word_that_is_not_known_is_unk_where_there_is_one():
    words = WordTokenizer.of(LINES)
    assert words.encode(["a cat"], "x").tolist() == [words.classes.index(word) for word in ("<unk>", "cat", "<eos>")]


def make_tokenizer(folder, **special):
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.WordLevel({"?": 0, "the": 1, "cat": 2, "</s>": 3}, unk_token="?"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="?", **special).save_pretrained(folder)
    return str(folder)


def test_a_tokenizer_has_its_own_classes_and_ends_lines_with_its_own_token(tmp_path):
    pytest.importorskip("transformers", reason="needs the extra transformers")
    tokenizer = make_tokenizer(tmp_path / "tokenizer", eos_token="</s>")
    data = load_data(folder_of(tmp_path / "text", LINES), validation=0, tokenizer=tokenizer)
    assert data.classes == ("?", "the", "cat", "</s>")
    labels = data.train.labels[data.train.labels >= 0].tolist()
    assert labels == [1, 2, 0, 3, 1, 0, 3, 0, 0, 0, 0, 0, 3]  # '<', 'unk' and '>' are tokens of this one
    assert int(data.train.source.inputs[0, 0]) == 3


def test_a_tokenizer_without_an_end_or_a_folder_is_refused(tmp_path):
    pytest.importorskip("transformers", reason="needs the extra transformers")
    folder = folder_of(tmp_path / "text", LINES)
    with pytest.raises(DataError, match=r"has no end-of-text token; set its eos_token"):
        load_data(folder, tokenizer=make_tokenizer(tmp_path / "tokenizer"))
    with pytest.raises(DataError, match=r"transformers cannot load the tokenizer '.*nothing'"):
        load_data(folder, tokenizer=str(tmp_path / "nothing"))


def test_penn_treebank_has_the_published_counts(ptb_folder):
    data = load_data(str(ptb_folder))
    assert len(data.classes) == 10_000
    counts = [int((samples.labels >= 0).sum()) for samples in (data.train, data.validation, data.test)]
    assert counts == [929_589, 73_760, 82_430]
    assert load_data(str(ptb_folder)).train.source.fingerprint() == data.train.source.fingerprint()
