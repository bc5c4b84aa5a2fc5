"""The table of specialists on embedded data: whole, resumable, and right about what it counts."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from pyarrow import parquet

from instar.data import load_data
from instar.errors import ConfigError
from instar.papers import run_paper
from instar.papers.hinton2015_specialists import SCALES
from instar.papers.specialist_plan import SpecialistPlan
from instar.procedures.specialists.evaluating import Coverage, Covered

NAME = "hinton2015-specialists"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("table")
    run_paper(NAME, scale="smoke", data="digits", out=folder)
    return folder


def test_both_tables_are_there_with_every_arm_and_control(rows: dict) -> None:
    for arm in ("confusable classes, dustbin", "confusable classes, full softmax", "random classes, dustbin"):
        for quantity in ("accuracy within their classes", "accuracy"):
            assert (f"digits: {arm}: with specialists", quantity) in rows
        assert (f"digits: {arm}: 0 know the class", "relative gain") in rows
        assert (f"digits: {arm}: 1 know the class", "relative gain") in rows
    controls = [name for name, _ in rows if "ensemble" in name or "student" in name]
    assert len(controls) == 8
    assert all(len(row["seeds"]) == 2 for (_, quantity), row in rows.items() if quantity != "relative gain")
    published = {row["published"] for row in rows.values()}
    assert {43.1, 45.9, 25.0, 26.1, 0.0, 3.4} <= published


def test_a_gain_is_the_difference_of_its_rows(rows: dict) -> None:
    before = rows["digits: generalist", "accuracy"]["seeds"]
    after = rows["digits: confusable classes, dustbin: with specialists", "accuracy"]["seeds"]
    gain = rows["digits: confusable classes, dustbin: gain in accuracy", "gain"]["seeds"]
    assert gain == pytest.approx([b - a for a, b in zip(before, after, strict=True)])


def test_samples_by_coverage_add_up_to_the_test_set(rows: dict) -> None:
    rows = [
        row["settings"]["samples"]
        for (name, quantity), row in rows.items()
        if quantity == "relative gain" and "confusable classes, dustbin" in name
    ]
    assert sum(map(sum, rows)) == 2 * 597


def test_the_findings_say_whether_the_gain_grows_with_coverage(folder: Path) -> None:
    text = (folder / "table.md").read_text()
    assert "With each further specialist that knows the class, the relative gain" in text
    assert "specialists (dustbin) better than the generalist:" in text


def test_a_finished_table_is_made_again_without_training(folder: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("weights.safetensors")}
    assert len(before) > 20
    (folder / "table.md").unlink()
    run_paper(NAME, scale="smoke", data="digits", out=folder)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("weights.safetensors")} == before
    assert (folder / "table.md").is_file()


def test_other_data_than_the_tables_are_refused() -> None:
    with pytest.raises(
        ConfigError,
        match=r"'nowhere' is neither a data set of this table nor .* expected one of cifar100, omniglot, digits",
    ):
        run_paper(NAME, scale="smoke", data="nowhere")


def _plan(problem, data) -> SpecialistPlan:
    return SpecialistPlan(problem, "source", Path("out"), 0, data)


def test_the_control_sees_at_least_what_the_specialists_may_see() -> None:
    for scale in ("small", "gpu", "paper"):
        for problem in SCALES[scale].problems:
            classes = {"CIFAR-100": 100, "Omniglot": 242}[problem.name]
            data = load_data((torch.rand(2 * classes, 3), torch.arange(2 * classes) % classes), validation=0)
            extra = _plan(problem, data).equal_cost
            seen = problem.clusters * problem.expert["epochs"] * 2 * problem.size / classes
            assert extra * problem.training["epochs"] >= 0.99 * seen > (extra - 1) * problem.training["epochs"]


def test_alphabets_are_the_true_groups_of_characters() -> None:
    inputs, labels = torch.rand(8, 3), torch.arange(8) % 4
    data = load_data((inputs, labels), validation=0)
    named = ("Greek/alpha", "Greek/beta", "Korean/a", "Korean/b")
    source = replace(data.train.source, classes=named)
    data = replace(data, train=replace(data.train, source=source))
    omniglot = SCALES["small"].problems[1]
    assert _plan(omniglot, data).groups == (named[:2], named[2:])
    assert _plan(omniglot, load_data("digits")).groups == ()


def test_superclasses_are_the_true_groups_of_cifar_100(cifar100_folder: Path, tmp_path: Path) -> None:
    cifar = SCALES["smoke"].problems[0]
    for split in ("train", "test"):  # their first rows have every class, and are quicker to decode than all
        rows = parquet.read_table(min(cifar100_folder.glob(f"{split}-*"))).slice(0, 2000)
        parquet.write_table(rows, tmp_path / f"{split}-00000-of-00001.parquet")
    data = load_data(str(tmp_path), **cifar.data)
    groups = _plan(cifar, data).groups
    assert sorted(len(names) for names in groups) == [5] * 20
    assert ("baby", "boy", "girl", "man", "woman") in groups


def test_the_slope_is_that_of_the_gains() -> None:
    rows = tuple(Covered(k, 100, 50, 50 + 2 * k) for k in range(4))
    assert Coverage((0.5, 0.5), (0.5, 0.5), (0, 0, 0), rows).slope == pytest.approx(4.0)
    assert Coverage((0.5, 0.5), (0.5, 0.5), (0, 0, 0), rows[:1]).slope == 0
