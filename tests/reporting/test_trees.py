"""The picture of a tree: each node tells the samples, labels and soft targets that a walk by hand finds."""

import numpy as np
import pandas
import pytest
import torch

import instar
from instar.models import Boosting, Forest, Tree
from instar.models.normalised import Normalised
from instar.procedures.report import report
from instar.reporting.runs import Runs
from instar.reporting.trees import show_trees
from instar.runs.rows import collect
from instar.stages import tree_pictures

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
    instar.train(data, Forest(3, leaves=12), out=folder / "forest", show=False)
    instar.train(data, Boosting(3, 0.5, leaves=6), out=folder / "booster", show=False)
    return folder, data


def walk(nodes, frame):
    """Return the rows that reach each node, found by its questions in words."""
    reached = {0: np.ones(len(frame), bool)}
    for number, node in enumerate(nodes):
        if "next" not in node:
            continue
        told = node["told"][0].removesuffix(" or is missing")
        if told.startswith(MARKUP):
            answer = frame[MARKUP] <= float(told.split()[-1])
        else:
            answer = frame["plan"] == told.split('"')[1]
        reached[node["next"][0]] = reached[number] & answer.to_numpy()
        reached[node["next"][1]] = reached[number] & ~answer.to_numpy()
    return reached


def test_nodes_tell_what_a_walk_by_hand_finds(runs):
    folder, data = runs
    shown = next(one for one in show_trees(Runs(collect(folder, folder)))["data"]["runs"] if one["name"] == "tree")
    frame = data.train.source.columns["cells"].as_frame(data.train.ids)
    labels = np.array(data.classes)[data.train.labels.numpy()]
    [nodes] = shown["trees"]
    reached, model = walk(nodes, frame), instar.load(folder / "tree")
    assert isinstance(model, Normalised)
    for number, node in enumerate(nodes):
        at = reached[number]
        assert node["n"] == at.sum()
        assert sum(value for _, value in node["p"]) == pytest.approx(1, abs=1e-3)
        for (place, _), count in zip(node["p"], node["l"], strict=True):
            assert count == (labels[at] == data.classes[place]).sum()
        if "next" not in node:
            with torch.inference_mode():
                wanted = model(frame[at][:1]).softmax(1)[0]
            assert [value for _, value in node["p"]] == pytest.approx(sorted(wanted.tolist(), reverse=True), abs=1e-3)
    assert len(reached) == len(nodes) > 20
    assert shown["told"].startswith(f"One tree with {(len(nodes) + 1) // 2} leaves, at most")


@pytest.mark.parametrize("name", ["forest", "booster"])
def test_the_leaves_of_all_trees_are_what_the_model_predicts(runs, name):
    folder, data = runs
    shown = next(one for one in show_trees(Runs(collect(folder, folder)))["data"]["runs"] if one["name"] == name)
    frame, model = data.train.source.columns["cells"].as_frame(data.train.ids), instar.load(folder / name)
    found = np.zeros((len(frame), 3))
    for nodes in shown["trees"]:
        for number, at in walk(nodes, frame).items():
            assert nodes[number]["n"] == at.sum()
            if "next" not in nodes[number]:
                found[np.ix_(at, [place for place, _ in nodes[number]["p"]])] += [v for _, v in nodes[number]["p"]]
            elif name == "booster":  # the mean step of its samples
                one, two = (nodes[below] for below in nodes[number]["next"])
                [mean, *parts] = (dict(node["p"])[0] for node in (nodes[number], one, two))
                assert mean == pytest.approx(np.average(parts, weights=[one["n"], two["n"]]), abs=2e-3)
    network = model.network
    with torch.inference_mode():
        told = model(frame).numpy()
    wanted = np.exp(told) * 3 if name == "forest" else told - network.base.numpy()
    np.testing.assert_allclose(found, wanted, atol=5e-3)
    leaves = network.trees.leaf_count
    assert shown["told"].startswith(f"3 trees with {leaves} leaves in all: ")
    assert shown["told"].endswith("The picture has all of them.")
    assert sum(questions for _, questions, _ in shown["columns"]) == leaves - 3
    assert max(trees for _, _, trees in shown["columns"]) == 3


def test_large_trees_have_no_picture_and_say_so(runs, monkeypatch, tmp_path):
    _, data = runs
    for trees, most, told in (
        (4, 5000, "The picture has the first 3 trees (at most 3 trees, and at most 5,000 nodes together)"),
        (4, 40, "The picture has the first tree ("),
        (4, 5, "There is no picture, because the first tree alone is larger"),
    ):
        monkeypatch.setattr(tree_pictures, "MAX_SHOWN_NODES", most)
        run = instar.train(data, Forest(trees, leaves=12), out=tmp_path / f"{most}", show=False)
        [shown] = show_trees(Runs(collect(run.path, run.path)))["data"]["runs"]
        assert told in shown["told"]
        assert len(shown["columns"]) > 1


def test_the_picture_opens_node_by_node(runs, tmp_path, open_page):
    folder, _ = runs
    with open_page(report(folder, tmp_path / "report.html"), 1000) as page:
        count = page.locator("#trees-picture .node").count
        page.select_option("#trees-run", label="booster")
        page.select_option("#trees-tree", "2")
        page.select_option("#trees-levels", "0")
        assert "then add" in page.inner_text("#trees-rules")
        assert "Added to the logit" in page.inner_text("#trees-rules")
        assert "3 trees with" in page.inner_text("#trees-told")
        page.locator("#trees details summary").click()
        assert MARKUP in page.inner_text("#trees-columns")
        page.locator("#trees").screenshot(path=tmp_path / "booster.png")
        page.select_option("#trees-run", label="tree")
        assert not page.is_visible("#trees-tree")
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


def test_the_leaves_of_numbers_are_the_numbers_of_the_model(tmp_path):
    x = np.arange(60.0)
    table = pandas.DataFrame({"x": x, "y": 100 + np.where(x < 20, 5, 50)})
    data = instar.load_data({"train": table, "test": table}, label_column="y", labels="numbers", validation=0)
    instar.train(data, Tree(leaves=2), out=tmp_path / "tree", show=False)
    instar.train(data, Boosting(1, 1.0, leaves=2, smoothing=0.0), out=tmp_path / "booster", show=False)
    booster, tree = show_trees(Runs(collect(tmp_path, tmp_path)))["data"]["runs"]
    assert [node["p"][0][1] for node in tree["trees"][0]] == pytest.approx([135, 105, 150])
    assert [node["p"][0][1] for node in booster["trees"][0]] == pytest.approx([0, -30, 15], abs=1e-3)
