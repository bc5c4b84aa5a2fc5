"""The tables of born-again networks at their smoke scale on embedded data, and the numbers that they quote."""

from dataclasses import replace
from pathlib import Path
from statistics import mean

import pytest
import torch

from instar.config import ModelConfig
from instar.models import build_network
from instar.papers import furlanello2018_cifar10, furlanello2018_cifar100, run_paper
from instar.papers.claims import compare_arms, judge_claim
from instar.papers.table import Order
from instar.runs.run import Run


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("table")
    run_paper("furlanello2018-cifar100", scale="smoke", data="digits", out=found)
    return found


def test_every_arm_of_the_core_table_and_every_control_has_a_row_per_seed(rows: dict) -> None:
    for words in furlanello2018_cifar100.ROW_TITLES.values():
        assert len(rows[f"DenseNet-tiny: {words}", "test error"]["seeds"]) == 2
    assert {row.split(",")[0] for row, _ in rows if row.startswith("table")} == {"table 3", "table 4", "table 5"}


def test_gains_are_paired_by_seed_and_have_an_interval(rows: dict) -> None:
    teacher = rows["DenseNet-tiny: teacher", "test error"]["seeds"]
    student = rows["DenseNet-tiny: BAN-2", "test error"]["seeds"]
    gain = rows["DenseNet-tiny: BAN-2 over the teacher", "gain"]
    assert gain["seeds"] == pytest.approx([a - b for a, b in zip(teacher, student, strict=True)])
    low, high = gain["settings"]["interval"]
    assert low < gain["mean"] < high


def test_arms_are_paired_by_initial_weights_and_teachers_have_others(folder: Path) -> None:
    seeds = {
        arm: Run(folder / "runs" / "densenet-tiny" / arm / "1").config["seed"]
        for arm in ("teacher", "ban-1", "ban+l", "cwtm", "dkpp", "smoothing", "labels-2", "ban-2", "ban-3")
    }
    paired = {seeds.pop(arm) for arm in ("ban-1", "ban+l", "cwtm", "dkpp", "smoothing", "labels-2")}
    assert len(paired) == 1
    assert len(paired | set(seeds.values())) == 4


@pytest.mark.parametrize(
    ("arm", "objective"),
    [
        ("ban-1", "SoftTargets(1)"),
        ("ban+l", "SoftTargets(1) + HardLabels()"),
        ("cwtm", "ConfidenceWeighted()"),
        ("dkpp", "PermutedDarkKnowledge()"),
    ],
)
def test_each_objective_is_that_of_its_arm(folder: Path, arm: str, objective: str) -> None:
    run = Run(folder / "runs" / "densenet-tiny" / arm / "0")
    assert run.config["objective"] == objective
    assert run.config["teachers"][0].endswith("densenet-tiny/teacher/0")


def test_the_findings_name_every_claim_once(folder: Path) -> None:
    text = (folder / "table.md").read_text()
    for claim in (
        "BAN < teacher",
        "BAN-1 < BAN+L",
        "BAN+L < DKPP",
        "DKPP < CWTM",
        "CWTM < teacher",
        "Ens*3 < BAN-3",
        "BAN < label smoothing",
        "BAN < labels again",
        "Ens*3 < ensemble of 3 from labels",
    ):
        assert text.count(f"{claim}:") == 1


def test_a_verdict_needs_an_interval_on_one_side_of_zero() -> None:
    assert "held (" in judge_claim("A < B", [1.0, 2.0, 3.0], [3.0, 4.1, 5.0])
    assert "did not hold; the opposite did" in judge_claim("A < B", [3.0, 4.1, 5.0], [1.0, 2.0, 3.0])
    assert "not settled" in judge_claim("A < B", [1.0, 2.0, 3.0], [1.5, 1.0, 3.5])
    assert compare_arms("A", [1.0], [2.0], 0.5).settings == {}


