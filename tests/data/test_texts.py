"""Labelled texts: a column of texts, however files and objects hold it."""

import csv
import json

import datasets
import numpy as np
import pandas
import polars
import pyarrow
import pytest
import torch

from instar.data import Loader, load_data
from instar.data.columns.texts import Texts
from instar.data.epochs import BATCHES_PER_STRETCH, Buckets
from instar.data.views import Shift
from instar.errors import DataError, MismatchError

TEXTS = ['He said "no",\nthen left.', "été, très chaud", "हिन्दी में", "", "plain", "comma, and; more"] * 2
LABELS = ["good", "bad", "good", "bad", "bad", "good"] * 2
WHOLE = {"test": 0.25, "validation": 0}


def write_csv(path, encoding="utf-8"):
    with path.open("w", newline="", encoding=encoding) as file:
        written = csv.writer(file, quoting=csv.QUOTE_ALL)
        written.writerows([("text", "label"), *zip(TEXTS, LABELS, strict=True)])
    return path


def write_parquet(path):
    datasets.Dataset.from_dict({"text": TEXTS, "label": LABELS}).to_parquet(path)
    return path


def write_json(path):
    rows = [{"text": text, "label": label} for text, label in zip(TEXTS, LABELS, strict=True)]
    path.write_text("\n".join(json.dumps(row) for row in rows))
    return path


def all_texts(data):
    sources = [data.train.source, data.test.source]
    return sorted(text for source in sources for text in source.texts("text").strings())


def test_a_column_holds_its_texts_and_their_sizes():
    column = Texts.of(TEXTS)
    assert column.strings() == TEXTS
    assert column.sizes.tolist() == [len(text.encode()) for text in TEXTS]
    some = torch.tensor([5, 0, 3])
    assert column.take(some).strings() == column.strings(some) == [TEXTS[5], TEXTS[0], ""]
    assert column.fingerprint() == Texts.of(TEXTS).fingerprint() != Texts.of([*TEXTS[:-1], "plain"]).fingerprint()
    assert Texts.of(["ab", "c"]).fingerprint() != Texts.of(["a", "bc"]).fingerprint()
    with pytest.raises(DataError, match="row 1 of 'here' holds half of a character"):
        Texts.of(["a", "\ud800"], "here")


def test_all_kinds_of_files_hold_the_same_texts(tmp_path):
    """With quotes, line ends, a byte order mark, other scripts and empty texts."""
    found = [
        load_data(str(path), **WHOLE)
        for path in (
            write_csv(tmp_path / "plain.csv"),
            write_csv(tmp_path / "marked.csv", "utf-8-sig"),
            write_parquet(tmp_path / "rows.parquet"),
            write_json(tmp_path / "rows.jsonl"),
        )
    ]
    assert all(all_texts(data) == sorted(TEXTS) for data in found)
    assert len({json.dumps(data.fingerprints()) for data in found}) == 1
    assert found[0].classes == ("bad", "good")
    told = found[0].describe()
    assert " on average) (texts of column 'text', labels of column 'label', test set drawn" in told
    counts = [split.source.texts("text").strings().count("") for split in (found[0].train, found[0].test)]
    assert sum(counts) == 2
    for split, count in zip(("train", "test"), counts, strict=True):
        assert (f"; {count} {split} samples with an empty 'text'" in told) == (count > 0)


def test_objects_hold_the_same_texts_as_files(tmp_path):
    frame = pandas.DataFrame({"text": TEXTS, "label": LABELS})
    found = [
        load_data(given, **WHOLE)
        for given in (
            (TEXTS, LABELS),
            (np.array(TEXTS), LABELS),
            {"text": TEXTS, "label": LABELS},
            frame,
            polars.DataFrame(frame),
            pyarrow.Table.from_pandas(frame),
            datasets.Dataset.from_pandas(frame),
            list_of_items(),
            str(write_parquet(tmp_path / "rows.parquet")),
        )
    ]
    assert len({json.dumps(data.fingerprints()) for data in found}) == 1
    named = frame.rename(columns={"text": "review", "label": "stars"}).assign(number=3)
    chosen = load_data(named, input_column="review", label_column="stars", **WHOLE)
    assert chosen.fingerprints() == found[0].fingerprints()
    with pytest.raises(DataError, match="needs input_column"):
        load_data(frame.assign(other=[f"{text} and more words than a category has" for text in TEXTS]), **WHOLE)
    missing = load_data((pandas.Series([*TEXTS[:-1], None]), LABELS), **WHOLE)
    assert all_texts(missing) == sorted([*TEXTS[:-1], ""])


def list_of_items():
    class Items(torch.utils.data.Dataset):
        def __len__(self):
            return len(TEXTS)

        def __getitem__(self, index):
            return TEXTS[index], LABELS[index]

    return Items()


