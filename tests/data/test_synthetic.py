"""Manufactured rows are those of their definitions, keep the types of a table, and depend on (seed, id) alone."""

import datetime as dt
import itertools

import numpy as np
import pandas as pd
import pytest
import torch

import instar
from instar.data import load_data
from instar.data.columns.cell_rows import CellRows
from instar.data.columns.schema import Schema, TableColumn
from instar.data.synthetic import GENERATORS, Munge, NaiveBayes, Smearing, nearest, parse_generator
from instar.data.synthetic.transfer import rows_of
from instar.errors import ConfigError, DataError, InstarError, MismatchError
from instar.models import MLP

ROWS = 60


def people(count: int = ROWS) -> pd.DataFrame:
    """A table with every type, each written in another way, and missing values."""
    at, draws = np.arange(count), np.random.default_rng(0)
    return pd.DataFrame(
        {
            "income": np.where(at % 5 == 0, np.nan, draws.normal(50, 20, count).round(2)),
            "visits": draws.integers(0, 9, count),
            "plan": pd.Categorical([None if n % 6 == 1 else ["pro", "basic"][n % 2] for n in at]),
            "city": [f"city {n % 20}" for n in at],
            "vip": ["yes" if n % 3 else "no" for n in at],
            "active": at % 2 == 0,
            "since": pd.Timestamp("2020-01-01", tz="Europe/Berlin") + pd.to_timedelta(at * 7 % 31, "h"),
            "born": [dt.date(1990, 1 + n % 12, 1) for n in at],
            "nothing": [None] * count,
        }
    )


def load(count: int = ROWS, **settings):
    labels = ["yes" if n % 4 == 0 else "no" for n in range(count)]
    test = (people(count).iloc[:20], labels[:20])
    return load_data(
        {"train": (people(count), labels), "test": test},
        column_types={"vip": "word"},
        **({"validation": 0.2} | settings),
    )


def table(values, *kinds):
    columns = (TableColumn(f"c{at}", "word" if words else "number", words) for at, words in enumerate(kinds))
    return CellRows(torch.tensor(values, dtype=torch.float64), Schema(tuple(columns)))


@pytest.mark.parametrize("name", GENERATORS)
def test_made_rows_have_the_types_and_the_values_of_the_table_in_python_and_in_each_file(name, tmp_path):
    rows = rows_of(load(validation=0).train, parse_generator(name))
    made = parse_generator(name).fit(rows).make(torch.arange(200), seed=1)
    given, found = rows.as_frame(), made.as_frame()
    assert list(found.columns) == list(given.columns)
    assert (found.dtypes == given.dtypes).all()
    for column in ("plan", "city", "vip", "active"):
        assert set(found[column].dropna()) <= set(given[column].dropna())
    for column in ("income", "visits", "since", "born"):
        known, new = given[column].dropna(), found[column].dropna()
        assert known.min() <= new.min(), column
        assert new.max() <= known.max(), column
    assert (found["income"].dropna().round(2) == found["income"].dropna()).all()
    assert found["income"].isna().any()
    assert (found["since"].dt.minute == 0).all()
    assert all(isinstance(day, dt.date) for day in found["born"])
    for suffix in (".csv", ".parquet", ".jsonl"):  # what is read back is what was made
        instar.synthesise(load(validation=0), name, rows=200, seed=1, out=tmp_path / f"rows{suffix}")
        again = load(validation=0, transfer=str(tmp_path / f"rows{suffix}"), transfer_alone=True).train
        cells = again.source.table.take(again.ids)
        torch.testing.assert_close(cells.recode(rows.schema), made.values, equal_nan=True, rtol=0, atol=0)


@pytest.mark.parametrize("name", GENERATORS)
def test_a_row_depends_on_the_seed_and_its_number_alone(name):
    fitted = parse_generator(name).fit(rows_of(load().train, parse_generator(name)))
    ids = torch.tensor([5, 100_000, 3, 10**12])
    whole = fitted.make(ids, seed=7).values
    alone = torch.cat([fitted.make(one[None], seed=7).values for one in ids])
    assert torch.equal(whole.nan_to_num(nan=-9), alone.nan_to_num(nan=-9))
    assert not torch.equal(whole.nan_to_num(nan=-9), fitted.make(ids, seed=8).values.nan_to_num(nan=-9))
    parts = torch.cat([part.values for part in fitted.parts(3, 9000, 7)])
    assert torch.equal(parts[2].nan_to_num(nan=-9), whole[0].nan_to_num(nan=-9))


