"""The example report says what a newcomer wants to know, and docs/report.md has pictures of it."""

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent.parent
EXAMPLE = ROOT / "results" / "hinton2015-mnist" / "small" / "report.html"
PICTURES = ROOT / "docs" / "pictures"


@pytest.mark.parametrize("width", [1280, 390])
def test_it_says_whether_distillation_helped_by_how_much_how_sure_and_why(
    open_page: Callable[..., Any], width: int
) -> None:
    with open_page(EXAMPLE, width) as page:
        said = page.locator(".verdict").first.inner_text()
    assert re.match(r"Distillation helped\. Over 3 shared seeds, .* makes [\d.]+ fewer test errors", said)
    assert re.search(r"95% interval [\d.]+ to [\d.]+ fewer, paired by seed", said)
    kept, kept_by_labels = map(float, re.search(r"keeps ([\d.]+)% of the .* and \S+ keeps ([\d.]+)%", said).groups())
    assert kept > kept_by_labels


@pytest.mark.parametrize(
    ("name", "section", "width", "height"),
    [
        ("summary", "summary", 1280, 760),
        ("dark-knowledge", "explorer", 1280, 760),
        ("class-similarity", "similarity", 1280, 620),
        ("narrow", "explorer", 390, 900),
    ],
)
def test_the_pictures_are_of_it(
    open_page: Callable[..., Any], tmp_path: Path, name: str, section: str, width: int, height: int
) -> None:
    with open_page(EXAMPLE, width) as page:
        page.set_viewport_size({"width": width, "height": height})
        page.select_option("#explorer-run", label="800-800-distilled/0")
        page.locator("#explorer-temperature").fill("4")
        page.locator(f"#{section}").evaluate("one => scrollTo(0, one.offsetTop)")
        page.screenshot(path=tmp_path / f"{name}.png")
    made = (tmp_path / f"{name}.png").read_bytes()
    if os.environ.get("INSTAR_REMAKE_DOCS"):
        PICTURES.mkdir(exist_ok=True)
        (PICTURES / f"{name}.png").write_bytes(made)
    kept = (PICTURES / f"{name}.png").read_bytes()
    assert kept[:24] == made[:24], "the pictures have another size; remake them with INSTAR_REMAKE_DOCS=1"
    assert f"pictures/{name}.png" in (ROOT / "docs" / "report.md").read_text()