def test_pairs_in_python_and_by_split():
    pairs = list(zip(TEXTS, reversed(TEXTS), strict=True))
    given = {"premise": TEXTS, "claim": TEXTS[::-1], "label": LABELS}
    found = [
        load_data((pairs, LABELS, pairs, LABELS), validation=0),
        load_data({"train": given, "test": given}, validation=0),
        load_data(
            {"train": pandas.DataFrame(given), "test": pandas.DataFrame(given)},
            input_columns=["premise", "claim"],
            validation=0,
        ),
    ]
    assert len({json.dumps(data.fingerprints()) for data in found}) == 1
    assert found[0].train.source.texts("text_pair").strings() == TEXTS[::-1]


def test_folders_of_classes_hold_a_text_in_each_file(tmp_path):
    for split in ("train", "test"):
        for number, (text, label) in enumerate(zip(TEXTS, LABELS, strict=True)):
            (tmp_path / split / label).mkdir(parents=True, exist_ok=True)
            (tmp_path / split / label / f"{number:02}.txt").write_text(text, "utf-8-sig" if number % 2 else "utf-8")
    data = load_data(str(tmp_path), validation=0)
    source = data.train.source
    labels = [source.classes[at] for at in source.labels]
    found = zip(source.texts("text").strings(), labels, strict=True)
    assert sorted(found) == sorted(zip(TEXTS, LABELS, strict=True))
    as_corpus = load_data(str(tmp_path), input_column="text", label_column="text", validation=0)
    assert as_corpus.train.source.task.is_stream
    (tmp_path / "train" / "good" / "99.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(DataError, match=r"99\.txt' is no text in UTF-8"):
        load_data(str(tmp_path))
    (tmp_path / "train" / "notes.txt").write_text("odd")
    with pytest.raises(DataError, match="folders that may be classes, such as 'bad', and others beside them"):
        load_data(str(tmp_path))


def test_a_text_without_a_label_is_a_corpus_and_with_one_is_labelled(tmp_path):
    datasets.Dataset.from_dict({"text": ["a b", "b a"]}).to_parquet(tmp_path / "corpus.parquet")
    assert load_data(str(tmp_path / "corpus.parquet"), test=0.5, validation=0).train.source.task.is_stream
    labelled = write_parquet(tmp_path / "labelled.parquet")
    assert load_data(str(labelled), **WHOLE).train.source.input_names == ("text",)
    named_twice = load_data(str(labelled), input_column="text", label_column="text", **WHOLE)
    assert named_twice.train.source.task.is_stream


def test_several_columns_of_texts_are_refused_until_one_is_chosen(tmp_path):
    a, b, c, d = (f"{letter}, of which one more was said than a word" for letter in "abcd")
    rows = {"premise": [a, b] * 4, "claim": [c, d] * 4, "label": [0, 1] * 4}
    path = tmp_path / "pairs.parquet"
    datasets.Dataset.from_dict(rows).to_parquet(path)
    with pytest.raises(DataError, match=r"premise, claim; choose the texts with data\.input_column=premise"):
        load_data(str(path), **WHOLE)
    one = load_data(str(path), input_column="claim", **WHOLE).train.source
    assert set(one.texts("text").strings()) == {c, d}
    both = load_data(str(path), input_columns=["premise", "claim"], **WHOLE).train.source
    assert (both.input_names, both.shape("inputs")) == (("text", "text_pair"), {"text": (), "text_pair": ()})
    assert set(zip(both.texts("text").strings(), both.texts("text_pair").strings(), strict=True)) == {
        (a, c),
        (b, d),
    }


def test_texts_are_no_tensors_and_views_leave_them_alone(tmp_path):
    data = load_data(str(write_json(tmp_path / "rows.jsonl")), **WHOLE)
    with pytest.raises(DataError, match=r"column 'text' of .* holds texts; a reader of texts reads it"):
        data.train.source.column("text")
    with pytest.raises(MismatchError, match="are texts; leave the views out"):
        Loader(data.train, 2, seed=0, views=Shift(1))


def test_an_empty_column_is_refused(tmp_path):
    datasets.Dataset.from_dict({"text": ["", None] * 4, "label": [0, 1] * 4}).to_parquet(tmp_path / "empty.parquet")
    with pytest.raises(DataError, match=r"all texts of .* are empty"):
        load_data(str(tmp_path / "empty.parquet"), **WHOLE)


def test_buckets_hold_every_sample_once_and_texts_of_like_size_together():
    draws = torch.Generator().manual_seed(0)
    sizes = torch.randint(1, 1000, (10_007,), generator=draws)
    epoch = Buckets(sizes, 16)
    order = epoch.order(torch.Generator().manual_seed(1))
    assert order.sort().values.tolist() == list(range(10_007))
    assert torch.equal(order, epoch.order(torch.Generator().manual_seed(1)))
    assert not torch.equal(order, epoch.order(torch.Generator().manual_seed(2)))
    batches = sizes[order[: 16 * 620]].view(-1, 16)
    spread = batches.amax(1) - batches.amin(1)
    assert spread.double().mean() < 2.5 * 1000 / BATCHES_PER_STRETCH
    # neither short nor long texts come first
    assert abs(batches[:310].double().mean() - batches[310:].double().mean()) < 60