def distance(a, b, rows):
    """The squared distance, cell by cell."""
    total = 0.0
    for column, x, y in zip(rows.schema, a.tolist(), b.tolist(), strict=True):
        place = rows.schema.names.index(column.name)
        known = rows.values[:, place][~rows.values[:, place].isnan()]
        if column.kind == "word" or np.isnan(x) or np.isnan(y):
            total += not (x == y or (np.isnan(x) and np.isnan(y)))
        else:
            total += ((x - y) / (known.max() - known.min()).item()) ** 2
    return total


@pytest.mark.parametrize("candidates", [1000, 25])
def test_the_neighbour_is_the_nearest_by_a_loop_over_all_cells(candidates, monkeypatch):
    draws = torch.Generator().manual_seed(0)
    words = tuple(f"w{n:02}" for n in range(20))
    values = torch.stack(
        [
            torch.rand(40, generator=draws).double(),
            torch.randint(9, (40,), generator=draws).double(),
            torch.randint(3, (40,), generator=draws).double(),
            torch.randint(20, (40,), generator=draws).double(),
        ],
        1,
    )
    values[::7, 2] = values[::9, 3] = torch.nan
    rows = table(values.tolist(), (), (), ("a", "b", "c"), words)
    monkeypatch.setattr(nearest, "MAX_CANDIDATES", candidates)
    found = nearest.find_nearest(rows)
    known = set(range(40)) if candidates > 40 else set(found.tolist())
    assert len(known) <= candidates
    for row in range(40):
        least = min(distance(values[row], values[other], rows) for other in known - {row})
        assert found[row] != row
        assert distance(values[row], values[found[row]], rows) == pytest.approx(least, abs=1e-6)


def test_munge_draws_around_the_neighbour_and_swaps_words_as_its_paper_says():
    rows = table([[0.0, 0.0], [8.0, 1.0], [100.0, 0.0], [1000.0, torch.nan]], (), ("a", "b"))
    fitted = Munge(1.0, divisor=4.0).fit(rows)
    base = Munge(0.0).fit(rows).make(torch.arange(40_000), seed=0).values[:, 0]
    made = fitted.make(torch.arange(40_000), seed=0).values
    for row, (own, _) in enumerate(rows.values.tolist()):
        other, word = rows.values[fitted.nearest[row]].tolist()
        mine = made[base == own]
        assert len(mine) == 10_000  # once in each pass
        np.testing.assert_array_equal(mine[:, 1], np.full(10_000, word))
        spread = abs(own - other) / 4
        inside = min(other - 0, 1000 - other) > 3 * spread  # otherwise the range cuts the draws
        if inside:
            assert mine[:, 0].mean() == pytest.approx(other, abs=0.05 * spread)
            assert mine[:, 0].std() == pytest.approx(spread, rel=0.03)
    some = Munge(0.25).fit(rows).make(torch.arange(40_000), seed=1).values
    own = Munge(0.0).fit(rows).make(torch.arange(40_000), seed=1).values
    other = rows.values[fitted.nearest[torch.searchsorted(rows.values[:, 0].contiguous(), own[:, 0].contiguous())], 1]
    differs = own[:, 1].nan_to_num(nan=-1) != other.nan_to_num(nan=-1)
    changed = some[:, 1].nan_to_num(nan=-1) != own[:, 1].nan_to_num(nan=-1)
    assert changed[differs].double().mean() == pytest.approx(0.25, abs=0.02)


def test_smearing_keeps_each_cell_with_its_probability_and_marginals_keep_no_dependence():
    rows = table([[float(n), float(n)] for n in range(1000)], (), ())
    made = Smearing(0.25).fit(rows).make(torch.arange(20_000), seed=0).values
    assert (made[:, 0] == made[:, 1]).double().mean() == pytest.approx(0.75**2, abs=0.02)
    free = parse_generator("marginals").fit(rows).make(torch.arange(20_000), seed=0).values
    assert abs(torch.corrcoef(free.T)[0, 1]) < 0.03
    assert free.mean(0).tolist() == pytest.approx([499.5, 499.5], abs=10)


def test_naive_bayes_finds_the_components_and_what_is_missing_in_each():
    draws = np.random.default_rng(0)
    parts = [(0.0, 1.0, 0), (20.0, 3.0, 1), (50.0, 1.0, 2)]
    values = [
        [draws.normal(mean, sd), np.nan if word == 2 and at % 2 else float(word)]
        for (mean, sd, word), at in itertools.product(parts, range(200))
    ]
    fitted = NaiveBayes().fit(table(values, (), ("a", "b", "c")))
    assert len(fitted.mixture.weights) in (4, 8)
    made = fitted.make(torch.arange(3000), seed=0).values
    middle = made[(made[:, 0] > 8) & (made[:, 0] < 35)]
    assert middle[:, 0].mean() == pytest.approx(20, abs=0.6)
    assert middle[:, 0].std() == pytest.approx(3, abs=0.5)
    assert (middle[:, 1] == 1).double().mean() > 0.95
    assert made[made[:, 0] > 40, 1].isnan().double().mean() == pytest.approx(0.5, abs=0.06)


