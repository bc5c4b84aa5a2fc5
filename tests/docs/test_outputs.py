"""What the pages show as output has the words and the layout of what is printed."""

from pathlib import Path

from tests.docs.pages import blocks, read

from instar.procedures.demo import DemoSummary
from instar.tuning.cells import BASELINE, Cell, Setting
from instar.tuning.tuned import Tuned


def cell(setting: Setting, *errors: int, dropped: int | None = None, nll: float = 1.0) -> Cell:
    """Return a cell with a trial for each count of errors on 120 samples."""
    found = Cell(setting, dropped=dropped)
    for seed, count in enumerate(errors):
        found = found.with_trial(Path(f"trial-{seed}"), seed, {"error": count / 120, "nll": nll})
    return found


def test_the_table_of_the_demo_in_the_readme():
    summary = DemoSummary(
        samples=597,
        ensemble_parameters=265_490,
        ensemble_errors=5,
        member_errors=[3, 5, 6, 8, 11],
        student_parameters=26_122,
        hard_errors=[13, 13, 13, 14, 14],
        distilled_errors=[5, 6, 7, 9, 9],
        gain=(6.2, 3.7, 8.7),
        report="runs/demo/report.html",
        seconds=27,
    )
    assert f"{summary}\n" in blocks(read("README.md"), "")


def test_the_outcome_of_a_search_in_the_page_about_tune():
    (shown,) = (block for block in blocks(read("docs/tune.md"), "") if "Chosen" in block)
    cells = (
        cell(Setting(1, 0), 6, 6, 7),
        cell(Setting(1, 0.1), 5, 5, 7, nll=0.5),
        cell(Setting(1, 0.5), 4, 6, 7),
        *(cell(Setting(2, weight), 7, 7, dropped=1) for weight in (0, 0.1, 0.5)),
        *(cell(Setting(4, weight), errors, dropped=0) for weight, errors in ((0, 9), (0.1, 9), (0.5, 8))),
        *(cell(Setting(8, weight), errors, dropped=0) for weight, errors in ((0, 10), (0.1, 10), (0.5, 9))),
    )
    command = shown.splitlines()[-1]
    assert shown == f"{Tuned('error', 120, cells, cell(BASELINE, 6, 5, 7), command)}\n"
