"""Cells of text keep their values, whatever the table is stored in, or a sentence says what is in doubt."""

import gc
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

import instar
from instar.data import load_data
from instar.data.columns.cell_rows import CELLS, CellRows
from instar.errors import DataError
from instar.models.readers import Cells

KEPT: dict[str, tuple[list[str], str, list[Any]]] = {
    "leading zeros": (["007", "08"], "word", ["007", "08"]),
    "article numbers": (["1e5", "2e3"], "word", ["1e5", "2e3"]),
    "telephone numbers": (["+4930", "+331"], "word", ["+4930", "+331"]),
    "country codes": (["NA", "DE"], "word", ["NA", "DE"]),
    "qualities": (["None", "Good"], "word", ["None", "Good"]),
    "texts of nothing": (["null", "nan"], "word", ["null", "nan"]),
    "answers": (["Yes", "No"], "word", ["Yes", "No"]),
    "true or yes": (["True", "Yes"], "word", ["True", "Yes"]),
    "numbers and a word": (["5", "unknown"], "word", ["5", "unknown"]),
    "children": (["0", "3+"], "word", ["0", "3+"]),
    "spaces": ([" yes", "yes"], "word", [" yes", "yes"]),
    "versions": (["1.0.2", "1.1.0"], "word", ["1.0.2", "1.1.0"]),
    "true or false": (["True", "false"], "boolean", [1, 0]),
    "true or missing": (["TRUE", "NA"], "boolean", [1, None]),
    "numbers with gaps": (["nan", "1.5"], "number", [None, 1.5]),
    "small numbers": (["1e-05", "2.5E3"], "number", [1e-5, 2500]),
    "large numbers": (["1e16", "0.5"], "number", [1e16, 0.5]),
    "signs": (["+0.5", "-.5"], "number", [0.5, -0.5]),
    "spaced numbers": ([" 5", "6. "], "number", [5, 6]),
    "largest whole numbers": (["9007199254740991", "9007199254740992"], "number", [2**53 - 1, 2**53]),
    "days": (["2024-05-01", "<NA>"], "date", [1714521600, None]),
}
WARNED = {
    "article numbers": "read as words, because '1e5' may be a code",
    "telephone numbers": "read as words, because '+4930' may be a code",
    "country codes": "has the word 'NA', which stays a word",
    "qualities": "has the word 'None', which stays a word",
    "texts of nothing": "has the word 'null', which stays a word",
    "numbers and a word": "because 'unknown' is no number, and other values are",
    "children": "because '3+' is no number, and other values are",
}


def cells(data: Any, split: str = "train") -> CellRows:
    rows = data.split(split).source.columns[CELLS]
    assert isinstance(rows, CellRows)
    return rows


def write_folder(folder: Path, suffix: str, train: pd.DataFrame, test: pd.DataFrame | None = None) -> str:
    folder.mkdir()
    for split, frame in (("train", train), ("test", train if test is None else test)):
        path = folder / f"{split}{suffix}"
        if suffix == ".csv":
            frame.to_csv(path, index=False)
        elif suffix == ".parquet":
            frame.to_parquet(path)
        else:
            frame.to_json(path, orient="records", lines=True)
    return str(folder)


