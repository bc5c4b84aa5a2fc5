"""Readers of texts as words."""

import json

import pytest
import torch

from instar.data import load_data
from instar.errors import ConfigError, DataError, MismatchError
from instar.models.readers import Words, parse_reader
from instar.models.readers.words import split_words


@pytest.fixture(scope="module")
def samples(tmp_path_factory):
    path = tmp_path_factory.mktemp("words") / "rows.jsonl"
    texts = ["A good film!", "a GOOD end", "bad film", "bad"] * 2
    path.write_text("\n".join(json.dumps({"text": text, "label": text[0]}) for text in texts))
    return load_data(str(path), test=0.25, validation=0).train


def ids(reader, *texts):
    rows = reader(list(texts))
    pairs = zip(rows["input_ids"], rows["attention_mask"], strict=True)
    return [row[mask].tolist() for row, mask in pairs]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("It's 3.5€!", ["it", "'", "s", "3", ".", "5", "€", "!"]),
        ("e\u0301te\u0301", ["été"]),
        ("İstanbul", ["i̇stanbul"]),
        ("हिन्दी में", ["हिन्दी", "में"]),
        ("مَرْحَبًا بك", ["مَرْحَبًا", "بك"]),
        ("می\u200cپز", ["می\u200cپز"]),
        ("你好 world", ["你", "好", "world"]),
        ("\ufeffstart", ["start"]),
        (" \n\t", []),
        ("snake_case 👍", ["snake_case", "👍"]),
    ],
)
def test_words_of_every_script(text, words):
    assert split_words(text) == words


def test_numbers_count_down_from_the_most_frequent_word(samples):
    reader = Words().fitted(samples)
    known = reader.knowledge()["words"]
    assert all(word in known for word in ("a", "good", "film", "bad"))
    assert ids(reader, *known) == [[2 + place] for place in range(len(known))]
    assert ids(reader, "GOOD unheard film", "", "?") == [
        [2 + known.index("good"), 1, 2 + known.index("film")],
        [1],
        [1],
    ]
    assert reader.sizes() == {"vocabulary_size": 2 + len(known)}


def test_a_limit_keeps_the_first_words(samples):
    reader = Words(size=2, length=3).fitted(samples)
    assert reader.sizes() == {"vocabulary_size": 4}
    assert [len(row) for row in ids(reader, "a b c d e", "a")] == [3, 1]
    with pytest.raises(DataError, match=r"no word occurs 99 times .* Words\(min_count=1\)"):
        Words(min_count=99).fitted(samples)


def test_pairs_are_joined_and_the_longer_text_is_cut(samples):
    reader = Words(length=5, min_count=1, pair="text_pair").with_knowledge({"words": ["a", "b"]})
    assert ids(reader, ("a", "b"), ("a a a a a", "b"), ("", ""), ("", "b"), ("a", "")) == [
        [3, 2, 4],
        [3, 3, 3, 2, 4],
        [2],
        [2, 4],
        [3, 2],
    ]
    assert ids(reader, ("a b" * 9, "b"))[0][-2:] == [2, 4]


def test_the_text_of_a_fitted_reader_is_that_of_its_settings(samples):
    reader = Words(size=7, length=9)
    fitted = reader.fitted(samples)
    assert str(fitted) == str(reader)
    assert parse_reader(str(fitted)).with_knowledge(fitted.knowledge()) == fitted != reader
    assert hash(fitted) == hash(fitted.with_knowledge(fitted.knowledge()))
    assert fitted.fitted(samples) is fitted


def test_what_it_cannot_read_is_named(samples):
    reader = Words().fitted(samples)
    for odd in ("one text", [], [3], torch.zeros(2, 3)):
        with pytest.raises(MismatchError, match="give a list of strings"):
            reader(odd)
    read = reader(["a"])
    assert torch.equal(reader(read)["input_ids"], read["input_ids"])
    with pytest.raises(ConfigError, match="knows no words yet"):
        Words()(["a"])
    with pytest.raises(ConfigError, match="needs the list of its 'words'"):
        Words().with_knowledge({"mean": [0.5]})
    with pytest.raises(MismatchError, match="reads texts, and the data have inputs of shape"):
        reader.shape((3, 32, 32))
