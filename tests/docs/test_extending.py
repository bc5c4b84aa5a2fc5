"""The parts and commands of docs/extending.md run as they stand."""

import subprocess
import sys
from pathlib import Path

from tests.docs.pages import blocks, read
from tests.docs.test_programs import run_in_shell

from instar import Run

PAGE = read("docs/extending.md")


def test_the_parts_of_the_page_run_as_they_stand(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("\n\n".join(blocks(PAGE, "python")))
    run_in_shell("\n".join(blocks(PAGE, "sh")).replace("--epochs 10", "--epochs 2"), tmp_path)
    ended = subprocess.run([sys.executable, "mine.py"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    runs = {name: Run(tmp_path / "runs" / name) for name in ("focal", "dim", "top", "small", "nearest", "points")}
    assert all(run.complete for run in runs.values())
    assert runs["focal"].config["objective"] == "mine:Focal(2) + 0.1 * HardLabels()"
    assert runs["dim"].config["views"] == "mine:Dim(0.3) + Shift(1)"
    assert runs["top"].config["reader"] == "mine:Top(6)"
    assert runs["small"].config["model"]["name"] == "mine:Small"
    assert runs["nearest"].result["metrics"]["agreement"] > 0.7
