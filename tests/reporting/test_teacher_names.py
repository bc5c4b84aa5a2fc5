"""Teachers that were given as objects: one name for each content, and words of numbers in a report about numbers."""

from pathlib import Path

import numpy as np
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeRegressor
from tests.reporting.test_html import Page

import instar
from instar.models import MLP, Boosting, Tree
from instar.models.build import MODELS
from instar.procedures.report import report
from instar.reporting.columns import EN_DASH
from instar.reporting.groups import MODELS_WITHOUT_GRADIENTS
from instar.reporting.lineage import link_runs
from instar.reporting.runs import Runs
from instar.runs.rows import collect
from instar.students.catalogue import STUDENTS

INPUTS = np.random.default_rng(0).normal(size=(120, 2)).astype(np.float32)
NUMBERS = 500 + 30 * INPUTS[:, 0]


def test_teachers_are_one_box_only_where_their_content_is_the_same(tmp_path: Path) -> None:
    numbers = instar.load_data((INPUTS, NUMBERS), labels="numbers")
    teachers = {
        "a": LinearRegression().fit(INPUTS, NUMBERS),
        "b": LinearRegression().fit(INPUTS, -NUMBERS),
        "c": LinearRegression().fit(INPUTS, NUMBERS),
        "d": DecisionTreeRegressor(max_depth=2).fit(INPUTS, NUMBERS),
        "e": make_pipeline(StandardScaler(), LinearRegression()).fit(INPUTS, NUMBERS),
    }
    root = tmp_path / "runs"
    for name, teacher in teachers.items():
        instar.distill(numbers, teacher, Tree(leaves=2), out=root / name, show=False)
    # the name of a run is no teacher's, even if it is the class of one
    instar.train(numbers, Boosting(2, leaves=2), out=root / "LinearRegression", show=False)
    instar.train(numbers, MLP([2]), epochs=1, learning_rate=0.01, out=root / "network", show=False)
    nodes = link_runs(Runs(collect(root)))
    taught = {node.name: {nodes[child].name for child in node.children} for node in nodes if not node.rows}
    assert taught == {
        "LinearRegression 1": {"a and 1 more"},
        "LinearRegression 2": {"b"},
        "DecisionTreeRegressor": {"d"},
        "Pipeline(LinearRegression)": {"e"},
    }
    page = Page(report(root).read_text())
    told = {row["Run"]: row["Teacher"] for row in page.rows()}
    assert told == {
        "a": "LinearRegression 1",
        "b": "LinearRegression 2",
        "c": "LinearRegression 1",
        "d": "DecisionTreeRegressor",
        "e": "Pipeline(LinearRegression)",
        "LinearRegression": EN_DASH,
        "network": EN_DASH,
    }
    # epochs and learning rate belong to the network alone, and so they differ between no two runs
    assert "Other settings" not in page.rows()[0]
    text = " ".join(page.text.split())
    assert "the predicted number of a leaf" in text
    assert "adds to the number of its samples." in text
    assert not [word for word in ("McNemar", "NLL", "soft target", "likeliest", "the class that") if word in text]


def test_teachers_of_classes_have_names_too(tmp_path: Path) -> None:
    labels = (NUMBERS > 500).astype(int)
    data = instar.load_data((INPUTS, labels))
    for seed in (0, 1):
        forest = RandomForestClassifier(2, random_state=seed).fit(INPUTS, labels)
        instar.distill(data, forest, Tree(leaves=2), out=tmp_path / f"tree-{seed}", show=False)
    page = Page(report(tmp_path).read_text())
    assert [row["Teacher"] for row in page.rows()] == ["RandomForestClassifier 1", "RandomForestClassifier 2"]
    assert "McNemar" in page.text
    assert "its likeliest class with its soft target" in " ".join(page.text.split())


def test_models_without_gradients_are_those_of_the_students() -> None:
    assert {name for name, family in MODELS.items() if family in STUDENTS} == MODELS_WITHOUT_GRADIENTS
