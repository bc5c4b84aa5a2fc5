"""The parts and commands of docs/extending.md run as they stand."""

import runpy
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from tests.docs.pages import blocks, commands, read

from instar import Run

PAGE = read("docs/extending.md")


def test_the_parts_of_the_page_run_as_they_stand(
    instar: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine.py").write_text("\n\n".join(blocks(PAGE, "python")))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delitem(sys.modules, "mine", raising=False)
    for words in commands(PAGE):
        code, _, err = instar(*["2" if before == "--epochs" else word for before, word in pairwise(["", *words])])
        assert code == 0, (words, err)
    runpy.run_path("mine.py", run_name="__main__")
    names = ("focal", "dim", "top", "small", "nearest", "points", "objects", "points-as-objects")
    runs = {name: Run(tmp_path / "runs" / name) for name in names}
    assert all(run.complete for run in runs.values())
    assert runs["focal"].config["objective"] == "mine:Focal(2) + 0.1 * HardLabels()"
    assert runs["dim"].config["views"] == "mine:Dim(0.3) + Shift(1)"
    assert runs["top"].config["reader"] == "mine:Top(6)"
    assert runs["small"].config["model"]["name"] == "mine:Small"
    assert runs["nearest"].config["teachers"] == ["mine:Nearest"]
    assert runs["points"].config["data"]["source_arguments"] == {"count": 300}


def test_each_part_is_shown_in_about_ten_lines() -> None:
    shown = [block for block in blocks(PAGE, "python") if "__main__" not in block]
    assert len(shown) == 6
    for block in shown:
        body = block[block.index("class " if "class " in block else "def ") :]
        assert len([line for line in body.splitlines() if line.strip()]) <= 12
