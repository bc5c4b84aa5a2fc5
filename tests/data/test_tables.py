"""Tables are the same values whatever they are stored in, and what has two readings is refused."""

import datetime as dt
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import torch

from instar.data import load_data
from instar.data.columns.cell_rows import CELLS, CellRows
from instar.data.samples import Samples
from instar.errors import ConfigError, DataError

BERLIN = ZoneInfo("Europe/Berlin")


def people(count: int = 24) -> pd.DataFrame:
    """A table with numbers, words, booleans, dates, missing values and quotes."""
    at = np.arange(count)
    frame = pd.DataFrame(
        {
            "age": np.where(at % 5 == 0, np.nan, 20.0 + at % 7),
            "visits": at % 3,
            "plan": [None if n % 6 == 1 else ["pro", 'the "basic",\none', "größer"][n % 3] for n in at],
            "active": at % 2 == 0,
            "since": [dt.datetime(2020, 1, 1 + n % 28, 12, tzinfo=BERLIN) for n in at],
            "born": [dt.date(1990, 1 + n % 12, 1) for n in at],
            "nothing": [None] * count,
            "constant": 7,
            "left": ["yes" if n % 4 == 0 else "no" for n in at],
        }
    )
    frame.index = at + 100  # an index is no column
    return frame


def cells(data: Any, split: str = "train") -> CellRows:
    rows = data.split(split).source.columns[CELLS]
    assert isinstance(rows, CellRows)
    return rows


def load(frame: Any, **settings: Any) -> Any:
    return load_data({"train": frame, "test": frame}, label_column="left", validation=0, **settings)


def write_folder(folder: Path, suffix: str, frame: pd.DataFrame) -> Path:
    folder.mkdir()
    for split in ("train", "test"):
        path = folder / f"{split}{suffix}"
        if suffix == ".csv":
            frame.to_csv(path, index=False, encoding="utf-8-sig")  # with the mark that Excel writes
        elif suffix == ".parquet":
            frame.to_parquet(path)
        else:
            frame.to_json(path, orient="records", lines=True, date_format="iso")
    return folder


def test_a_table_has_one_fingerprint_as_csv_parquet_arrow_and_data_frames(tmp_path: Path) -> None:
    frame = people()
    wanted = cells(load(frame)).fingerprint()
    table = pa.Table.from_pandas(frame)
    forms = {
        "csv": load_data(write_folder(tmp_path / "csv", ".csv", frame), label_column="left"),
        "parquet": load_data(write_folder(tmp_path / "parquet", ".parquet", frame), label_column="left"),
        "arrow": load(table),
        "polars": load(pl.from_pandas(frame)),
        "lazy": load(pl.from_pandas(frame).lazy()),
        "categories": load(frame.astype({"plan": "category"})),
        "text": load(pd.read_csv(tmp_path / "csv" / "train.csv", dtype=str)),
        "objects": load(frame.astype(object)),
    }
    found = {name: cells(data).fingerprint() for name, data in forms.items()}
    assert found == dict.fromkeys(forms, wanted)
    assert forms["csv"].classes == ("no", "yes")
    assert forms["csv"].train.source.fingerprint() == forms["parquet"].train.source.fingerprint()


def test_values_are_numbers_seconds_and_places_of_sorted_words() -> None:
    rows = cells(load(people()))
    kinds = {column.name: column.kind for column in rows.schema}
    assert kinds == {
        "age": "number",
        "visits": "number",
        "plan": "word",
        "active": "boolean",
        "since": "date",
        "born": "date",
        "nothing": "empty",
        "constant": "number",
    }
    plan = rows.schema.columns[2]
    assert plan.categories == ("größer", "pro", 'the "basic",\none')
    first = dict(zip(kinds, rows.values[0].tolist(), strict=True))
    assert np.isnan(first["age"])
    assert first["active"] == 1
    # noon in Berlin is 11 o'clock UTC in winter
    assert first["since"] == dt.datetime(2020, 1, 1, 11, tzinfo=dt.UTC).timestamp()
    assert first["born"] == dt.datetime(1990, 1, 1, tzinfo=dt.UTC).timestamp()
    assert plan.categories[int(first["plan"])] == "pro"
    assert bool(rows.values[:, 6].isnan().all())


