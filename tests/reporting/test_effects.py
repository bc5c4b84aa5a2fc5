"""Importances and dependences of columns are those of a known rule, which reads columns in the types given."""

import numpy as np
import pandas
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin

import instar
from instar.models import Tree
from instar.procedures.report import report
from instar.reporting.effects import show_effects
from instar.reporting.runs import Runs
from instar.runs.rows import collect

MARKUP = "<b>plan</b>"


class Rule(ClassifierMixin, BaseEstimator):
    """Says 0.9 for "yes" where the plan is pro and active, and reads each column in the type it was given in."""

    def __init__(self):
        self.classes_, self.n_features_in_ = np.array(["no", "yes"]), 3
        self.feature_names_in_ = np.array(["age", MARKUP, "active"], dtype=object)

    def fit(self, frame, labels):
        return self

    def predict(self, frame):
        return self.classes_[self.predict_proba(frame).argmax(1)]

    def predict_proba(self, frame):
        assert [kind.kind for kind in frame.dtypes] == ["i", "O", "b"]
        yes = np.where((frame[MARKUP] == "pro") & frame["active"], 0.9, 0.2)
        return np.stack([1 - yes, yes], 1)


def make_table(rows, seed):
    draw = np.random.default_rng(seed)
    columns = {"age": draw.integers(18, 80, rows), MARKUP: draw.choice(["pro", "basic"], rows).astype(object)}
    table = pandas.DataFrame(columns | {"active": draw.random(rows) < 0.7})
    table["left"] = np.where((table[MARKUP] == "pro") & table["active"], "yes", "no")
    return table


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    data = instar.load_data({"train": make_table(600, 0), "test": make_table(300, 1)}, label_column="left")
    folder = tmp_path_factory.mktemp("runs")
    instar.distill(data, Rule(), Tree(), out=folder / "taught", show=False)
    instar.train(data, Tree(), out=folder / "labels", show=False)
    return folder


def test_columns_have_the_effects_of_the_rule(folder):
    taught, labels = sorted(
        show_effects(Runs(collect(folder, folder)))["runs"], key=lambda one: one["name"] != "taught"
    )
    assert (taught["who"], labels["who"]) == (["teacher", "student"], ["student"])
    by_column = {
        line["column"]: {bar["who"]: float(bar["figure"].split()[0]) for bar in line["bars"]}
        for line in taught["lines"]
    }
    assert by_column["age"] == {"teacher": 0, "student": 0}
    # 35% are yes; a shuffled plan is another one for half of the rows, of which 70% are active
    assert by_column[MARKUP]["teacher"] == pytest.approx(35, abs=5)
    assert by_column["active"]["teacher"] == pytest.approx(21, abs=5)
    assert by_column[MARKUP]["student"] == pytest.approx(by_column[MARKUP]["teacher"], abs=0.1)
    assert taught["rows"] == 300
    [chart] = [chart for chart in taught["charts"] if chart["column"] == MARKUP]
    assert (chart["output"], [name for _, name in chart["ticks"]]) == ("yes", ["basic", "pro"])
    table = make_table(300, 1)
    told = [point["told"] for line in chart["lines"] if line["who"] == "teacher" for point in line["points"]]
    share = 100 * (0.2 + 0.7 * table["active"].mean())
    assert told == ["teacher: basic: 20.0%", f"teacher: pro: {share:.1f}%"]


def test_the_page_shows_them_without_markup(folder, tmp_path):
    page = report(folder, tmp_path / "report.html").read_text()
    assert "&lt;b&gt;plan&lt;/b&gt;" in page
    assert MARKUP not in page


def test_a_failure_costs_the_section_and_not_the_run(tmp_path, monkeypatch):
    def fail(*arguments):
        raise ValueError("the rows are tired")

    monkeypatch.setattr("instar.stages.column_effects._Rows", fail)
    data = instar.load_data({"train": make_table(100, 0), "test": make_table(50, 1)}, label_column="left")
    run = instar.train(data, Tree(), out=tmp_path / "run", show=False)
    assert run.result["notes"] == ["What the columns do is missing: the rows are tired."]
    assert show_effects(Runs(collect(tmp_path, tmp_path))) is None
