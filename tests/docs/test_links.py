"""Links between documents lead somewhere, and paths between backticks exist."""

import re

import pytest
from tests.docs.pages import HISTORY, PAGES, ROOT, inline, read

FOLDERS = {path.name for path in (ROOT / "src/instar").iterdir() if path.is_dir()} - {"runs"}  # so are runs called
PLACES = "|".join({"src", "tests", "docs", "benchmarks", "results", *FOLDERS})


def anchors(page: str) -> set[str]:
    """Return the anchors of the headings of a page, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", page, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", read(page)):
        if "://" not in target:
            path, _, anchor = target.partition("#")
            found = (ROOT / page).parent / path if path else ROOT / page
            assert found.exists(), f"{page} links to {target}"
            assert not anchor or anchor in anchors(found.read_text(encoding="utf-8")), f"{page} links to {target}"


@pytest.mark.parametrize("page", PAGES)
def test_every_page_is_linked_from_another(page):
    others = {
        (ROOT / other).parent / target for other in PAGES for target in re.findall(r"\]\(([^)#\s]+)", read(other))
    }
    assert page == "README.md" or (ROOT / page).resolve() in {path.resolve() for path in others}


@pytest.mark.parametrize("page", [page for page in PAGES if page not in HISTORY])
def test_paths_between_backticks_exist(page):
    for code in inline(read(page)):
        if re.fullmatch(rf"(?:{PLACES})/[\w./-]*", code):
            assert (ROOT / code).exists() or (ROOT / "src/instar" / code).exists(), f"{page} names `{code}`"