def test_a_change_of_one_cell_one_word_or_one_name_changes_the_fingerprint() -> None:
    frame = people()
    wanted = cells(load(frame)).fingerprint()
    for change in (
        frame.assign(visits=frame["visits"].where(frame["visits"].index != 105, 9)),
        frame.assign(plan=frame["plan"].replace("pro", "prof")),
        frame.rename(columns={"age": "years"}),
        frame.assign(since=frame["since"].dt.tz_localize(None)),
    ):
        assert cells(load(change)).fingerprint() != wanted


def test_the_fingerprint_of_a_split_does_not_depend_on_words_of_another() -> None:
    frame = people()
    other = frame.assign(plan="only in the test")
    data = load_data({"train": frame, "test": other}, label_column="left", validation=0)
    assert cells(data).fingerprint() == cells(load(frame)).fingerprint()


def test_a_drawn_test_set_keeps_rows_and_frames_together() -> None:
    frame = people(40)
    data = load_data(frame, label_column="left", test=0.25)
    for split in ("train", "test"):
        source = data.split(split).source
        shown = cells(data, split).as_frame()
        assert (shown["visits"].to_numpy() == cells(data, split).values[:, 1].numpy()).all()
        labels = [source.classes[label] for label in source.labels.tolist()]
        assert frame.loc[shown.index, "left"].tolist() == labels


def test_the_frame_of_a_table_is_the_one_that_was_given() -> None:
    frame = people().astype({"plan": "category", "visits": "int8"})
    data = load(frame)
    given = frame.drop(columns="left")
    pd.testing.assert_frame_equal(cells(data).as_frame(), given)
    pd.testing.assert_frame_equal(cells(data).as_frame(torch.tensor([5, 2])), given.iloc[[5, 2]])
    frame["visits"] = 0  # a change that comes later
    assert cells(data).as_frame()["visits"].max() == 2


def test_columns_may_have_another_order_in_another_split() -> None:
    frame = people()
    data = load_data({"train": frame, "test": frame[frame.columns[::-1]]}, label_column="left", validation=0)
    assert cells(data, "test").fingerprint() == cells(data).fingerprint()


def test_ids_and_leaks_are_left_out_by_name() -> None:
    frame = people().assign(customer=[f"c{n}" for n in range(24)])
    with pytest.raises(DataError, match=r"'customer'.* 24 different words in 24 rows.*leave_out=\['customer'\]"):
        load(frame)
    data = load(frame, leave_out=["customer", "constant"])
    assert "customer" not in data.train.source.feature_names
    assert "constant" not in data.train.source.feature_names
    with pytest.raises(DataError, match=r"'custmer', which .* 'customer'"):
        load(frame, leave_out=["custmer"])
    with pytest.raises(DataError, match=r"leave_out names 'left', which is the label"):
        load(frame, leave_out=["left"])


def test_a_column_that_is_left_out_may_be_kept_beside(tmp_path: Path) -> None:
    frame = people().assign(id=np.arange(24) * 0.5)
    frame.to_csv(tmp_path / "rows.csv", index=False)
    given = {"label_column": "left", "test": 0.25, "columns": ["id"]}
    data = load_data(tmp_path / "rows.csv", leave_out=["id"], **given)
    assert data.fingerprints() == load_data(tmp_path / "rows.csv", **given).fingerprints()
    assert "id" in data.train.source.columns
    assert "id" not in data.train.source.feature_names
    with pytest.raises(DataError, match=r"column_types names 'id', which is kept beside the inputs by data\.columns"):
        load_data(tmp_path / "rows.csv", column_types={"id": "word"}, **given)


