"""What the pages show as output has the words and the layout of what is printed."""

from pathlib import Path
from types import SimpleNamespace

from tests.docs.pages import blocks, read

from instar.analysis.comparison import Difference
from instar.inspection.conclusions import Comparison, Quantity
from instar.procedures.born_again import Lineage
from instar.procedures.compare import Compared
from instar.procedures.demo import DemoSummary
from instar.tuning.cells import Cell, Setting
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
    assert shown == f"{Tuned('error', 120, cells, cell(Setting(None, None), 6, 5, 7), command)}\n"


def test_the_comparison_in_the_page_about_compare():
    tested = {"mcnemar": 0.2266}
    error = Quantity(2.68, 1.84, Difference(-0.84, -2.01, 0.17, 8, 3, tested, tested))
    nll = Quantity(0.0836, 0.0540, Difference(-0.0295, -0.0541, -0.0078, 300, 297))
    others = {
        "balanced_error": Quantity(2.64, 1.91, Difference(-0.73, -1.80, 0.35, None, None)),
        "macro_f1": Quantity(97.26, 98.10, Difference(0.84, -0.27, 1.95, None, None)),
        "average_precision": Quantity(99.65, 99.81, Difference(0.16, -0.03, 0.35, None, None)),
    }
    comparison = Comparison("runs/distilled", (1, 1), (0,), ((), ()), error, nll, others=others)
    found = Compared(("runs/labels", "runs/distilled"), ((0,), (0,)), "test", 597, 597, 10_000, (comparison,))
    assert f"{found}\n" in blocks(read("docs/compare.md"), "")


def test_the_table_of_the_page_about_born_again_networks():
    def row(run: str, errors: int, least: float, most: float, *gain: float, networks: int = 1) -> dict[str, object]:
        interval = (least / 100, most / 100)
        counts = {"parameters": 26_122 * networks, "errors": errors, "samples": 597}
        return {"run": run, **counts, "error_interval": interval, "gain": gain or (0, 0, 0)}

    rows = [
        row("generation-0", 18, 1.92, 4.72),
        row("generation-1", 23, 2.58, 5.71, -0.84, -1.82, 0.15),
        row("generation-2", 23, 2.58, 5.71, -0.84, -1.82, 0.15),
        row("generation-3", 23, 2.58, 5.71, -0.84, -1.93, 0.25),
        row("ensemble-1-3", 20, 2.18, 5.12, -0.34, -1.27, 0.60, networks=3),
        row("ensemble-0-3", 21, 2.31, 5.32, -0.50, -1.37, 0.37, networks=4),
        row("labels-1", 20, 2.18, 5.12, -0.34, -1.38, 0.71),
        row("labels-2", 20, 2.18, 5.12, -0.34, -0.99, 0.32),
        row("labels-3", 17, 1.79, 4.51, 0.17, -0.82, 1.16),
        row("label-smoothing", 20, 2.18, 5.12, -0.34, -1.38, 0.71),
        row("labels-1-3", 16, 1.66, 4.31, 0.34, -0.60, 1.27, networks=3),
    ]
    first = SimpleNamespace(path=Path("generation-0"), config={"data": {}})
    report = Path("runs/born-again/report.html")
    lineage = SimpleNamespace(rows=lambda: rows, generations=[first], stopped="", report=report)
    assert f"{Lineage.__str__(lineage)}\n" in blocks(read("docs/born-again.md"), "")