def test_new_rows_follow_the_samples_and_reach_neither_validation_nor_test():
    plain = load()
    data = load(transfer="Munge(0.3)", transfer_rows=100)
    assert data.train.ids.tolist() == [*plain.train.ids.tolist(), *range(ROWS, ROWS + 100)]
    assert torch.equal(data.train.labels[:-100], plain.train.labels)
    assert set(data.train.labels[-100:].tolist()) == {-1}
    for split in ("validation", "test"):
        mine, theirs = data.split(split), plain.split(split)
        assert torch.equal(mine.ids, theirs.ids)
        assert torch.equal(mine.labels, theirs.labels)
        assert mine.as_source("s").fingerprint() == theirs.as_source("s").fingerprint()
    assert "100 rows of Munge(probability=0.3" in data.describe()
    # the generator has not seen what is judged: other validation rows leave its rows alone
    cells = data.train.source.table.as_frame().iloc[ROWS:]
    seen = set(people().iloc[plain.train.ids.tolist()]["since"])
    assert cells["since"].between(min(seen), max(seen)).all()
    assert data.select(transfer=None, transfer_rows=None).fingerprints() == plain.fingerprints()
    assert data.select(transfer_rows=50).train.ids.tolist() == data.train.ids.tolist()[:-50]
    alone = load(transfer="munge", transfer_alone=True)
    assert len(alone.train) == 10 * len(plain.train)
    assert alone.train.ids.min() == ROWS
    hidden = load(transfer="munge", transfer_rows=10, drop_labels=1.0)
    assert set(hidden.train.labels.tolist()) == {-1}
    assert load(transfer="smearing", train_on_all=True).held_out is None


def test_arrays_of_numbers_and_small_pictures_are_rows_too():
    draws = np.random.default_rng(0)
    exact = draws.normal(size=(50, 3))
    data = load_data((exact, draws.integers(0, 2, 50)), transfer="munge", transfer_rows=20)
    made = data.train.source.inputs[-20:]
    assert made.dtype == data.train.source.inputs.dtype
    assert torch.isfinite(made).all()
    if data.train.source.given is not None:
        assert torch.equal(data.train.source.given[-20:].float(), made)
    digits = load_data("digits", subset=100, transfer="smearing", transfer_rows=30)
    assert digits.train.source.inputs.shape[1:] == digits.test.source.inputs.shape[1:]
    assert digits.train.source.inputs[-30:].max() <= digits.train.inputs()[:100].max()


FUNCTIONS = """
import numpy as np
def copies(train, ids, seed):
    return train.iloc[(ids + seed) % len(train)]
def together(train, ids, seed):
    return train.sample(len(ids), random_state=seed)
def fewer(train, ids, seed):
    return train.iloc[:1]
def fails(train, ids, seed):
    raise ValueError("no rows today")
def array(train, ids, seed):
    return np.zeros((len(ids), 2))
"""


@pytest.fixture
def mine(tmp_path, monkeypatch):
    (tmp_path / "rows_of_mine.py").write_text(FUNCTIONS)
    monkeypatch.syspath_prepend(tmp_path)


def test_a_function_makes_rows_where_it_is_trusted(mine):
    data = load(transfer="rows_of_mine:copies", transfer_rows=7, transfer_seed=2, trust=True)
    made = data.train.source.table.as_frame().iloc[ROWS:]
    pd.testing.assert_frame_equal(
        made.reset_index(drop=True), people().iloc[data.train.ids[2:9].tolist()].reset_index(drop=True)
    )
    with pytest.raises(ConfigError, match="allow this with --trust"):
        load(transfer="rows_of_mine:copies")
    with pytest.raises(ConfigError, match="allow this with --trust"):
        load().select(transfer="rows_of_mine:copies")