def test_cifar10_has_teacher_and_student_of_each_net(tmp_path: Path) -> None:
    table = run_paper("furlanello2018-cifar10", scale="smoke", data="digits", out=tmp_path)
    assert [row.row for row in table.rows] == [
        f"table 1, WRN-10-1: {words}" for words in ("teacher", "BAN", "BAN over the teacher")
    ]
    assert "BAN < teacher:" in table.findings
    second = run_paper("furlanello2018-cifar10", scale="smoke", data="digits", out=tmp_path, seeds=1, first_seed=1)
    assert [row.seeds for row in second.rows] == [row.seeds[1:] for row in table.rows]
    assert sorted(path.name for path in tmp_path.glob("runs/*/teacher/*")) == ["0", "1"]


def test_a_scale_may_have_a_part_of_the_arms(folder: Path, rows: dict, monkeypatch) -> None:
    smoke = furlanello2018_cifar100.SCALES["smoke"]
    part = replace(smoke, own=(), pairs=(), arms=("ban-1", "ban-2", "labels-2"))
    monkeypatch.setitem(furlanello2018_cifar100.SCALES, "smoke", part)
    order = Order("smoke", "digits", folder / "runs", None, 1, print)
    table = furlanello2018_cifar100.run(order)
    words = ("teacher", "BAN", "BAN-1", "BAN-2", "Ens*2", "control: labels again, another seed")
    titles = [f"DenseNet-tiny: {word}" for word in (*words, "control: ensemble of 2 from labels")]
    assert [row.row for row in table.rows if row.quantity == "test error"] == titles
    assert all(list(row.seeds) == rows[row.row, row.quantity]["seeds"] for row in table.rows)
    assert "BAN < labels again:" in table.findings
    assert "DKPP" not in table.findings
    waves = [sorted({stage.out.parent.name for stage in wave}) for wave in _waves(part, order)]
    assert waves == [["teacher"], ["ban-1", "labels-2"], ["ban-2"]]


def _waves(size: furlanello2018_cifar100.CifarScale, order: Order) -> list:
    return furlanello2018_cifar100.make_plan(size, order).waves(size.core, (), size.arms)


def test_published_gains_are_those_that_the_paper_reports_on_average() -> None:
    nets = furlanello2018_cifar100.DENSENETS
    gain = {
        arm: mean(net.published["teacher"] - net.published[arm] for net in nets)
        for arm in ("ban", "ban+l", "cwtm", "dkpp")
    }
    assert {arm: round(value, 2) for arm, value in gain.items()} == {
        "ban": 0.99, "ban+l": 0.61, "cwtm": 0.11, "dkpp": 0.38,
    }  # fmt: skip


@pytest.mark.parametrize("paper", [furlanello2018_cifar10, furlanello2018_cifar100])
def test_every_net_of_every_scale_can_be_built(paper) -> None:
    for scale in paper.SCALES.values():
        pairs = [net for pair in scale.pairs for net in (pair.teacher, pair.student)]
        for net in {net.name: net for net in (*scale.core, *scale.own, *pairs)}.values():
            with torch.device("meta"):
                network = build_network(ModelConfig(**net.model), (3, 32, 32), 100, trust=False)
            assert sum(p.numel() for p in network.parameters()) > 0


def test_a_part_of_the_nets_can_be_chosen() -> None:
    whole = furlanello2018_cifar100.SCALES["paper"]
    assert "DenseNet-80-80" in whole.names
    assert len(set(whole.names)) == len(whole.names)
    chosen = Order("paper", "digits", Path("runs"), 1, 1, print, nets=("DenseNet-80-80", "WRN-28-2", "depth x 2"))
    part = whole.of(chosen)
    assert [net.name for net in part.core] == ["DenseNet-80-80"]
    assert [net.name for net in part.own] == ["WRN-28-2"]
    assert [pair.student.name for pair in part.pairs] == ["depth x 2"]
