"""Run folders that were trained, and a page in Debian's chromium."""

import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest

import instar
from instar.data import Data

MARKUP = '<img src=x onerror=alert(1)>&amp;"'
"""The name of a class and of a folder: shown, and never run."""


@pytest.fixture
def write_run() -> Callable[..., Path]:
    """Write a run folder without training: complete when it has metrics."""

    def write(
        folder: Path,
        metrics: dict[str, Any] | None = None,
        *,
        lines: Sequence[dict[str, Any]] = (),
        environment: dict[str, Any] | None = None,
        test: str = "b",
        **config: Any,
    ) -> Path:
        folder.mkdir(parents=True)
        plain = {
            "data": {"source": "digits"},
            "model": {"name": "mlp", "arguments": {"widths": [32]}},
            "teachers": [],
            "combine": "geometric",
            "objective": "HardLabels()",
            "training": {"epochs": 4},
            "seed": 0,
        }
        prints = {"data": {"train": "a", "test": test}}
        (folder / "config.json").write_text(json.dumps({"format": 1, "config": plain | config, "fingerprints": prints}))
        (folder / "environment.json").write_text(json.dumps({"versions": {"instar": "0.1.0"}} | (environment or {})))
        (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        if metrics is not None:
            result = {"metrics": metrics, "parameters": 1234567, "seconds": 1234.56}
            (folder / "result.json").write_text(json.dumps(result))
        return folder

    return write


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a teacher, two distilled students and two from labels, a begun run and a foreign folder."""
    root = tmp_path_factory.mktemp("report") / "runs"
    digits = instar.load_data("digits")
    names = ["zero", "one", "two", MARKUP, *map(str, range(4, 10))]
    data = _renamed(digits, names)
    network = instar.models.MLP
    teacher = instar.train(data, network([64]), epochs=12, learning_rate=0.01, out=root / "teacher")
    for seed in range(2):
        settings: dict[str, Any] = {"seed": seed, "epochs": 5, "learning_rate": 0.01}
        instar.distill(
            data, teacher, network([8]), objective="SoftTargets(4)", out=root / f"student-{seed}", **settings
        )
        instar.train(data, network([8]), out=root / f"labels-{seed}", **settings)
    shutil.copytree(root / "labels-0", root / MARKUP.replace("/", ""))
    (root / MARKUP.replace("/", "") / "result.json").unlink()
    (root / "foreign").mkdir()
    (root / "foreign" / "config.json").write_text('{"model_type": "bert"}')
    return root


@pytest.fixture(scope="session")
def kinds(
    tmp_path_factory: pytest.TempPathFactory, write_recordings: Callable[..., Path]
) -> tuple[Path, dict[str, Data]]:
    """Return a folder with a distilled run of each kind of data that are no images, and the data by its name."""
    root = tmp_path_factory.mktemp("kinds")
    generator = np.random.default_rng(0)
    vectors = generator.normal(size=(60, 20)).astype(np.float32)
    waves = [generator.integers(-9000, 9000, 1600 + 400 * at, dtype=np.int16) for at in range(8)]
    models = instar.models
    settings = {
        "rows": (models.MLP([4]), instar.load_data((vectors, np.arange(60) % 3), validation=0)),
        "text": (models.LSTM(4, 1), instar.load_data(_text(root / "text"), validation=0, length=6)),
        "recordings": (
            models.FrameNet([4]),
            instar.load_data(write_recordings(root / "waves", {"train": waves, "test": waves}), validation=0),
        ),
    }
    for name, (model, data) in settings.items():
        teacher = instar.train(data, model, epochs=1, batch_size=2, out=root / "runs" / f"teacher-{name}")
        instar.distill(data, teacher, model, epochs=1, batch_size=2, out=root / "runs" / name)
    return root / "runs", {name: data for name, (_, data) in settings.items()}


def _text(folder: Path) -> Path:
    lines = ["the cat sat", "the dog sat on the cat", "a cat <b>and</b> a dog"] * 4
    folder.mkdir()
    for split in ("train", "test"):
        datasets.Dataset.from_dict({"text": lines}).to_parquet(folder / f"{split}-00000-of-00001.parquet")
    return folder


def _renamed(data: Data, names: list[str]) -> Data:
    def rename(samples: Any) -> Any:
        return replace(samples, source=replace(samples.source, classes=tuple(names)))

    return replace(data, train=rename(data.train), validation=None, test=rename(data.test))


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Start Debian's chromium once; without it these tests are skipped, but not in continuous integration."""
    path = shutil.which("chromium")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        path = None
    if path is None:
        reason = "browser tests need Debian's chromium (apt-get install chromium) and playwright (the extra 'test')"
        pytest.fail(reason) if os.environ.get("CI") == "true" else pytest.skip(reason)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture
def open_page(browser: Any) -> Callable[[Path, int], AbstractContextManager[Any]]:
    """Open pages of a width; whatever one logs, asks for or pops up until it is closed is a failure."""

    @contextmanager
    def open_one(path: Path, width: int) -> Iterator[Any]:
        opened = browser.new_page(viewport={"width": width, "height": 900})
        complaints: list[str] = []
        opened.on("console", lambda message: complaints.append(message.text))
        opened.on("pageerror", lambda error: complaints.append(str(error)))
        opened.on("dialog", lambda dialog: (complaints.append("a dialog"), dialog.dismiss()))
        requests: list[str] = []
        opened.on("request", lambda asked: requests.append(asked.url))
        opened.goto(path.as_uri())
        yield opened
        assert complaints == []
        assert [url for url in requests if not url.startswith("data:")] == [path.as_uri()]
        opened.close()

    return open_one
