"""The paper on embedded data: the table is whole, and says where it comes from."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from instar.compute.precision import choose_fastest
from instar.config import RunConfig, validate
from instar.errors import ConfigError
from instar.papers import PAPERS, Table, TableRow, run_paper
from instar.papers import table as tables
from instar.papers.hinton2015_mnist import SCALES, MnistScale
from instar.papers.table import Order
from instar.stages.stage import Stage


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A table of all digits, whose networks have learnt enough for an offset to change their predictions."""
    folder = tmp_path_factory.mktemp("table")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(SCALES, "smoke", MnistScale(2, 20, 6, 1, (2.0, 20.0)))
        run_paper("hinton2015-mnist", scale="smoke", data="digits", out=folder)
        yield folder


def test_the_table_has_every_row_of_the_paper_with_numbers(folder: Path) -> None:
    rows = json.loads((folder / "table.json").read_text())
    found = {row["row"].split()[0] for row in rows}
    assert found == {"M1", "M2", "M3", "M4", "M5", "M6", "M7", "M8", "control"}
    assert all(len(row["seeds"]) == (1 if row["row"].startswith("M1") else 2) for row in rows)
    assert all(row["mean"] is not None and row["mean"] >= 0 for row in rows)
    assert {row["published"] for row in rows if row["row"].startswith(("M1", "M2", "M3"))} == {67, 146, 74}


@pytest.mark.parametrize(
    "rule",
    ["offset by the label-free rule", "offset by the labelled validation split", "the paper's own offset"],
)
def test_an_offset_moves_the_errors_on_the_class_that_was_left_out_against_its_sign(rows: dict, rule: str) -> None:
    before = rows["M6 no 3s in the transfer set", "errors on the 3s"]["seeds"]
    after = rows[f"M7 no 3s, {rule}", "errors on the 3s"]["seeds"]
    offsets = rows[f"M7 no 3s, {rule}", "test errors"]["settings"]["offsets"]
    for errors, corrected, offset in zip(before, after, offsets, strict=True):
        assert offset.keys() == {"3"}
        assert (corrected - errors) * offset["3"] <= 0
    assert after != before


def test_the_origin_names_command_versions_machine_and_seconds(folder: Path) -> None:
    origin = json.loads((folder / "origin.json").read_text())
    assert {"command", "commit", "versions", "machine", "seconds", "date"} <= origin.keys()
    assert "torch" in origin["versions"]
    assert origin["training_precisions"] == [choose_fastest(torch.device("cpu"))]


def test_a_finished_table_is_made_again_without_training(folder: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("weights.safetensors")}
    assert len(before) > 20
    (folder / "table.md").unlink()
    run_paper("hinton2015-mnist", scale="smoke", data="digits", out=folder)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("weights.safetensors")} == before
    assert (folder / "table.md").read_text().startswith("## Hinton")


def test_a_row_that_was_killed_is_trained_again_and_no_other(folder: Path) -> None:
    victim = folder / "runs" / "500-300-hard" / "1"
    errors = json.loads((victim / "result.json").read_text())["metrics"]["errors"]
    (victim / "result.json").unlink()
    others = {p: p.stat().st_mtime_ns for p in folder.rglob("result.json")}
    run_paper("hinton2015-mnist", scale="smoke", data="digits", out=folder)
    assert json.loads((victim / "result.json").read_text())["metrics"]["errors"] == errors
    assert {p: p.stat().st_mtime_ns for p in others} == others


def test_unknown_scale_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match="scale 'papr' is unknown; did you mean 'paper'"):
        run_paper("hinton2015-mnist", scale="papr")


def test_unknown_arithmetic_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match="precision 'bfloat' is unknown; did you mean 'bfloat16'"):
        run_paper("hinton2015-mnist", precision="bfloat")


@pytest.mark.parametrize(
    ("paper", "net", "sentence"),
    [
        ("furlanello2018-ptb", "LSMT", "net 'LSMT' is unknown; did you mean 'LSTM'"),
        ("hinton2015-mnist", "LSTM", "table 'hinton2015-mnist' has no choice of nets"),
    ],
)
def test_an_unknown_net_is_refused(paper: str, net: str, sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        run_paper(paper, nets=[net])


def test_an_order_decides_what_the_fast_arithmetic_of_a_recipe_is(tmp_path: Path, monkeypatch) -> None:
    asked = {"precision": "bfloat16", "teacher_precision": "float32", "learning_rate": 0.5}
    values = {"data": {"source": "digits"}, "model": {"name": "mlp"}, "objective": "HardLabels()", "training": asked}
    stage = Stage(validate(RunConfig, values), tmp_path / "net")
    trained = []
    monkeypatch.setattr(tables, "run_all", lambda tasks, *_: trained.extend(task.run.__self__ for task in tasks))
    Order("smoke", "digits", tmp_path, 1, 1, print, precision="float32-fast").train([stage])
    (found,) = trained
    expected = stage.config.training.model_copy(update={"precision": "float32-fast"})
    assert found.config == stage.config.model_copy(update={"training": expected})
    assert found.out == stage.out


def test_a_missing_number_is_a_dash_and_not_a_zero() -> None:
    table = Table("T", (TableRow("net", "errors", "count", None, []),))
    assert table.as_list()[0]["mean"] is None
    assert "| net | errors (count) | \u2013 | \u2013 | 0 |" in table.as_markdown()


def test_every_paper_has_a_smoke_scale() -> None:
    assert all("smoke" in paper.scales for paper in PAPERS.values())
