"""The page as a reader has it: in a browser, with a mouse, a keyboard, and on paper."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file
from scipy.special import softmax
from scipy.stats import entropy

from instar.procedures.report import report
from instar.runs.files import read_json, read_tensors

WIDTHS = (1280, 390)
SECTIONS = ["summary", "explorer", "lineage", "similarity", "trust", "curves", "tradeoff", "costs", "noted"]


@pytest.fixture(scope="module")
def path(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return report(trained, tmp_path_factory.mktemp("page") / "report.html")


@pytest.fixture(params=WIDTHS)
def page(request: pytest.FixtureRequest, open_page: Callable[..., Any], path: Path) -> Iterator[Any]:
    with open_page(path, request.param) as page:
        yield page


def test_sections_open_and_close_and_fit_the_width(page: Any, tmp_path: Path) -> None:
    assert page.eval_on_selector_all("details.section", "all => all.map(one => one.id)") == SECTIONS
    for name in SECTIONS:
        section = page.locator(f"#{name}")
        heading = section.locator("summary").first
        heading.focus()
        page.keyboard.press("Enter")
        assert section.get_attribute("open") is None
        page.keyboard.press("Enter")
        assert section.get_attribute("open") is not None
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "only tables scroll sideways"
    page.screenshot(path=tmp_path / "page.png", full_page=True)
    assert (tmp_path / "page.png").stat().st_size > 20_000


def test_a_heading_sorts_its_table_by_value(page: Any) -> None:
    table = page.locator("#summary table").first
    heads = table.locator("thead th").all_inner_texts()
    place = heads.index("Test errors")
    read = f"rows => rows.map(row => parseInt(row.cells[{place}].textContent.replaceAll(',', '')))"
    for direction in (1, -1):
        table.locator("thead button").nth(place).click()
        found = table.locator("tbody tr").evaluate_all(read)
        assert found == sorted(found, reverse=direction < 0)
        assert len(set(found)) > 1


def test_the_slider_softens_both_as_numpy_does(page: Any, trained: Path) -> None:
    page.select_option("#explorer-run", label="student-1")
    page.select_option("#explorer-kind", "")
    page.locator("#explorer-samples button").nth(3).click()
    slider = page.locator("#explorer-temperature")
    number, label = int(page.inner_text("#explorer-id")), page.inner_text("#explorer-label")
    kept, _ = read_tensors(trained / "student-1" / "examples.safetensors")
    own, _ = read_tensors(trained / "student-1" / "predictions.safetensors")
    place = int((own["test.ids"] == number).nonzero()[0, 0])
    classes = read_json(trained / "student-1" / "model.json")["classes"]
    assert label == classes[int(own["test.labels"][place])]
    teacher = kept["shown.logits"][int((kept["shown.ids"] == number).nonzero()[0, 0])]
    for temperature in (0.5, 1, 7.3, 20):
        slider.fill(str(temperature))
        for who, logits in (("teacher", teacher), ("student", own["test.logits"][place])):
            p = softmax(logits.double().numpy() / temperature)
            assert float(page.inner_text(f"#explorer-{who}-entropy")) == pytest.approx(entropy(p), abs=0.003)
            off = 100 * (1 - p[classes.index(label)])
            assert float(page.inner_text(f"#explorer-{who}-off")) == pytest.approx(off, abs=0.1)
    milliseconds = page.evaluate("""() => {
        const slider = document.getElementById("explorer-temperature"), started = performance.now();
        for (let turn = 0; turn < 20; turn++) { slider.value = 1 + turn; slider.dispatchEvent(new Event("input")); }
        document.body.getBoundingClientRect();
        return (performance.now() - started) / 20;
    }""")
    assert milliseconds < 50


def test_the_slider_moves_by_keyboard(page: Any) -> None:
    page.locator("#explorer-temperature").focus()
    before = float(page.inner_text("#explorer-teacher-entropy"))
    page.keyboard.press("End")
    after = float(page.inner_text("#explorer-teacher-entropy"))
    assert before < after <= np.log(10) + 1e-4


def test_kinds_of_samples_are_what_they_say(page: Any, trained: Path) -> None:
    page.select_option("#explorer-run", label="student-0")
    page.select_option("#explorer-kind", "differs")
    own, _ = read_tensors(trained / "student-0" / "predictions.safetensors")
    kept, _ = read_tensors(trained / "student-0" / "examples.safetensors")
    shown = page.locator("#explorer-samples button")
    assert shown.count() > 0
    for place in range(min(5, shown.count())):
        shown.nth(place).click()
        number = int(page.inner_text("#explorer-id"))
        answer = own["test.logits"][own["test.ids"] == number].argmax()
        assert answer != kept["shown.logits"][kept["shown.ids"] == number].argmax()


def test_markup_in_names_is_text(page: Any) -> None:
    assert page.locator("img[src=x]").count() == 0
    assert "onerror=alert(1)" in page.inner_text("#noted")
    assert "onerror=alert(1)" in page.inner_text("#curves-runs")
    page.select_option("#explorer-kind", "")
    page.select_option("#explorer-class", "3")
    assert "onerror=alert(1)" in page.inner_text("#explorer-label")


def test_a_box_of_the_graph_leads_to_its_runs(page: Any) -> None:
    page.locator("svg.lineage a[aria-label=teacher]").focus()
    page.keyboard.press("Enter")
    told = page.locator("article.node:target")
    assert "student-*" in told.inner_text()
    told.locator("a", has_text="student-*").click()
    page.locator("article.node:target", has_text="student-0, student-1").wait_for()


def test_curves_are_switched(page: Any) -> None:
    lines = page.locator("#curves-chart polyline")
    every = lines.count()
    page.locator("#curves-runs input").first.uncheck()
    assert lines.count() == every - 1
    page.click("#curves-none")
    assert lines.count() == 0
    page.click("#curves-all")
    page.select_option("#curves-quantity", label="Learning rate")
    page.select_option("#curves-scale", "log")
    assert lines.count() > 0


def test_a_cell_of_the_matrix_is_read_by_keyboard(page: Any) -> None:
    names = page.locator(".matrix .rows").first.locator("span").all_inner_texts()
    page.locator("#similarity-student").focus()
    for key in ("ArrowRight", "ArrowDown", "ArrowDown"):
        page.keyboard.press(key)
    told = page.inner_text("#similarity-readout")
    assert told.startswith(f"Label {names[2]}, class {names[1]}: teacher ")
    for matrix in page.locator(".matrix").all():
        assert matrix.locator(".here").all_inner_texts() == [names[2], names[1]]
        cells, mark = (matrix.locator(part).bounding_box() for part in ("canvas", ".mark"))
        assert mark["width"] == pytest.approx(cells["width"] / 10, abs=0.1)
        assert mark["x"] - cells["x"] == pytest.approx(cells["width"] / 10, abs=0.1)
        assert mark["y"] - cells["y"] == pytest.approx(cells["height"] / 5, abs=0.1)
    page.select_option("#similarity-temperature", label="T = 20")
    assert page.inner_text("#similarity-readout") != told


def test_a_touched_cell_of_the_matrix_is_read(page: Any) -> None:
    names = page.locator(".matrix .rows").first.locator("span").all_inner_texts()
    page.locator("#similarity-lost").scroll_into_view_if_needed()
    box = page.locator("#similarity-lost").bounding_box()
    page.mouse.click(box["x"] + 0.45 * box["width"], box["y"] + 0.95 * box["height"])
    assert page.inner_text("#similarity-readout").startswith(f"Label {names[9]}, class {names[4]}: ")


def test_classes_are_named_at_both_axes(page: Any, trained: Path) -> None:
    names = read_json(trained / "student-1" / "model.json")["classes"]
    for matrix in page.locator(".matrix").all():
        rows = matrix.locator(".rows span")
        assert sorted(rows.all_inner_texts()) == sorted(names)
        assert rows.evaluate_all("all => all.map(one => one.title)") == rows.all_inner_texts()
        assert matrix.locator(".columns span").all_inner_texts() == rows.all_inner_texts()
    assert_named_beside_their_cells(page, 10)


@pytest.mark.parametrize("width", [*WIDTHS, 320])
def test_up_to_30_long_names_have_room(open_page: Callable[..., Any], tmp_path: Path, width: int) -> None:
    for count, named in ((30, 30), (31, 0)):
        write_run_of_classes(tmp_path / str(count), [f"class {at} of a long name" for at in range(count)])
        with open_page(report(tmp_path / str(count)), width) as page:
            assert_named_beside_their_cells(page, named)
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def assert_named_beside_their_cells(page: Any, count: int) -> None:
    """Hold the boxes of names against those of cells: each in the middle of its own, and none over another's."""
    for matrix in page.locator(".matrix").all():
        cells = matrix.locator("canvas").bounding_box()
        for axis, start, size in ((".rows", "y", "height"), (".columns", "x", "width")):
            boxes = [name.bounding_box() for name in matrix.locator(f"{axis} span").all()]
            assert len(boxes) == count
            for at, box in enumerate(boxes):
                middle = cells[start] + cells[size] * (at + 0.5) / count
                assert box[start] + box[size] / 2 == pytest.approx(middle, abs=0.5)
                assert box[size] <= cells[size] / count + 0.1
                right, bottom = box["x"] + box["width"], cells["y"] + cells["height"]
                assert right <= cells["x"] if axis == ".rows" else box["y"] >= bottom