REFUSED: dict[str, tuple[pd.DataFrame, str]] = {
    "an id": (pd.DataFrame({"id": [f"c{n}" for n in range(48)]}), "48 different words in 48 rows.*leave_out"),
    "an index": (pd.DataFrame({"row": range(48)}), "each whole number from 0 to 47 once.*leave_out"),
    "infinity": (pd.DataFrame({"x": [1.0, np.inf] * 24}), "infinite in row 1"),
    "lists": (pd.DataFrame({"x": [[1, 2]] * 48}), "values of type list"),
    "a large number": (pd.DataFrame({"x": [2**60 + 1, 5] * 24}), "cannot be read as numbers"),
    "no such date": (pd.DataFrame({"x": ["2024-02-31", "2024-01-01"] * 24}), "read as dates: row 0 holds '2024-02-31'"),
    "a few zones": (pd.DataFrame({"x": ["2024-02-01T00:00:00Z", "2024-01-01"] * 24}), "have a time zone"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_a_column_without_one_reading_is_refused_with_its_name(what: str) -> None:
    frame, told = REFUSED[what]
    labels = ["a", "b"] * 24
    with pytest.raises(DataError, match=f"column '{frame.columns[0]}'.*{told}"):
        load_data(frame.assign(age=[20.5, 30] * 24, left=labels), label_column="left", test=0.25)


def test_the_user_decides_what_a_column_holds() -> None:
    frame = people().assign(code=[f"0{n % 3}" for n in range(24)], grade=np.arange(24) % 4, row=np.arange(24))
    data = load(frame, column_types={"grade": "word", "visits": "word", "row": "number"})
    kinds = {column.name: (column.kind, column.categories) for column in cells(data).schema}
    assert kinds["code"] == ("word", ("00", "01", "02"))  # a leading zero is no number
    assert kinds["grade"] == ("word", ("0", "1", "2", "3"))
    assert kinds["row"] == ("number", ())
    with pytest.raises(DataError, match=r"column 'plan'.*numbers"):
        load(frame, column_types={"plan": "number"})
    with pytest.raises(ConfigError, match=r"column_types"):
        load(frame, column_types={"plan": "color"})


def test_splits_must_have_the_same_columns_and_types() -> None:
    frame = people()
    with pytest.raises(DataError, match=r"'age', and 'test arrays' does not"):
        load_data({"train": frame, "test": frame.drop(columns="age")}, label_column="left")
    with pytest.raises(DataError, match=r"column 'age'.*numbers and words"):
        load_data({"train": frame, "test": frame.assign(age="old")}, label_column="left")
    # a split without any value has no type of its own
    data = load_data({"train": frame, "test": frame.assign(age=None, since=None, plan=None)}, label_column="left")
    assert cells(data, "test").schema.columns[0].kind == "number"
    assert cells(data, "test").schema.columns[4].has_zone


def test_numbers_that_are_text_are_numbers_as_they_are_in_a_csv_file() -> None:
    frame = people().assign(total=[f"{n}.50" for n in range(24)], flag=["true", "FALSE"] * 12, blank=["  ", "x"] * 12)
    schema = {column.name: column.kind for column in cells(load(frame)).schema}
    assert (schema["total"], schema["flag"]) == ("number", "boolean")
    assert bool(cells(load(frame)).values[0, -1].isnan())  # blank text is a missing value


def test_labels_may_be_words_that_are_numbers_and_a_quantity_is_refused() -> None:
    frame = people()
    data = load(frame.assign(left=[str(n % 3 + 9) for n in range(24)]))
    assert data.classes == ("10", "11", "9")
    quantities = frame.assign(left=np.arange(24) * 3)
    with pytest.raises(DataError, match=r"or quantities \(regression\)\. .*, or data\.labels=numbers if they are"):
        load(quantities)


def test_numeric_tables_beside_labels_stay_arrays() -> None:
    frame = pd.DataFrame({"a": [0.5, 1.5, 2.5, 3.5], "b": [1, 2, 3, 4]})
    data = load_data((frame, ["x", "y", "x", "y"]), test=0.5, validation=0)
    assert data.train.source.inputs.dtype == torch.float32
    assert not data.train.source.columns
    words = load_data((frame.assign(c=["u", "v", "u", "v"]), ["x", "y", "x", "y"]), test=0.5, validation=0)
    assert words.train.source.feature_names == ("a", "b", "c")


def test_rows_of_real_tables_have_the_types_that_their_page_tells(churn_folder: Path, diamonds_folder: Path) -> None:
    data = load_data(churn_folder, label_column="churn")
    assert cells(data).schema.describe() == "9 numbers, 10 words"
    assert len(data.train) == 5634
    assert data.validation is not None
    assert "values missing" in data.describe()
    diamonds = load_data(diamonds_folder, label_column="cut", leave_out=["price"])
    assert diamonds.classes == ("Fair", "Good", "Ideal", "Premium", "Very Good")
    with pytest.raises(DataError, match=r"data\.labels=numbers if they are quantities"):
        load_data(diamonds_folder, label_column="price")
    with pytest.raises(DataError, match=r"set data\.label_column"):
        load_data(churn_folder)


def test_a_selection_of_a_table_keeps_its_rows() -> None:
    source = load(people()).train.source
    some = Samples.all_of(source).select(torch.tensor([3, 1])).as_source("two")
    rows = some.columns[CELLS]
    assert isinstance(rows, CellRows)
    assert torch.equal(rows.values.nan_to_num(), source.columns[CELLS].values[[3, 1]].nan_to_num())
