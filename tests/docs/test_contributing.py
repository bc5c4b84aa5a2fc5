"""A copy of the package with the examples of CONTRIBUTING.md keeps the contracts: a new part takes no more."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.docs.pages import ROOT, blocks, read

PAGE = read("CONTRIBUTING.md")


def apply(change: str, folder: Path) -> None:
    """Apply a change: added lines stand behind the line before them, or in place of the lines that are taken away."""
    for name, lines in re.findall(r"^--- (\S+)\n((?:[ +-].*\n)+?)(?=^--- |\Z)", change, re.MULTILINE):
        path = folder / name
        text = path.read_text()
        for before, added in re.findall(r"((?:^[ -].*\n)+)((?:^\+.*\n)+)", lines, re.MULTILINE):
            old = "".join(line[1:] + "\n" for line in before.splitlines())
            kept = "".join(line[1:] + "\n" for line in before.splitlines() if line[0] == " ")
            assert f"\n{text}".count(f"\n{old}") == 1, f"{name} has not one line {old!r}"
            new = "".join(line[1:] + "\n" for line in added.splitlines())
            text = f"\n{text}".replace(f"\n{old}", f"\n{kept}{new}")[1:]
        path.write_text(text)


def copy_with(folder: Path, *, changes: bool) -> Path:
    """Copy the package and its contract tests, with the new files of the page, and with the lines that name them."""
    shutil.copytree(ROOT / "src", folder / "src", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "tests/contract", folder / "tests/contract", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "tests/conftest.py", folder / "tests")
    for code in blocks(PAGE, "python"):
        (name,) = re.findall(r"\A# (src/\S+)\n", code)
        assert not (folder / name).exists()
        (folder / name).write_text(code)
    for change in blocks(PAGE, "diff") if changes else ():
        apply(change, folder)
    return folder


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_with(tmp_path_factory.mktemp("with") / "instar", changes=True)


def run(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(folder / "src"), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, *words]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def contracts(folder: Path) -> tuple[int, str]:
    """Run the contract tests of the new parts, and those that compare lists; return how they ended."""
    parts = "Brier or ChannelMeans or OneConvolution or uniform or Shortlist or one-convolution or Mirror or Shortlist"
    chosen = f"{parts} or listed or exported_name or shadowed"
    words = ("-q", "-p", "no:cacheprovider", "--import-mode=importlib", f"--rootdir={folder}", "-k", chosen)
    ended = run(folder, "-m", "pytest", *words, "tests/contract")
    return ended.returncode, ended.stdout + ended.stderr


def test_the_new_parts_keep_the_contracts(copy):
    code, text = contracts(copy)
    assert code == 0, text[-4000:]
    assert int(re.findall(r"(\d+) passed", text)[0]) > 60


def test_the_new_verb_format_and_paper_are_there(copy, tmp_path):
    said = run(copy, "-m", "instar.cli", "papers", "run", "digits", "--scale", "smoke", "--out", str(tmp_path))
    assert said.returncode == 0, said.stderr
    assert "| labels | test error (%) |" in said.stdout
    folder = str(tmp_path / "runs" / "seed-0")
    assert run(copy, "-m", "instar.cli", "count", folder).stdout == f"{65 * 8 + 9 * 10}\n"
    said = run(copy, "-m", "instar.cli", "export", folder, "--to", "npz")
    assert said.returncode == 0, said.stderr
    assert (tmp_path / "runs" / "seed-0" / "export" / "model.npz").is_file()


def test_the_files_alone_are_not_enough(tmp_path):
    """So the lines are not only allowed, but needed."""
    copy = copy_with(tmp_path / "instar", changes=False)
    for change in blocks(PAGE, "diff"):
        if "tests/contract" in change:  # the rows alone
            apply("--- tests/contract" + change.split("--- tests/contract")[1], copy)
    code, text = contracts(copy)
    assert code != 0
    assert text.count("ImportError") >= 3


def test_every_kind_of_part_has_its_row_and_its_files(copy):
    """The folders of the table are those of the examples."""
    rows = re.findall(r"^\| \[a.*?\]\((\S+?)\) \| (.*?) \|", PAGE, re.MULTILINE)
    for anchor, place in rows:
        title = anchor.removeprefix("#").replace("-", " ")
        for name in re.findall(r"`(src/\S+?)`", place):
            assert (ROOT / name).exists()
            found = re.findall(rf"^## {title}\n(.*?)(?=^## )", PAGE, re.MULTILINE | re.DOTALL | re.IGNORECASE)
            assert not anchor.startswith("#") or name.rstrip("/") in found[0], anchor
