"""docs/design.md names every folder and file of the package, its layers, and five paths whose functions exist."""

import ast
import re
import tomllib

import pytest
from tests.docs.pages import ROOT, blocks, section

PACKAGE = ROOT / "src/instar"
HOUSE = section("docs/design.md", "The house")
STEPS = re.findall(r"^\d\. `(\S+)`: `([\w.]+)`", section("docs/design.md", "Five paths"), re.MULTILINE)


def listed() -> dict[str, list[str]]:
    """Return the files that the page names in each folder; "" is the package itself."""
    found = {}
    for item in re.split(r"^- ", HOUSE, flags=re.MULTILINE)[1:]:
        folder = re.match(r"`([\w/]+)/`: |In `src/instar/` itself: ", item)
        assert folder, item
        found[folder[1] or ""] = re.findall(r"`(\w+\.py)`", re.split(r"^$", item, maxsplit=1, flags=re.MULTILINE)[0])
    return found


def in_tree() -> dict[str, list[str]]:
    """Return the files of each folder but those that Python asks for."""
    found: dict[str, list[str]] = {}
    for path in PACKAGE.rglob("*.py"):
        if path.name not in ("__init__.py", "__main__.py"):
            found.setdefault(str(path.parent.relative_to(PACKAGE)).removeprefix("."), []).append(path.name)
    return found


def test_the_folders_are_those_of_the_tree():
    assert listed().keys() == in_tree().keys()


@pytest.mark.parametrize("folder", in_tree())
def test_the_files_are_those_of_the_tree(folder):
    named, there = listed().get(folder, []), in_tree()[folder]
    assert (sorted(set(there) - set(named)), sorted(set(named) - set(there))) == ([], []), f"{folder}: (missing, gone)"
    assert len(set(named)) == len(named)


def test_the_layers_are_those_that_are_enforced():
    (contract,) = (
        contract
        for contract in tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
        if contract["type"] == "layers"
    )
    (shown,) = blocks(HOUSE, "")
    layers = [re.findall(r"\w+", layer) for layer in shown.split(">")]
    assert layers == [re.findall(r"\w+", layer) for layer in contract["layers"]]


def test_there_are_five_paths_in_steps():
    assert section("docs/design.md", "Five paths").count("\n### ") == 5
    assert len(STEPS) >= 25


@pytest.mark.parametrize(("file", "name"), STEPS)
def test_a_step_of_a_path_is_in_its_file(file, name):
    body = ast.parse((PACKAGE / file).read_text()).body
    for part in name.split("."):
        (body,) = (node.body for node in body if getattr(node, "name", None) == part)


def test_the_square_of_the_temperature_is_where_the_page_says():
    squared = {path.name: path.parent.name for path in PACKAGE.rglob("*.py") if "temperature**2" in path.read_text()}
    terms = dict.fromkeys(("soft_targets.py", "decoupled.py", "correlation.py"), "objectives")
    # beside the terms, only the definition that losses of other code are compared with
    assert squared == terms | {"tested.py": "losses"}
