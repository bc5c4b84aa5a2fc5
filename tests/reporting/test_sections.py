"""What the sections compute, against NumPy and SciPy."""

import base64
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file
from scipy.special import softmax
from scipy.stats import binomtest
from tests.older import as_older

from instar.analysis import best_of, expected_calibration_error
from instar.reporting.costs import saved_by_stores
from instar.reporting.explorer import collect_samples
from instar.reporting.html import render
from instar.reporting.lineage import link_runs
from instar.reporting.runs import Runs
from instar.reporting.similarity import SHOWN_TEMPERATURES, compare_similarities, mean_soft_targets
from instar.reporting.summary import describe_runs
from instar.reporting.trust import _by_confidence, _changes, bin_confidence
from instar.runs.files import read_tensors
from instar.runs.rows import collect


@pytest.mark.parametrize("fixed", [3, 5, 6, 9])
def test_the_best_is_marked_exactly_where_mcnemar_says(fixed: int) -> None:
    worse, better = np.ones(100, bool), np.ones(100, bool)
    worse[:fixed] = False
    expected = 0 if binomtest(0, fixed).pvalue < 0.05 else None
    assert best_of([~better, ~worse]) == expected


def test_more_rivals_need_a_smaller_p() -> None:
    better, worse = np.ones(100, bool), np.ones(100, bool)
    worse[:6] = False  # p = 0.031 by itself
    assert best_of([~better, ~worse]) == 0
    assert best_of([~better, ~worse, ~worse]) is None


def test_equal_runs_are_not_the_best_beside_a_worse_one() -> None:
    good, bad = np.zeros(100, bool), np.ones(100, bool)
    assert best_of([good, bad, good]) is None
    assert best_of([good, bad, bad]) == 0


def test_errors_on_other_test_sets_are_not_compared(tmp_path: Path, trained: Path) -> None:
    for name, test, error in (("a", "one", 0.5), ("b", "one", 0.25), ("easy", "other", 0.0)):
        shutil.copytree(trained / "teacher", tmp_path / name)
        as_older(tmp_path / name)
        content = json.loads((tmp_path / name / "config.json").read_text())
        content["fingerprints"]["data"]["test"] = test
        (tmp_path / name / "config.json").write_text(json.dumps(content))
        result = json.loads((tmp_path / name / "result.json").read_text())
        result["metrics"]["error"] = error
        (tmp_path / name / "result.json").write_text(json.dumps(result))
    sentences = describe_runs(Runs(collect(tmp_path)))
    assert "b makes the fewest test errors of 2 runs on the same test set: " in sentences[1]


def test_the_matrix_is_the_mean_over_the_samples_of_each_class() -> None:
    generator = np.random.default_rng(0)
    logits, labels = generator.normal(size=(50, 4)), generator.integers(0, 3, 50)
    found = mean_soft_targets(logits, labels, 4, 2.0)
    for label in range(3):
        np.testing.assert_allclose(found[label], softmax(logits[labels == label] / 2, 1).mean(0))
    assert (found[3] == 0).all()


def test_similarities_of_a_run_are_those_of_its_files(trained: Path) -> None:
    found = compare_similarities(Runs(collect(trained)))
    assert found is not None
    (one,) = found["data"]["runs"]
    kept = {
        name: tensor.numpy() for name, tensor in read_tensors(trained / one["name"] / "examples.safetensors")[0].items()
    }
    p = softmax(kept["shown.logits"].astype(float) / 8, 1)
    means = np.stack([p[kept["shown.labels"] == label].mean(0) for label in range(10)])
    names = json.loads((trained / one["name"] / "model.json").read_text())["classes"]
    order = [names.index(name) for name in one["classes"]]
    written = np.frombuffer(base64.b64decode(one["teacher"][SHOWN_TEMPERATURES.index(8)]), np.uint8).reshape(10, 10)
    read = 10 ** (5 * (written / 255 - 1))
    np.testing.assert_allclose(read, means[np.ix_(order, order)], rtol=0.025)


def test_bins_of_confidence_add_up_to_the_ece(trained: Path) -> None:
    (row,) = [row for row in collect(trained) if row.name == "teacher"]
    found = Runs([row]).predictions(row)
    assert found is not None
    ece = sum(count * abs(right - mean) for mean, right, count in bin_confidence(found.confidence, found.right)) / 597
    assert ece == pytest.approx(row.numbers["ece"], abs=1e-5)
    assert ece == pytest.approx(
        expected_calibration_error(torch.tensor(found.confidence), torch.tensor(found.right)), abs=1e-5
    )


