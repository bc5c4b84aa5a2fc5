"""The origin of a table is that of its own runs, and says when they were made on different machines."""

import json
import re
from pathlib import Path

import pytest

from instar.config import RunConfig, validate
from instar.errors import ConfigError
from instar.papers import run_paper
from instar.papers.catalogue import PAPERS, Paper
from instar.papers.table import Order, Table, TableRow
from instar.runs import environment
from instar.runs.run import Run
from instar.stages.stage import Stage


def make_stage(order: Order, name: str, precision: str) -> Stage:
    values = {
        "data": {"source": "digits", "subset": 100},
        "model": {"name": "mlp", "arguments": {"widths": [4]}},
        "training": {"epochs": 1, "precision": precision},
    }
    return Stage(validate(RunConfig, values), order.out / name, show=False)


def test_the_origin_is_that_of_the_runs_of_the_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = ["a"]

    def run(order: Order) -> Table:
        order.train([make_stage(order, name, "float32" if name == "a" else "float32-fast") for name in wanted])
        order.train([make_stage(order, "a", "float32")])  # a second row of the same run
        return Table("Tiny", (TableRow("row", "errors", "count", None, [1]),), "Findings.")

    monkeypatch.setitem(PAPERS, "tiny", Paper("Tiny", {"smoke": ()}, "digits", run))

    def reproduce() -> tuple[dict, str]:
        run_paper("tiny", out=tmp_path)
        return json.loads((tmp_path / "origin.json").read_text()), (tmp_path / "table.md").read_text()

    monkeypatch.setattr(environment, "cpu_name", lambda: "first")
    _, text = reproduce()
    assert text.endswith("\n\nFindings.\n")
    monkeypatch.setattr(environment, "cpu_name", lambda: "second")
    wanted.append("b")
    both, text = reproduce()
    seconds = {name: Run(tmp_path / "runs" / name).result["seconds"] for name in wanted}
    assert both["training_seconds"] == pytest.approx(sum(seconds.values()), abs=0.06)
    assert [(one["cpu"], one["precision"], one["runs"]) for one in both["training_machines"]] == [
        ("first", "float32", 1),
        ("second", "float32-fast", 1),
    ]
    assert text.endswith(
        "\n\nFindings.\n\nThe runs have different units: 1 on first in float32, 1 on second in float32-fast.\n"
    )
    wanted.remove("b")  # the run of another table stays in the folder
    alone, text = reproduce()
    assert alone["training_seconds"] == pytest.approx(seconds["a"], abs=0.06)
    assert alone["training_precisions"] == ["float32"]
    assert text.endswith("\n\nFindings.\n")


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"seeds": 0}, "seeds) must be a whole number of at least 1, got 0"),
        ({"first_seed": -1}, "first_seed) must be a whole number of at least 0, got -1"),
    ],
)
def test_impossible_seeds_are_refused(tmp_path: Path, settings: dict[str, int], told: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(told)):
        run_paper("hinton2015-mnist", data="digits", out=tmp_path, **settings)