BAD = [
    ({"transfer": "mung"}, ConfigError, "did you mean 'munge'"),
    ({"transfer": "Munge(2)"}, ConfigError, "probability"),
    ({"transfer": "Munge(0.5, 0)"}, ConfigError, "divisor"),
    ({"transfer": "Munge() + Munge()"}, ConfigError, "has no meaning"),
    ({"transfer_rows": 5}, ConfigError, "needs data.transfer"),
    ({"transfer": "munge", "transfer_rows": 0}, ConfigError, "transfer_rows"),
    ({"transfer": "munge", "special_classes": ["yes"]}, ConfigError, "exclude each other"),
    ({"transfer": "rows_of_mine:together", "trust": True}, DataError, "asked for that row alone"),
    ({"transfer": "rows_of_mine:fewer", "trust": True}, DataError, "for each of 3 numbers, got 1 rows"),
    ({"transfer": "rows_of_mine:fails", "trust": True}, DataError, "ValueError: no rows today"),
    ({"transfer": "rows_of_mine:array", "trust": True}, DataError, "must return a data frame, got ndarray"),
    ({"transfer": "rows_of_mine:none", "trust": True}, ConfigError, "cannot be imported"),
    ({"transfer": "os:getcwd", "trust": True}, ConfigError, "installed package"),
]


@pytest.mark.parametrize(("settings", "error", "told"), BAD)
def test_what_cannot_make_rows_is_refused_in_one_sentence(mine, settings, error, told):
    with pytest.raises(error, match=told):
        load(**settings)


def test_a_table_that_does_not_fit_is_refused(tmp_path):
    rows, file = people(5), tmp_path / "rows.csv"
    rows.to_csv(file, index=False)
    with pytest.raises(ConfigError, match="at most the 5 rows"):
        load(transfer=str(file), transfer_rows=6)
    rows.drop(columns="city").to_csv(file, index=False)
    with pytest.raises(MismatchError, match="has no column 'city'"):
        load(transfer=str(file))
    rows.assign(visits="often").to_csv(file, index=False)
    with pytest.raises(DataError, match="cannot be read as number"):
        load(transfer=str(file))
    texts = {"train": (["a b", "c d", "e f"], ["x", "y", "x"]), "test": (["a", "b"], ["x", "y"])}
    with pytest.raises(InstarError, match="makes rows of tables or of arrays"):
        load_data(texts, validation=0, transfer="munge")


def test_a_student_learns_from_them_through_the_teacher_alone(tmp_path):
    from sklearn.compose import make_column_transformer
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder

    data = load(count=200)
    encoder = make_column_transformer((OneHotEncoder(), ["city", "vip", "plan"]), ("passthrough", ["visits"]))
    forest = make_pipeline(encoder, RandomForestClassifier(10, random_state=0)).fit(
        people(200).iloc[data.train.ids.tolist()], data.train.labels.tolist()
    )
    given = {"transfer": "munge", "transfer_rows": 300, "epochs": 2, "show": False}
    run = instar.distill(data, forest, MLP([4]), out=tmp_path / "run", **given)
    assert run.config["data"]["transfer"] == "munge"
    assert run.config["data"]["transfer_rows"] == 300
    assert instar.distill(data, forest, MLP([4]), out=tmp_path / "run", **given).result == run.result  # complete
    stored = instar.distill(
        data, forest, MLP([4]), out=tmp_path / "stored", targets="store", store={"dtype": "float32"}, **given
    )
    assert stored.metrics["nll"] == pytest.approx(run.metrics["nll"], rel=1e-5)
    for objective, told in (("HardLabels()", "no term of the objective"), ("DecoupledKD()", "which DecoupledKD needs")):
        with pytest.raises(MismatchError, match=told):
            instar.distill(data, forest, MLP([4]), out=tmp_path / "no", objective=objective, **given)
    with pytest.raises(MismatchError, match="this run has no teacher"):
        instar.train(data.select(transfer="munge"), MLP([4]), out=tmp_path / "no", show=False)


def test_rows_are_written_by_a_command_and_go_on_where_they_ended(tmp_path, instar):
    people().assign(left=["yes", "no"] * (ROWS // 2)).to_parquet(tmp_path / "people.parquet")
    common = ["--set", "data.label_column=left", "--set", "data.test=0.2", "--method", "Smearing(0.1)"]
    for name, rows in (("all", ["--rows", 9]), ("end", ["--first", 6, "--rows", 3])):
        code, out, err = instar(
            "synthesise", tmp_path / "people.parquet", *common, *rows, "--out", tmp_path / f"{name}.csv"
        )
        assert code == 0, err
    assert out.splitlines()[1] == "  3 rows of 9 columns"
    found = [(tmp_path / f"{name}.csv").read_text().splitlines() for name in ("all", "end")]
    assert found[0][-3:] == found[1][1:]
    code, _, err = instar("synthesise", tmp_path / "people.parquet", *common, "--rows", 9, "--out", tmp_path / "a.xlsx")
    assert (code, err.count("\n")) == (2, 1)
