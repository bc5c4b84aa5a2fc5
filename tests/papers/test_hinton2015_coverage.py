"""The table of specialists by coverage on embedded data: sets of one cost, and right about what it counts."""

from pathlib import Path

import pytest

from instar.papers import run_paper
from instar.runs.files import read_json
from instar.runs.run import Run


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("table")
    run_paper("hinton2015-coverage", scale="smoke", data="digits", out=folder)
    return folder


def test_each_set_has_all_samples_and_the_gain_of_its_rows(folder: Path) -> None:
    rows = read_json(folder / "table.json")
    for name in ("3 specialists", "6 specialists", "6 specialists, 2 times the cost"):
        counted = [row["settings"] for row in rows if row["row"].startswith(f"{name}: ")]
        assert sum(sum(settings["samples"]) for settings in counted) == 2 * 597
        mine = {row["quantity"]: row for row in rows if row["row"] == name}
        before = next(row for row in rows if row["row"] == "generalist")["seeds"]
        gained = [(after - alone) / 100 * 597 for after, alone in zip(mine["accuracy"]["seeds"], before, strict=True)]
        by_seed = [sum(settings["gain"][seed] for settings in counted) for seed in range(2)]
        assert by_seed == pytest.approx(gained)
        relative = [100 * gain / (alone / 100 * 597) for gain, alone in zip(gained, before, strict=True)]
        assert mine["relative gain"]["seeds"] == pytest.approx(relative)


def test_sets_have_the_cost_that_they_name_and_one_generalist(folder: Path) -> None:
    for seed in ("0", "1"):
        runs = folder / "runs" / seed
        for number, more, epochs in ((3, "", 2), (6, "", 1), (6, "-2-times-the-cost", 2)):
            specialists = [Run(path) for path in (runs / f"{number}-specialists{more}").glob("specialist-*")]
            assert [run.config["training"]["epochs"] for run in specialists] == [epochs] * number
            assert Path(Run(runs / f"{number}-combined{more}").members()[0]) == runs / "generalist-0"


def test_growth_is_judged_between_sets_and_within_them(folder: Path) -> None:
    text = (folder / "table.md").read_text()
    assert "6 specialists have a larger relative gain than 3 specialists: " in text
    assert "Within a set, the relative gain changes by this many percentage points" in text
