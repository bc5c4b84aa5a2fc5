"""Flows of the solution at the smallest scale: two phases, a third of the epochs, and the controls of both tables."""

from pathlib import Path
from typing import Any

import pytest

from instar.models.trained import TrainedRun
from instar.papers import run_paper
from instar.papers.yim2017_cifar10 import FLOW_OBJECTIVE, HINT_OBJECTIVE
from instar.runs.run import Run


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("table")
    run_paper("yim2017-cifar10", scale="smoke", seeds=1, data="digits", out=found)
    return found


def run_of(folder: Path, name: str, net: str = "resnet-8") -> Run:
    return Run(folder / "runs" / net / name / "0")


@pytest.mark.parametrize(
    ("second", "first", "objective"),
    [("fsp", "flow", FLOW_OBJECTIVE), ("fitnet", "hint", HINT_OBJECTIVE)],
    ids=["fsp", "fitnet"],
)
def test_a_second_phase_starts_from_the_first_which_learns_layers_alone(
    folder: Path, second: str, first: str, objective: str
) -> None:
    phase = run_of(folder, f"{second}-of-resnet-14")
    assert phase.config["start"] == str(folder / "runs" / "resnet-8" / f"{first}-of-resnet-14" / "0")
    assert run_of(folder, f"{first}-of-resnet-14").config["objective"] == objective
    names = {
        name: TrainedRun(folder / "runs/resnet-8" / name / "0").model.state_dict().keys()
        for name in ("labels", f"{first}-of-resnet-14", f"{second}-of-resnet-14")
    }
    assert len(set(map(frozenset, names.values()))) == 1  # the regressor of a first phase is no part of the student


def test_first_phases_take_their_shares_of_the_epochs_and_fast_runs_a_third(folder: Path) -> None:
    epochs = {
        name: run_of(folder, name).config["training"]["epochs"]
        for name in ("labels", "flow-of-resnet-14", "hint-of-resnet-14", "fsp-of-resnet-14", "fast-fsp-of-resnet-8")
    }
    assert list(epochs.values()) == [3, 1, 2, 3, 1]
    first, second = (run_of(folder, f"{name}-of-resnet-14").config["training"] for name in ("flow", "fsp"))
    assert [first["learning_rate"], second["learning_rate"]] == [1e-3, 0.1]
    assert [first["gradient_clip"], second["gradient_clip"]] == [1.0, None]


def test_both_tables_have_their_rows_and_none_for_a_first_phase(rows: dict[tuple[str, str], dict[str, Any]]) -> None:
    titles = {row for row, quantity in rows if quantity == "test accuracy"}
    assert {title.partition(": ")[0] for title in titles} == {"ResNet-8 from ResNet-14", "ResNet-8 from ResNet-8"}
    assert all(title.partition(": ")[2] for title in titles)
    labels, flow = (
        rows[f"ResNet-8 from ResNet-14: {name}", "test accuracy"]["mean"] for name in ("student from labels", "FSP")
    )
    gain = rows["ResNet-8 from ResNet-14: FSP, over labels", "gain"]["mean"]
    assert gain == pytest.approx(flow - labels)
