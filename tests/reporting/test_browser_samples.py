"""Samples that are no images, as a reader has them: tables, text, and recordings that play."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from tests.older import as_older

from instar.procedures.report import report


@pytest.fixture(scope="module")
def path(kinds: tuple[Path, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return report(kinds[0], tmp_path_factory.mktemp("page") / "report.html")


@pytest.fixture(params=(1280, 390))
def page(request: pytest.FixtureRequest, open_page: Callable[..., Any], path: Path) -> Iterator[Any]:
    with open_page(path, request.param) as page:
        yield page


def pick(page: Any, run: str, place: int) -> int:
    """Show one of the samples that a run kept, and return its number in the data."""
    page.select_option("#explorer-run", label=run)
    page.select_option("#explorer-kind", "")
    page.locator("#explorer-samples button").nth(place).click()
    return int(page.inner_text("#explorer-id"))


def test_a_row_of_numbers_is_a_table(page: Any, kinds: tuple[Path, Any]) -> None:
    samples = kinds[1]["rows"].test
    for place in (0, 3):
        number = pick(page, "rows", place)
        cells = page.locator("#explorer-input td").all_inner_texts()
        np.testing.assert_allclose([float(cell) for cell in cells], samples.source.inputs[number], rtol=1e-3)
        assert page.locator("#explorer-input th").all_inner_texts() == [f"feature {at}" for at in range(1, 21)]
        assert page.inner_text("#explorer-label") == samples.source.classes[samples.source.labels[number]]


def test_a_long_table_scrolls_by_keyboard_and_is_whole_on_paper(page: Any) -> None:
    pick(page, "rows", 0)
    table, last = page.locator("#explorer-input table"), page.locator("#explorer-input tr").last
    is_inside = "(row, table) => row.getBoundingClientRect().bottom <= table.getBoundingClientRect().bottom"
    assert not last.evaluate(is_inside, table.element_handle())
    table.focus()
    page.keyboard.press("End")
    table.evaluate("table => new Promise((done) => { table.onscrollend = done; setTimeout(done, 1000); })")
    assert last.evaluate(is_inside, table.element_handle())
    page.emulate_media(media="print")
    assert table.evaluate("table => table.scrollHeight <= table.clientHeight")


def test_of_a_text_the_words_before_the_class_are_shown(page: Any, kinds: tuple[Path, Any]) -> None:
    source = kinds[1]["text"].test.source
    for place in (0, 5, 9):
        number = pick(page, "text", place)
        position = int(page.inner_text("#explorer-position").removeprefix(", position "))
        words = [source.classes[token] for token in source.inputs[number, : position + 1]]
        assert page.inner_text("#explorer-input") == " ".join(words) + " …"
        assert page.inner_text("#explorer-label") == source.classes[source.labels[number, position]]
    assert page.locator("#explorer-input b").count() == 0
    buttons = page.locator("#explorer-samples button").all_inner_texts()
    assert len(set(buttons)) == len(buttons) > 9


def test_a_recording_is_played(page: Any, kinds: tuple[Path, Any]) -> None:
    source = kinds[1]["recordings"].test.source
    seen = set()
    for place in range(0, 40, 8):
        number = pick(page, "recordings", place)
        audio = page.locator("#explorer-input audio")
        assert page.locator("#explorer-input img").count() == audio.count() == 1
        seconds = audio.evaluate("""audio => new Promise((resolve, reject) => {
            audio.muted = true;
            audio.onended = () => resolve(audio.duration);
            audio.play().catch(reject);
        })""")
        assert seconds == pytest.approx(len(source.columns["sound"].wave(number)) / 8000, abs=1e-4)
        assert page.inner_text("#explorer-input p") == f"{seconds:.2f} seconds"
        seen.add(number)
    assert len(seen) > 2
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_a_recording_is_played_by_keyboard_and_is_not_on_paper(page: Any) -> None:
    pick(page, "recordings", 0)
    audio = page.locator("#explorer-input audio")
    page.locator("#explorer-samples button").last.focus()
    page.keyboard.press("Tab")
    assert audio.evaluate("audio => document.activeElement === audio")
    audio.evaluate("audio => { audio.muted = audio.loop = true; }")
    page.keyboard.press("Space")
    audio.evaluate("""audio => new Promise((resolve, reject) => {
        audio.ontimeupdate = () => audio.currentTime > 0 && resolve();
        setTimeout(() => reject(new Error("nothing is played")), 5000);
    })""")
    page.emulate_media(media="print")
    assert not audio.is_visible()


@pytest.mark.parametrize("keeps", [True, False])
def test_where_a_sound_had_no_room_a_sentence_says_so(
    open_page: Callable[..., Any], kinds: tuple[Path, Any], tmp_path: Path, keeps: bool
) -> None:
    shutil.copytree(kinds[0] / "recordings", tmp_path / "recordings")
    as_older(tmp_path / "recordings")  # whose examples no checksum holds
    kept = load_file(tmp_path / "recordings" / "examples.safetensors")
    kept = {name: array for name, array in kept.items() if not name.startswith("sounds.")}
    if keeps:  # as where even the shortest is too long; a run of an older version says nothing
        kept |= {"sounds.ids": np.zeros(0, np.int64), "sounds.starts": np.zeros(1, np.int64)}
        kept |= {"sounds.waves": np.zeros(0, np.int16), "sounds.rate": np.array([8000])}
    save_file(kept, tmp_path / "recordings" / "examples.safetensors")
    with open_page(report(tmp_path), 390) as page:
        pick(page, "recordings", 0)
        assert page.locator("#explorer-input img").count() == 1
        assert page.locator("#explorer-input audio").count() == 0
        told = "The report has no room for the sound of this recording." if keeps else ""
        assert page.inner_text("#explorer-input").strip() == told
