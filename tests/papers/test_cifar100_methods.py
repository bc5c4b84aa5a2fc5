"""The table of methods at its smallest scale: a row for each, with the weights of its source and gains over KD."""

from pathlib import Path
from typing import Any

import pytest

from instar.objectives import Correlation, DecoupledKD
from instar.objectives.notation import parse_objective
from instar.papers import run_paper
from instar.papers.cifar100_methods import CLAIMS, PAIRS, SCALES, make_methods
from instar.runs.run import Run

SMALLEST = "ResNet-8 from ResNet-14"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("table")
    run_paper("cifar100-methods", scale="smoke", seeds=1, data="digits", out=found)
    return found


def test_each_method_has_a_row_and_its_gains_over_labels_and_over_kd(rows: dict[tuple[str, str], Any]) -> None:
    titles = [method.title for method in make_methods(PAIRS[2], SCALES["paper"]) if method.title]
    means = {title: rows[f"{SMALLEST}: {title}", "test accuracy"]["mean"] for title in titles}
    for title in titles:
        for reference, words in (("student from labels", "labels"), ("KD", "KD")):
            if title != reference:
                gain = rows[f"{SMALLEST}: {title}, over {words}", "gain"]["mean"]
                assert gain == pytest.approx(means[title] - means[reference])


def test_all_methods_have_one_budget_and_fsp_its_first_phase_beside_it(folder: Path) -> None:
    runs = folder / "runs" / "resnet-8"
    steps = {run.parent.name: Run(run).result["steps"] for run in runs.glob("*/0")}
    longer = steps.pop("longer")
    assert len(set(steps.values())) == 1  # a phase of less than an epoch takes one
    assert longer == 2 * steps["labels"]
    assert Run(runs / "fsp-of-resnet-14/0").config["start"].endswith("flow-of-resnet-14/0")


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: pair.name)
def test_each_pair_has_a_published_number_for_each_method_that_can_compare_it(pair) -> None:
    methods = {method.name: method for method in make_methods(pair, SCALES["paper"])}
    assert ("fsp" in methods) == ("fsp" in pair.published) == (pair.name != "WRN-40-1 from WRN-40-2")
    assert pair.published.keys() - methods.keys() == {"teacher"}
    assert {name for claim in CLAIMS for name in claim} - methods.keys() <= {"fsp"}
    for method in methods.values():
        parse_objective(method.objective)


@pytest.mark.parametrize(("number", "others", "review"), [(0, 6, 5), (2, 2, 0.6), (4, 8, 5)])
def test_weights_are_those_of_the_sources(number: int, others: float, review: float) -> None:
    methods = {
        method.name: parse_objective(method.objective) for method in make_methods(PAIRS[number], SCALES["paper"])
    }
    assert methods["dkd"].parts[1][1] == DecoupledKD(beta=others)
    peaks = {name: methods[name].at_peak().parts[1][0] for name in ("review", "at", "sp", "pkt", "crd", "vid")}
    assert peaks == {"review": review, "at": 1000, "sp": 3000, "pkt": 30000, "crd": 0.8, "vid": 1}
    assert methods["dist"].parts[1] == (1.0, Correlation(2, 2, 4))