def test_error_by_confidence_and_changes_are_counted() -> None:
    kept = {
        "test.labels": np.array([0, 0, 1, 1, 1, -1]),
        "test.teacher_answers": np.array([0, 1, 1, 1, 1, 0]),
        "test.student_answers": np.array([0, 0, 0, 0, 1, 1]),
        "test.teacher_confidence": np.array([0.5, 0.6, 0.7, 0.8, 0.9, 0.1]),
    }
    assert [row[1:] for row in _by_confidence(kept)] == [
        ["1", "0.00", "0.00"],
        ["1", "100.00", "0.00"],
        ["1", "0.00", "100.00"],
        ["1", "0.00", "100.00"],
        ["1", "0.00", "0.00"],
    ]
    assert _changes(kept, ["a", "b"]) == [["b", "a", "0", "2", "+2"], ["a", "b", "1", "0", "-1"]]


def test_the_graph_leads_from_teacher_to_student_to_generation(tmp_path: Path, trained: Path) -> None:
    for source, name, teachers in (
        ("teacher", "g0", []),
        ("student-0", "g1", ["g0"]),
        ("student-1", "g2", ["g1", "/from/afar"]),
    ):
        shutil.copytree(trained / source, tmp_path / name)
        as_older(tmp_path / name)
        content = json.loads((tmp_path / name / "config.json").read_text())
        content["config"] |= {"teachers": [str(tmp_path / one) for one in teachers], "objective": name}
        (tmp_path / name / "config.json").write_text(json.dumps(content))
    nodes = link_runs(Runs(collect(tmp_path)))
    assert {node.name: node.depth for node in nodes} == {"g0": 0, "g1": 1, "g2": 2, "/from/afar": 0}
    assert [nodes[parent].name for parent in nodes[2].parents] == ["g1", "/from/afar"]
    assert len({(node.x, node.y) for node in nodes}) == 4


@pytest.mark.parametrize("name", ["predictions.safetensors", "examples.safetensors", "cost.json"])
def test_a_damaged_file_leaves_out_figures_and_is_named(tmp_path: Path, trained: Path, name: str) -> None:
    shutil.copytree(trained / "student-0", tmp_path / "run")
    (tmp_path / "run" / name).write_bytes(b"\x00\x01")
    rows = collect(tmp_path)
    page = render(rows, "title")
    assert rows[0].state == "complete"
    assert "Some figures are left out: " in page
    assert str(tmp_path) not in page.split('id="noted"')[1].split("<script")[0]


def test_seconds_saved_by_a_store_are_beside_the_same_run_with_a_live_teacher(tmp_path: Path, trained: Path) -> None:
    for name, targets, seconds, epochs in (
        ("live", "online", 9, 5),
        ("kept", "store", 4, 5),
        ("longer", "store", 8, 50),
    ):
        shutil.copytree(trained / "student-0", tmp_path / name)
        as_older(tmp_path / name)
        content = json.loads((tmp_path / name / "config.json").read_text())
        content["config"]["targets"] = targets
        content["config"]["training"]["epochs"] = epochs
        (tmp_path / name / "config.json").write_text(json.dumps(content))
        result = json.loads((tmp_path / name / "result.json").read_text()) | {"seconds": seconds}
        (tmp_path / name / "result.json").write_text(json.dumps(result))
    assert saved_by_stores(Runs(collect(tmp_path))) == [["kept", "9.0", "4.0", "5.0"]]


def test_samples_of_a_text_are_shown_with_the_tokens_before_them(tmp_path: Path) -> None:
    _write_text_run(tmp_path / "run")
    found = collect_samples(Runs(collect(tmp_path)))
    assert found is not None
    (run,) = found["data"]["runs"]
    assert [(sample["text"], sample["label"], sample["position"]) for sample in run["samples"]] == [
        ("a b", 2, 1),
        ("c", 0, 0),
    ]
    assert found["data"]["classes"] == [("a", "b", "c")]


def _write_text_run(folder: Path) -> None:
    """Write a run over two windows of three tokens."""
    folder.mkdir()
    config: dict[str, Any] = {"seed": 0, "teachers": ["x"], "combine": "geometric", "objective": "SoftTargets(1)"}
    config |= {"model": {"name": "lstm", "arguments": {}}, "training": {"epochs": 1}}
    (folder / "config.json").write_text(json.dumps({"format": 1, "config": config, "fingerprints": {"data": {}}}))
    metrics = {"samples": 6, "errors": 1, "error": 1 / 6, "class_errors": {"a": [0, 2], "b": [0, 2], "c": [1, 2]}}
    (folder / "result.json").write_text(json.dumps({"metrics": metrics, "parameters": 1, "seconds": 1}))
    logits = np.arange(18, dtype=np.float32).reshape(2, 3, 3) % 5
    save_file({"test.ids": np.array([4, 7]), "test.logits": logits}, folder / "predictions.safetensors")
    shown = {
        "shown.ids": np.array([4, 7]),
        "shown.positions": np.array([1, 0]),
        "shown.labels": np.array([2, 0]),
        "shown.logits": np.array([[0, -1, -2], [-3, 0, -1]], np.float16),
        "shown.inputs": np.array([[0, 1, 2], [2, 0, 1]], np.int32),
    }
    save_file(shown, folder / "examples.safetensors")
