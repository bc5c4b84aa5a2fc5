"""What training on a table warns of, and what it does not."""

import time

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_breast_cancer, load_iris, load_wine

from instar.data import load_data
from instar.data.tables.faults import find_faults
from instar.errors import DataError

ROWS = 600
RANDOM = np.random.default_rng(0)


def table(**columns):
    age = RANDOM.normal(size=ROWS)
    left = np.where(age + RANDOM.normal(size=ROWS) > 1, "yes", "no")
    frame = pd.DataFrame({"age": age, "plan": RANDOM.choice(["a", "b", "c"], ROWS), "left": left})
    return frame.assign(**{name: make(frame) if callable(make) else make for name, make in columns.items()})


def faults(frame, label="left", **settings):
    cut = 3 * len(frame) // 4
    data = load_data({"train": frame[:cut], "test": frame[cut:]}, label_column=label, **settings)
    return find_faults(data.train, {name: part for name, part in data.splits.items() if name != "train"})


def test_columns_that_never_vary_are_named_and_those_that_are_missing_in_some_rows_are_not():
    found = faults(
        table(
            one=1.5,
            word="x",
            nothing=None,
            half=np.where(np.arange(ROWS) % 2, 1.0, np.nan),
            seldom=np.where(np.arange(ROWS) > 550, 2.0, 1.0),  # varies in the test set alone
        )
    )
    assert found == [
        "column 'nothing' has no value in any training sample, so models learn nothing from it; leave it out with "
        "data.leave_out",
        "columns 'one', 'word', 'seldom' have the same value in all training samples, so models learn nothing from "
        "them; leave them out with data.leave_out",
    ]


@pytest.mark.parametrize(
    "leak",
    [
        lambda frame: np.where(frame["left"] == "yes", 1, 0),
        lambda frame: np.where(frame["left"] == "yes", "gone", "here"),
        lambda frame: np.where(frame["left"] == "yes", "2024-02-01", None),  # only who has left has a date
        lambda frame: RANDOM.normal(size=ROWS) + 20 * (frame["left"] == "yes"),
        lambda frame: 4 * (RANDOM.integers(0, 10, ROWS) * 2 + (frame["left"] == "yes")),  # many values of either
    ],
)
def test_a_column_that_predicts_the_label_alone_is_named(leak):
    [found] = faults(table(leak=leak))
    assert found.startswith("column 'leak' alone predicts the label of 100.0% of the training samples; if it is known ")
    assert found.endswith("data.leave_out=['leak']")


def test_real_tables_and_ids_are_no_leaks():
    for load, label in ((load_iris, "target"), (load_wine, "target"), (load_breast_cancer, "target")):
        frame = load(as_frame=True).frame.sample(frac=1, random_state=0)
        assert not [told for told in faults(frame, label) if "alone" in told]
    ids = {"column_types": {"id": "word"}}
    assert faults(table(id=[f"C{number}" for number in range(ROWS)]), **ids) == []
    assert faults(table(noise=RANDOM.normal(size=ROWS))) == []


def test_classes_without_samples_are_named_with_what_would_help():
    frame = table()
    frame.loc[0, "left"] = "perhaps"
    frame.loc[1:12, "left"] = "later"
    drawn, stratified = faults(frame, split_seed=3), faults(frame, stratified=True)
    assert drawn[-2].startswith("classes 'later', 'perhaps' have no validation sample, so the error there says nothing")
    assert drawn[-2].endswith("of them; set data.stratified=true, or add samples")
    assert drawn[-1].startswith(
        "classes 'later', 'perhaps' have no test sample, so the error there says nothing of them"
    )
    assert stratified[0] == "class 'perhaps' has a single training sample, which is too few to learn from"
    assert [told for told in stratified if "validation" in told] == [
        "class 'perhaps' has no validation sample, so the error there says nothing of it; add samples"
    ]
    assert faults(table(left="no"))[0] == "all training samples have the label 'no', so there is nothing to tell apart"


def test_arrays_have_no_such_faults_and_large_tables_are_looked_at_quickly():
    data = load_data((np.ones((50, 3), np.float32), np.arange(50) % 2))
    assert find_faults(data.train, {}) == []
    wide = pd.DataFrame(RANDOM.normal(size=(20_000, 30)), columns=[f"c{number}" for number in range(30)])
    data = load_data({"train": wide.assign(label=RANDOM.integers(0, 5, 20_000)), "test": wide[:9].assign(label=1)})
    before = time.process_time()
    find_faults(data.train, {})
    assert time.process_time() - before < 1


def test_training_says_them_on_stderr_and_a_share_that_is_no_sample_is_refused(tmp_path, instar):
    table(one=1).to_csv(tmp_path / "rows.csv", index=False)
    arguments = ["--model", "linear", "--set", "data.label_column=left", "--set", "data.test=0.2", "--epochs", 1]
    code, _, err = instar("train", tmp_path / "rows.csv", *arguments, "--out", tmp_path / "run")
    assert code == 0
    assert "instar: warning: column 'one' has the same value in all training samples" in err
    with pytest.raises(
        DataError, match=r"a share of 0\.1 of the 4 training samples of '.*' is no sample; set data\.val"
    ):
        load_data({"train": table()[:4], "test": table()}, label_column="left")
