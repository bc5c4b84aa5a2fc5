"""A reader of tables standardises and encodes what the training rows know, by name."""

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.compose import make_column_transformer
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from instar.data import load_data
from instar.errors import ConfigError, DataError, MismatchError
from instar.models.readers import Cells, parse_reader


def table(count: int, seed: int = 0) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "age": random.normal(40, 12, count),
            "plan": random.choice(["pro", "basic", "free"], count),
            "active": random.random(count) < 0.3,
            "since": pd.Timestamp("2020-01-01") + pd.to_timedelta(random.integers(0, 2000, count), unit="s"),
            "left": random.choice(["yes", "no"], count),
        }
    )


def fit(train: pd.DataFrame, test: pd.DataFrame | None = None, reader: Cells | None = None) -> Cells:
    splits = {"train": train, "test": train if test is None else test}
    data = load_data(splits, label_column="left", validation=0)
    return (reader or Cells()).fitted(data.train)


def test_features_are_those_of_scikit_learn() -> None:
    train, test = table(200), table(50, seed=1)
    columns = ["age", "active", "since"]
    known = make_column_transformer((StandardScaler(), columns), (OneHotEncoder(sparse_output=False), ["plan"]))

    def as_numbers(frame: pd.DataFrame) -> pd.DataFrame:
        return frame.assign(since=frame["since"].astype("int64") / 1e6)  # a scaler takes no dates

    known.fit(as_numbers(train))
    reader = fit(train, test)
    assert reader.features == ("age", "active", "since", "plan = basic", "plan = free", "plan = pro")
    np.testing.assert_allclose(reader(test).numpy(), known.transform(as_numbers(test)), atol=1e-5)


def test_only_training_rows_are_looked_at() -> None:
    train = table(100)
    other = table(100, seed=1).assign(age=1e6, plan="never in training")
    assert fit(train, other).knowledge() == fit(train).knowledge()
    data = load_data({"train": train, "test": train}, label_column="left", validation=0.5)
    held_out = train.iloc[data.held_out.ids.numpy()]
    changed = train.copy()
    changed.loc[held_out.index, "age"] += 1e6
    again = load_data({"train": changed, "test": train}, label_column="left", validation=0.5)
    assert Cells().fitted(again.train).knowledge() == Cells().fitted(data.train).knowledge()


def test_the_order_of_columns_rows_and_categories_never_matters() -> None:
    train, test = table(100), table(20, seed=1)
    reader = fit(train)
    wanted = reader(test)
    shuffled = test[test.columns[::-1]]
    for order in (["pro", "free", "basic"], ["free", "basic", "pro", "other"]):
        given = shuffled.assign(plan=pd.Categorical(shuffled["plan"], order))
        assert torch.equal(reader(given), wanted)
    assert fit(train.sample(frac=1, random_state=0)).features == reader.features
    # alone, a row has other categories than among others
    assert torch.equal(torch.cat([reader(test[at : at + 1]) for at in range(len(test))]), wanted)


def test_missing_values_and_words_that_were_never_seen_have_answers_that_training_knows() -> None:
    train = table(100)
    train.loc[:9, "age"] = np.nan
    train.loc[10:14, "plan"] = None
    reader = fit(train)
    assert reader.features[-2:] == ("age is missing", "plan is missing")
    rows = train[50:51]
    plain = dict(zip(reader.features, reader(rows)[0].tolist(), strict=True))
    gone = dict(zip(reader.features, reader(rows.assign(age=np.nan, plan=None))[0].tolist(), strict=True))
    assert gone == plain | {
        "age": 0.0,
        "plan = basic": 0.0,
        "plan = free": 0.0,
        "plan = pro": 0.0,
        "age is missing": 1.0,
        "plan is missing": 1.0,
    }
    unseen = reader(rows.assign(plan="gold"))[0]
    assert unseen[3:6].tolist() == [0, 0, 0]
    # of a column that always had a value, a missing one is the mean
    late = dict(zip(reader.features, reader(rows.assign(active=None))[0].tolist(), strict=True))
    assert late == plain | {"active": 0.0}


def test_rare_words_stand_for_those_that_were_never_seen() -> None:
    train = table(100)
    train.loc[:2, "plan"] = ["gold", "silver", "gold"]
    reader = fit(train, reader=Cells(min_samples=3))
    place = reader.features.index("plan was never seen")
    assert "plan = gold" not in reader.features
    rare, new = reader(train[:1]), reader(train[:1].assign(plan="new"))
    assert torch.equal(rare, new)
    assert rare[0, place] == 1
    assert reader(train[3:4])[0, place] == 0


def test_columns_that_do_not_vary_have_no_feature() -> None:
    train = table(100).assign(constant=7.0, word="same", empty=None)
    test = train.assign(constant=1e9, word="other", empty=5.0)
    reader = fit(train, test)
    assert reader.features == fit(table(100)).features
    assert torch.equal(reader(test), reader(train))
    with pytest.raises(DataError, match="no column of 'train arrays' varies in the training samples"):
        fit(train[["constant", "word", "empty", "left"]])
    train.loc[0, "constant"] = np.nan  # whether it is known varies
    assert fit(train).features[-1] == "constant is missing"


def test_what_a_reader_knows_is_plain_json_and_makes_an_equal_reader() -> None:
    reader = fit(table(100), reader=Cells(min_samples=2))
    known = json.loads(json.dumps(reader.knowledge()))
    again = parse_reader(str(reader)).with_knowledge(known)
    assert again == reader
    assert hash(again) == hash(reader)
    assert torch.equal(again(table(9)), reader(table(9)))
    assert str(reader) == "Cells(min_samples=2)"
    with pytest.raises(ConfigError, match="damaged"):
        Cells().with_knowledge({"columns": [{"name": "age"}]})


REFUSED: dict[str, tuple[Any, str]] = {
    "a column that is missing": (table(3).drop(columns="age"), "no column 'age', which the model reads"),
    "words in place of numbers": (table(3).assign(age="old"), "column 'age'.*cannot be read as numbers"),
    "thousands": (
        table(3).assign(age=["1234", "5.5", "1,234"]),
        "column 'age'.*row 2 holds '1,234', whose comma .* Write numbers as 1234.5",
    ),
    "dates of another form": (
        table(3).assign(since=["2024-05-31", "01/02/2024", ""]),
        "column 'since'.*row 1 holds '01/02/2024', whose day .* Write dates as 2024-05-31",
    ),
    "no boolean": (table(3).assign(active=["true", None, "perhaps"]), "'active'.*row 2 holds 'perhaps', which is no"),
    "dates with a zone": (
        table(3).assign(since=pd.Timestamp("2020-01-01", tz="UTC")),
        "column 'since'.*dates with a time zone, and dates without a time zone are expected",
    ),
    "no table": ([[1.0]], "reads data frames, got list"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_rows_that_a_reader_cannot_read_are_refused(what: str) -> None:
    given, told = REFUSED[what]
    with pytest.raises((DataError, MismatchError), match=told):
        fit(table(50))(given)


def test_seconds_since_1970_keep_their_differences() -> None:
    frame = table(100).assign(since=pd.date_range("2024-05-01", periods=100, freq="s", tz="Europe/Berlin"))
    found = fit(frame)(frame)[:, 2]
    np.testing.assert_allclose(np.diff(found.numpy()), 1 / np.arange(100.0).std(), rtol=1e-4)
