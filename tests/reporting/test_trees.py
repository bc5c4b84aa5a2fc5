"""The picture of a tree: each node tells the samples, labels and soft targets that a walk by hand finds."""

import numpy as np
import pandas
import pytest
import torch

import instar
from instar.models import Tree
from instar.models.normalised import Normalised
from instar.procedures.report import report
from instar.reporting.runs import Runs
from instar.reporting.trees import show_trees
from instar.runs.rows import collect

MARKUP = "<b>age</b>"


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    draw = np.random.default_rng(0)
    table = pandas.DataFrame(
        {MARKUP: draw.integers(18, 80, 900).astype(float), "plan": draw.choice(["pro", "basic"], 900)}
    )
    table["left"] = np.where((table[MARKUP] > 40) & (table["plan"] == "pro"), "yes", "no")
    table.loc[draw.random(900) < 0.2, "left"] = "maybe"
    data = instar.load_data({"train": table, "test": table[:200]}, label_column="left")
    folder = tmp_path_factory.mktemp("runs")
    instar.train(data, Tree(leaves=40, prune=False), out=folder / "tree", show=False)
    return folder, data


def test_nodes_tell_what_a_walk_by_hand_finds(runs):
    folder, data = runs
    [shown] = show_trees(Runs(collect(folder, folder)))["data"]["runs"]
    frame = data.train.source.columns["cells"].as_frame(data.train.ids)
    labels = np.array(data.classes)[data.train.labels.numpy()]
    reached = {0: np.ones(len(frame), bool)}
    model = instar.load(folder / "tree")
    assert isinstance(model, Normalised)
    for number, node in enumerate(shown["nodes"]):
        at = reached[number]
        assert node["n"] == at.sum()
        assert sum(value for _, value in node["p"]) == pytest.approx(1, abs=1e-3)
        for (place, _), count in zip(node["p"], node["l"], strict=True):
            assert count == (labels[at] == data.classes[place]).sum()
        if "next" not in node:
            with torch.inference_mode():
                wanted = model(frame[at][:1]).softmax(1)[0]
            assert [value for _, value in node["p"]] == pytest.approx(sorted(wanted.tolist(), reverse=True), abs=1e-3)
            continue
        told = node["told"][0].removesuffix(" or is missing")
        if told.startswith(MARKUP):
            answer = frame[MARKUP] <= float(told.split()[-1])
        else:
            answer = frame["plan"] == told.split('"')[1]
        reached[node["next"][0]], reached[node["next"][1]] = at & answer.to_numpy(), at & ~answer.to_numpy()
    assert len(reached) == len(shown["nodes"]) > 20


def test_the_picture_opens_node_by_node(runs, tmp_path, open_page):
    folder, _ = runs
    with open_page(report(folder, tmp_path / "report.html"), 1000) as page:
        count = page.locator("#trees-picture .node").count
        page.select_option("#trees-levels", "0")
        assert count() == 1
        page.locator("#trees-picture .node").first.click()
        assert count() == 3
        page.locator("#trees-picture .node").nth(1).focus()
        page.keyboard.press("Enter")
        assert count() == 5
        assert "training samples" in page.inner_text("#trees-rules")
        page.select_option("#trees-levels", index=len(page.locator("#trees-levels option").all()) - 1)
        assert count() > 20
        assert MARKUP in page.inner_text("#trees-picture")
        page.locator("#trees").screenshot(path=tmp_path / "trees.png")
    assert (tmp_path / "trees.png").stat().st_size > 10_000


def test_networks_have_no_picture(tmp_path):
    run = instar.train("digits", instar.models.MLP([4]), out=tmp_path / "run", epochs=1, show=False)
    assert not (run.path / "tree.safetensors").exists()
    assert show_trees(Runs(collect(tmp_path, tmp_path))) is None