def test_the_same_text_has_the_same_values_in_every_file(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    frame = pd.DataFrame({name: values * 12 for name, (values, _, _) in KEPT.items()}).assign(left=["a", "b", "b"] * 8)
    forms = {suffix: write_folder(tmp_path / suffix[1:], suffix, frame) for suffix in (".csv", ".parquet", ".jsonl")}
    found = {}
    for form, given in {**forms, "frame": {"train": frame, "test": frame}}.items():
        data = load_data(given, label_column="left", validation=0)
        rows, told = cells(data), capfd.readouterr().err
        found[form] = rows.fingerprint()
        for place, (name, (_, kind, values)) in enumerate(KEPT.items()):
            column = rows.schema.columns[place]
            assert (column.name, column.kind) == (name, kind), form
            codes = [None if code != code else code for code in rows.values[:2, place].tolist()]  # noqa: PLR0124 (NaN)
            read = [column.categories[int(code)] for code in codes if code is not None] if kind == "word" else codes
            assert read == values, (form, name)
            assert (f"column '{name}'" in told) == (name in WARNED), (form, name)
            assert WARNED.get(name, "") in told
    assert len(set(found.values())) == 1, found


REFUSED = {
    "thousands": (["1,234", "12"], "holds numbers such as '1,234'.*may separate thousands or decimals"),
    "decimal commas": (["3,5", "2"], "holds numbers such as '3,5'"),
    "points and commas": (["1.234,5", "2"], "holds numbers such as '1.234,5'"),
    "days and months": (["01/02/2024", "12/11/2024"], "holds dates such as '01/02/2024'.*Write them as 2024-05-31"),
    "points in dates": (["1.2.24", "12.11.24"], "holds dates such as '1.2.24'"),
    "ids": (
        ["1152921504606846977", "1152921504606846976"],
        "1152921504606846977 has more digits than a number can keep",
    ),
    "longer ids": (["115292150460684697712345", "5"], "115292150460684697712345 has more digits"),
    "infinity": (["inf", "3"], "infinite in row 0"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_text_with_several_readings_is_refused_unless_the_user_says_that_it_is_words(what: str) -> None:
    values, told = REFUSED[what]
    frame = pd.DataFrame({"x": values * 12, "age": [20.5, 30] * 12, "left": ["a", "b", "b"] * 8})
    splits = {"train": frame, "test": frame}
    with pytest.raises(DataError, match=f"column 'x' of 'arrays.*{told}|column 'x' of 'train.*{told}"):
        load_data(splits, label_column="left")
    data = load_data(splits, label_column="left", column_types={"x": "word"})
    assert set(cells(data).schema.columns[0].categories) == set(values)


def test_whole_numbers_that_floats_would_change_are_refused_in_every_type() -> None:
    large = 2**53 + 1
    for values in (pa.array([large, 5] * 12), pa.array([large, 5] * 12, pa.decimal128(38, 0))):
        table = pa.table({"x": values, "age": [20.5, 30] * 12, "left": ["a", "b", "b"] * 8})
        with pytest.raises(DataError, match=f"{large} has more digits than a number can keep.*leave_out"):
            load_data({"train": table, "test": table}, label_column="left")


def test_a_column_of_numbers_with_words_in_the_test_is_refused(tmp_path: Path) -> None:
    train = pd.DataFrame({"x": ["5", "6", "7"] * 8, "code": ["7A", "8", "9"] * 8, "left": ["a", "b"] * 12})
    for odd, kind in (("unknown", "words"), ("007", "words"), ("2024-01-01", "dates")):
        test = train.assign(x=odd)
        with pytest.raises(DataError, match=f"holds numbers and {kind} in different splits.*'{odd}' in '.*test"):
            load_data({"train": train, "test": test}, label_column="left")
    folder = write_folder(tmp_path / "rows", ".csv", train, train.assign(x="007"))
    with pytest.raises(DataError, match=r"column 'x'.*holds numbers and words in different splits.*'007' in '.*test"):
        load_data(folder, label_column="left")
    # a code may be a number, where training has others
    data = load_data({"train": train, "test": train.assign(code="9")}, label_column="left")
    assert cells(data, "test").schema.columns[1].kind == "word"


@pytest.mark.filterwarnings(
    "ignore:unclosed file:ResourceWarning"
)  # the library leaves a file that it cannot read open
def test_numbers_may_have_decimals_after_the_first_ten_thousand_rows(tmp_path: Path) -> None:
    rows = [f"{n % 9},{'xy'[n % 2]}" for n in range(10_050)]
    (tmp_path / "rows.csv").write_text("\n".join(["age,left", *rows, "0.5,x"]))
    data = load_data(str(tmp_path / "rows.csv"), label_column="left", test=0.5, validation=0)
    assert cells(data).schema.columns[0].kind == "number"
    gc.collect()  # closes it here, and not in another test
    assert sum(float((cells(data, split).values == 0.5).sum()) for split in ("train", "test")) == 1


def test_rows_with_a_separator_at_their_end_are_refused(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("left,a,b\n" + "yes,1.5,2,\nno,2.5,3,\n" * 8)
    with pytest.raises(DataError, match=r"rows.csv' have a cell more than the header"):
        load_data(str(tmp_path / "rows.csv"), label_column="left", test=0.5)


def test_labels_that_are_codes_stay_as_they_are_written(tmp_path: Path) -> None:
    frame = pd.DataFrame({"age": [20.5, 30] * 12, "article": ["1e5", "2e5", "7"] * 8})
    data = load_data(write_folder(tmp_path / "rows", ".csv", frame), label_column="article", validation=0)
    assert data.classes == ("1e5", "2e5", "7")


def test_new_rows_of_a_csv_file_are_the_words_of_training(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    frame = pd.DataFrame({"code": ["007", "7", "NA"] * 16, "left": ["yes", "no", "no"] * 16})
    folder = write_folder(tmp_path / "rows", ".csv", frame)
    types = {"column_types": {"code": "word"}}
    data = load_data(folder, label_column="left", validation=0, **types)
    run = instar.train(data, "linear", out=tmp_path / "run", epochs=30, batch_size=8, learning_rate=0.1)
    assert run.metrics["error"] == 0
    wanted = instar.predict_proba(run, frame[["code"]])
    assert (instar.predict_proba(run, tmp_path / "rows" / "test.csv") == wanted).all()
    assert "no word of column" not in capfd.readouterr().err
    instar.predict(run, frame[["code"]].assign(code="7.0"))
    assert "no word of column 'code' of 'new rows' was seen in training: it has 7.0, and training" in (
        capfd.readouterr().err
    )


def test_codes_that_lost_their_zeros_are_refused(capfd: pytest.CaptureFixture[str]) -> None:
    frame = pd.DataFrame({"zip": ["010", "020", "350", "360"] * 8, "left": ["yes", "yes", "no", "no"] * 8})
    data = load_data({"train": frame, "test": frame}, label_column="left", validation=0, column_types={"zip": "word"})
    reader = Cells().fitted(data.train)
    numbers = frame.drop(columns="left").astype({"zip": int})
    told = r"column 'zip' of 'new' has '10', where training has '010': .* lost their zeros .*dtype=\{'zip': str\}"
    with pytest.raises(DataError, match=told):
        reader(reader.read_frame(numbers.astype(str), "new"))
    for lost in (numbers, numbers.astype(float), numbers.astype("category"), numbers[numbers["zip"] > 100]):
        with pytest.raises(DataError, match=r"'new' holds numbers, and training has codes such as '010'.*str\}"):
            reader.read_frame(lost, "new")
    with pytest.raises(DataError, match=r"has '10\.0', where training has '010'"):
        reader(reader.read_frame(numbers.astype(float).astype(str), "new"))
    assert reader(frame[["zip"]]).equal(reader(frame[["zip"]].astype("category")))
    large = numbers["zip"] > 100
    assert reader(numbers.astype(str)[large]).equal(reader(frame[["zip"]][large]))
    assert "warning" not in capfd.readouterr().err
    reader(frame[["zip"]].assign(zip=["010", "020", "350", "x"] * 8))
    assert "warning: 8 of 32 rows have a word of column 'zip' of 'table' that was never seen in training: it has x" in (
        capfd.readouterr().err
    )
    reader(frame[["zip"]].assign(zip=["010"] * 31 + ["x"]))
    assert "warning" not in capfd.readouterr().err


def test_other_data_whose_codes_are_numbers_are_refused_with_the_reason() -> None:
    frame = pd.DataFrame({"zip": ["010", "350"] * 8, "plan": ["pro", "free"] * 8, "left": ["yes", "no"] * 8})
    reader = Cells().fitted(load_data({"train": frame, "test": frame}, label_column="left").train)
    numbers = frame.astype({"zip": int})
    other = load_data({"train": numbers, "test": numbers}, label_column="left")
    with pytest.raises(DataError, match=r"holds numbers, and training has codes such as '010'"):
        reader.encode(other.test.source.columns["cells"])
    other = load_data({"train": numbers, "test": numbers}, label_column="left", column_types={"zip": "word"})
    with pytest.raises(DataError, match=r"has '10', where training has '010'"):
        reader.encode(other.test.source.columns["cells"])


def test_codes_that_are_known_with_and_without_zeros_are_said_to_be_in_doubt(capfd: pytest.CaptureFixture[str]) -> None:
    frame = pd.DataFrame({"zip": ["007", "7", "350", "12"] * 8, "plan": ["pro", "free"] * 16, "left": ["y", "n"] * 16})
    reader = Cells().fitted(load_data({"train": frame, "test": frame}, label_column="left").train)
    reader(frame[4:])
    assert "warning" not in capfd.readouterr().err
    numbers = frame.astype({"zip": int})
    other = load_data({"train": numbers, "test": numbers}, label_column="left", column_types={"zip": "word"})
    reader.encode(other.test.source.columns["cells"])
    assert "has '7', and no code with a zero in front; training has '007', too. If" in capfd.readouterr().err
