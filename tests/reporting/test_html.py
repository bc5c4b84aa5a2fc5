"""The file that a user opens: what it shows, and that it needs nothing else."""

import json
import os
import re
import shutil
from collections.abc import Callable
from functools import partial
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from instar.errors import InstarError, RunError
from instar.procedures.report import report
from instar.reporting import write_report

Write = Callable[..., Path]
VOID = {"meta", "link", "br", "img", "hr", "input"}
MARKUP = '<img src="http:evil" onerror=alert(1)>&amp;'


class Page(HTMLParser):
    """Reads a page: its text, tables and attributes; complains about elements that are not closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.attributes: list[tuple[str, str, str | None]] = []
        self.tables: list[list[list[str]]] = []
        self.scripts: list[str] = []
        self.text = ""
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(tag, name, value) for name, value in attrs]
        if tag in VOID:
            return
        self.open.append(tag)
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")
        elif tag == "script":
            self.scripts.append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] == ["script"]:
            self.scripts[-1] += data
        elif self.open[-1:] != ["style"]:
            self.text += data
            if {"td", "th"} & set(self.open[-1:]):
                self.tables[-1][-1][-1] += data

    def rows(self, *, having: str = "Model", number: int = 0) -> list[dict[str, str]]:
        """Return the rows of the `number`-th table that has a column of this heading."""
        head, *body = [table for table in self.tables if table and having in table[0]][number]
        return [dict(zip(head, row, strict=True)) for row in body]


@pytest.fixture
def write(write_run: Write) -> Write:
    """Write a run folder of which the report has something to say everywhere, complete when it has metrics."""
    environment = {
        "versions": {"python": "3.12.1", "torch": "2.9.0"},
        "machine": {"cpu": "A processor", "cores": 2, "threads": 1, "system": "Linux"},
        "commit": "0123456789abcdef+changes",
        "date": "2026-01-02",
    }
    lines = [
        {"kind": "train", "step": 9, "epoch": 1.0, "loss": 2.5},
        {"kind": "train", "step": 10, "epoch": 1.1, "loss": float("nan")},
        {"kind": "validation", "step": 9, "epoch": 1.0, "error": 0.25},
    ]
    return partial(write_run, lines=lines, environment=environment, combine="arithmetic")


def curves_of(page: Page) -> dict[str, Any]:
    """Return the data of the curves."""
    found: dict[str, Any] = next(data for script in page.scripts if "quantities" in (data := as_json(script)))
    return found


def as_json(script: str) -> dict[str, Any]:
    """Return what a script element holds as data; nothing of one that is a program."""
    return dict(json.loads(script)) if script.startswith("{") else {}


def measured(errors: int, **more: float) -> dict[str, Any]:
    interval = [errors / 1000 - 0.01, errors / 1000 + 0.01]
    return {"samples": 1000, "errors": errors, "error": errors / 1000, "error_interval": interval, **more}


@pytest.fixture
def runs(tmp_path: Path, write: Write) -> Path:
    root = tmp_path / "runs"
    teachers = ["../elsewhere/teacher-0", "../elsewhere/teacher-1"]
    for seed in range(2):
        write(root / f"labels-{seed}", measured(60 + 4 * seed, nll=0.21, ece=0.0345), seed=seed)
        found = measured(50, nll=0.2, ece=0.01, agreement=0.875, teacher_error=0.04)
        write(root / f"distilled-{seed}", found, seed=seed, teachers=teachers)
    write(root / MARKUP)
    (write(root / "broken", measured(1)) / "result.json").write_text("{")
    return root


def test_the_table_holds_the_numbers_of_the_results(runs: Path) -> None:
    page = Page(report(runs).read_text())
    rows = {row["Run"]: row for row in page.rows()}
    assert list(rows) == ["distilled-0", "distilled-1", "labels-0", "labels-1"]
    for name, row in rows.items():
        result = json.loads((runs / name / "result.json").read_text())
        found = result["metrics"]
        assert row["Model"] == "mlp(widths=[32])"
        assert row["Parameters"] == "1,234,567"
        assert row["Test errors"] == str(found["errors"])
        assert row["Test error (%)"] == f"{100 * found['error']:.2f}"
        assert row["95% interval (%)"] == "\u2013".join(f"{100 * end:.2f}" for end in found["error_interval"])
        assert row["NLL (nats)"] == f"{found['nll']:.3f}"
        assert row["ECE (%)"] == f"{100 * found['ece']:.2f}"
        assert row["Seconds"] == "1,234.6"
    assert rows["distilled-0"]["Agreement (%)"] == "87.50"
    assert rows["distilled-0"]["Teacher"] == "../elsewhere/teacher-* (2, arithmetic)"
    assert rows["labels-0"]["Agreement (%)"] == rows["labels-0"]["Teacher"] == "\u2013"


def test_groups_and_their_difference(runs: Path) -> None:
    page = Page(report(runs).read_text())
    groups = {row["Run"]: row for row in page.rows(number=1)}
    assert groups["labels-*"]["Test errors"] == "62.0 ± 2.8"
    assert groups["labels-*"]["Seeds"] == "2"
    assert "distilled-* makes 12.0 fewer test errors than labels-*" in page.text


def test_header_and_legend(runs: Path) -> None:
    text = Page(write_report([runs], runs / "out.html", "Mine & yours").read_text()).text
    for words in ("Mine & yours", "4 complete runs, 1 incomplete, 1 damaged", "torch 2.9.0", "A processor, 2 cores"):
        assert words in text
    assert "0123456789ab with changes" in text
    assert "Expected calibration error" in text


def test_incomplete_and_damaged_runs_are_shown(runs: Path) -> None:
    page = Page(report(runs).read_text())
    states = {row["Run"]: row["State"] for row in page.rows(having="State")}
    assert states == {"broken": "damaged", MARKUP: "incomplete"}
    assert "Traceback" not in page.text


def test_names_of_folders_are_never_markup(runs: Path) -> None:
    page = Page(write_report([runs], runs / "out.html", "</title><script>alert(1)</script>").read_text())
    assert not any(tag == "img" for tag, _, _ in page.attributes)
    assert not any("<" in script for script in page.scripts if script.startswith("{"))
    assert MARKUP in [run["name"] for run in curves_of(page)["runs"]]


def test_the_page_loads_nothing(runs: Path) -> None:
    path = report(runs)
    page = Page(path.read_text())
    assert not any(name in ("src", "srcset", "data", "action") for _, name, _ in page.attributes)
    assert all(value and value.startswith("#") for _, name, value in page.attributes if name == "href")
    assert any(value and value.startswith("default-src 'none'") for _, _, value in page.attributes)
    style = re.findall(r"<style>(.*?)</style>", path.read_text(), re.DOTALL)
    assert len(style) == 1
    assert "url(" not in style[0]
    assert "@import" not in style[0]
    assert path.stat().st_size < 100_000


def test_curves_hold_what_was_recorded(runs: Path) -> None:
    found = curves_of(Page(report(runs).read_text()))
    assert [quantity["name"] for quantity in found["quantities"]] == ["train loss", "validation error"]
    assert all(
        run["series"] == {"train loss": [[1.0, 2.5]], "validation error": [[1.0, 0.25]]} for run in found["runs"]
    )
    assert len({run["colour"] for run in found["runs"] if run["name"].startswith("labels")}) == 1


def test_runs_without_results_or_curves_still_make_a_page(tmp_path: Path, write: Write) -> None:
    folder = write(tmp_path / "run")
    (folder / "metrics.jsonl").unlink()
    text = Page(report(folder).read_text()).text
    assert "No run is complete yet." in text
    assert "Curves" not in text


def test_several_folders_are_named_from_what_holds_them(runs: Path) -> None:
    out = write_report([runs / "labels-0", runs / "distilled-0", runs / "labels-0"], runs / "new" / "out.html")
    assert [row["Run"] for row in Page(out.read_text()).rows()] == ["distilled-0", "labels-0"]


def test_names_that_are_no_valid_text_are_written(tmp_path: Path, write: Write) -> None:
    try:
        folder = write(tmp_path / "a\udcff", measured(3))
    except OSError:
        pytest.skip("this file system takes valid names only")
    assert "a\ufffd" in report(tmp_path, tmp_path / "out.html").read_text()
    report(folder, tmp_path / "out.html")


def test_errors_are_one_sentence(tmp_path: Path, write: Write) -> None:
    with pytest.raises(RunError, match="is missing"):
        report(tmp_path / "nowhere")
    with pytest.raises(RunError, match="no run folders"):
        report(tmp_path)
    folder = write(tmp_path / "run", measured(3))
    with pytest.raises(RunError, match="cannot be written"):
        report(tmp_path, folder / "config.json" / "out.html")


def test_no_file_but_a_report_is_replaced(runs: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(runs / "labels-0", run)
    os.mkfifo(tmp_path / "pipe")
    before = {path.name: path.read_bytes() for path in run.iterdir() if path.is_file()}
    for out in (run / "config.json", run / "result.json", tmp_path / "pipe", "", "s3://bucket/report.html"):
        with pytest.raises(InstarError, match=r"is not replaced|not a regular file|must (name|be) a"):
            report(run, out)
    assert {path.name: path.read_bytes() for path in run.iterdir() if path.is_file()} == before
    assert report(run) == report(run)