def write_run_of_classes(folder: Path, names: list[str]) -> None:
    """Write a distilled run over two samples of each class."""
    run = folder / "run"
    run.mkdir(parents=True)
    config: dict[str, Any] = {"seed": 0, "teachers": ["x"], "combine": "geometric", "objective": "SoftTargets(1)"}
    config |= {"model": {"name": "mlp", "arguments": {}}, "training": {"epochs": 1}}
    (run / "config.json").write_text(json.dumps({"format": 1, "config": config, "fingerprints": {"data": {}}}))
    metrics = {"samples": 2 * len(names), "errors": 0, "error": 0.0, "class_errors": {name: [0, 2] for name in names}}
    (run / "result.json").write_text(json.dumps({"metrics": metrics, "parameters": 1, "seconds": 1}))
    labels = np.arange(2 * len(names)) % len(names)
    logits = np.random.default_rng(0).normal(size=(len(labels), len(names)))
    save_file({"test.ids": np.arange(len(labels)), "test.logits": logits}, run / "predictions.safetensors")
    shown = {"ids": np.arange(len(labels)), "labels": labels, "logits": np.flip(logits, 0), "inputs": logits[:9]}
    shown = {f"shown.{name}": np.ascontiguousarray(array) for name, array in shown.items()}
    save_file(shown, run / "examples.safetensors")


def test_dark_and_paper_change_the_ground(page: Any) -> None:
    ground = "getComputedStyle(document.body).backgroundColor"
    box = "getComputedStyle(document.querySelector('svg.lineage rect')).fill"
    matrix = "document.getElementById('similarity-lost').toDataURL()"
    light = page.evaluate(matrix)
    page.emulate_media(color_scheme="dark")
    dark = [page.evaluate(ground), page.evaluate(box)]
    page.wait_for_function(f"light => {matrix} !== light", arg=light)  # a page learns of it when it is next drawn
    page.emulate_media(color_scheme="dark", media="print")
    paper = [page.evaluate(ground), page.evaluate(box)]
    assert dark == ["rgb(22, 24, 27)", "rgb(34, 38, 43)"]
    assert paper == ["rgb(255, 255, 255)", "rgb(243, 243, 243)"]
    page.wait_for_function(f"light => {matrix} === light", arg=light)
