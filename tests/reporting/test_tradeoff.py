"""Errors against cost, and predicted against true numbers: the figures are those of the run folders."""

import html
import re

import numpy as np
import pandas
import pytest
from sklearn.ensemble import RandomForestClassifier

import instar
from instar.models import MLP, Tree
from instar.procedures.report import report
from instar.reporting.numbers import BOTTOM, LEFT, MARGIN, PIXELS, show_numbers
from instar.reporting.runs import Runs
from instar.reporting.tradeoff import weigh_costs
from instar.runs.files import read_json
from instar.runs.rows import collect


def test_models_stand_beside_their_costs(tmp_path):
    data = instar.load_data("digits")
    rows = data.train.inputs().flatten(1).numpy()
    forest = RandomForestClassifier(5, random_state=0).fit(rows, data.train.labels.numpy())
    run = instar.distill(data, forest, Tree(), out=tmp_path / "student", show=False)
    control = instar.train(data, Tree(), out=tmp_path / "control", show=False)
    found = weigh_costs(Runs(collect(tmp_path, tmp_path)))
    lines = {line[0]: line[1:] for line in found["lines"]}
    assert {name: line[0] for name, line in lines.items()} == {
        "control": "control",
        "student": "student",
        "teacher of student": "teacher",
    }
    assert lines["teacher of student"][1] == f"{100 * run.metrics['teacher_error']:.2f}"
    assert lines["control"][1:3] == [f"{100 * control.metrics['error']:.2f}", f"{control.result['parameters']:,}"]
    cost = read_json(tmp_path / "student" / "cost.json")
    for name, latency in (("student", cost["latency"]), ("teacher of student", cost["teacher"])):
        wanted = [1000 * latency[str(size)]["median"] / size for size in (1, 10_000)]
        assert [float(text.replace(",", "")) for text in lines[name][3:]] == pytest.approx(wanted, abs=0.01)
    assert len(found["charts"]) == 3
    for one, other in zip(found["charts"][1]["marks"], found["charts"][1]["marks"][1:], strict=False):
        slower = one["x"] < other["x"]
        times = [float(mark["told"].split(", ")[-1].replace(",", "")) for mark in (one, other)]
        assert (times[0] < times[1]) == slower


def test_numbers_lie_on_the_diagonal_where_they_are_right(tmp_path):
    draw = np.random.default_rng(0)
    table = pandas.DataFrame({"x": draw.normal(size=300)})
    table["price"] = 1000 * table["x"]
    settings = {"label_column": "price", "labels": "numbers"}
    data = instar.load_data({"train": table, "test": table[:100]}, **settings)
    instar.train(data, MLP([16]), epochs=60, learning_rate=0.02, out=tmp_path / "run", show=False)
    runs = Runs(collect(tmp_path, tmp_path))
    [chart] = show_numbers(runs)["charts"]
    assert len(chart["points"]) == 100
    points = np.array(chart["points"])
    along = (points[:, 0] - LEFT) / (PIXELS - LEFT - MARGIN)
    up = (PIXELS - BOTTOM - points[:, 1]) / (PIXELS - BOTTOM - MARGIN)
    assert np.abs(along - up).mean() < 0.05
    assert weigh_costs(runs) is None  # one model alone
    student = instar.distill(data, tmp_path / "run", Tree(depth=2), out=tmp_path / "tree", show=False)
    runs = Runs(collect(tmp_path, tmp_path))
    [told] = show_numbers(runs)["told"]
    apart, share = (float(found) for found in re.search(r"are ([\d.]+) from.* keeps ([\d.]+)% of", told).groups())
    assert apart == pytest.approx(student.metrics["rmse_to_teacher"], rel=0.01)
    assert share == pytest.approx(100 * student.metrics["r2"] / student.metrics["teacher_r2"], abs=0.06)
    assert told in html.unescape(report(tmp_path, tmp_path / "report.html").read_text())
