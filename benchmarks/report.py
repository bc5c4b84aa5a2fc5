"""The report on 20 runs of 10,000 test predictions: seconds to write it, its size, and the time to first paint.

There is no reference. The first paint needs Debian's chromium and playwright, and is left out without them.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path
from statistics import median

import torch

from instar.analysis import Scores, all_metrics
from instar.reporting import write_report
from instar.runs.files import write_json, write_tensors
from measure import Measured, Topic, parser, seconds

RUNS, SAMPLES, CLASSES, KEPT, LINES = 20, 10_000, 10, 64, 500
ARMS = ("HardLabels()", "SoftTargets(1)", "SoftTargets(4)", "SoftTargets(20)")
"""Objectives, with five seeds each, so that the report has verdicts."""


def make_run(folder: Path, number: int) -> None:
    """Write a complete run folder as `finish_run` leaves it; only the sizes of its numbers matter."""
    draws = torch.Generator().manual_seed(number)
    labels = torch.arange(SAMPLES) % CLASSES
    logits, teacher = (
        torch.randn(SAMPLES, CLASSES, generator=draws) + 3 * torch.eye(CLASSES)[labels] for _ in range(2)
    )
    folder.mkdir(parents=True)
    is_taught = number % len(ARMS) > 0
    config = {
        "seed": number // len(ARMS),
        "teachers": ["teacher"] if is_taught else [],
        "combine": "geometric",
        "objective": ARMS[number % len(ARMS)],
    }
    settings = {"model": {"name": "mlp", "arguments": {"widths": [300]}}, "training": {"epochs": LINES}}
    write_json(
        folder / "config.json",
        {"format": 1, "config": config | settings, "fingerprints": {"data": {"test": "a"}, "teacher": "b"}},
    )
    line = {"kind": "train", "loss": 0.5, "soft_targets": 0.3, "hard_labels": 0.2, "learning_rate": 0.001}
    lines = [json.dumps(line | {"step": step, "epoch": step / 2, "loss": 1 / step}) for step in range(1, LINES)]
    (folder / "metrics.jsonl").write_text("\n".join([*lines, ""]))
    ids = torch.arange(SAMPLES)
    write_tensors(folder / "predictions.safetensors", {"test.ids": ids, "test.labels": labels, "test.logits": logits})
    theirs = (teacher - teacher.max(1, keepdim=True).values).half()  # as stored: relative to the largest logit
    pixels = torch.randint(0, 256, (KEPT, 1, 28, 28), generator=draws, dtype=torch.uint8)
    kept = {"shown.ids": ids, "shown.labels": labels, "shown.logits": theirs, "shown.inputs": pixels}
    scores = {who: Scores.of(one, labels) for who, one in (("teacher", teacher), ("student", logits))}
    for split in ("test", "train"):
        kept |= {f"{split}.{who}_answers": found.answers.int() for who, found in scores.items()}
        kept |= {f"{split}.{who}_confidence": found.confidence.float() for who, found in scores.items()}
        kept |= {f"{split}.labels": labels.int(), f"{split}.divergence": torch.rand(SAMPLES, generator=draws)}
    if is_taught:
        write_tensors(folder / "examples.safetensors", kept)
    metrics = all_metrics(scores["student"], tuple(map(str, range(CLASSES))))
    write_json(folder / "result.json", {"metrics": metrics, "parameters": 1000, "seconds": 1.0})


def first_paint(path: Path, rounds: int) -> list[float]:
    """Return the seconds to the first contentful paint, each in a new page."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        found = []
        for _ in range(rounds):
            page = browser.new_page()
            page.goto(path.as_uri())
            paints = "performance.getEntriesByName('first-contentful-paint').map(entry => entry.startTime)"
            page.wait_for_function(f"{paints}.length > 0")
            found.append(page.evaluate(f"{paints}[0]") / 1000)
            page.close()
        browser.close()
    return found


def row(case: str, values: list[float], unit: str) -> Measured:
    """Return the row of values without a reference."""
    return Measured(case, median(values), unit, None, None, len(values), (min(values), max(values)))


def main() -> None:
    """Write run folders, and measure the report on them."""
    topic = Topic("report", parser(__doc__).parse_args())
    with tempfile.TemporaryDirectory() as name:
        runs, out = Path(name) / "runs", Path(name) / "report.html"
        for number in range(RUNS):
            make_run(runs / f"run-{number}", number)
        case = f"{RUNS} runs of {SAMPLES:,} test predictions"
        times = [seconds(lambda: write_report([runs], out)) for _ in range(topic.rounds)]
        topic.add(row(f"{case}: to write", times, "seconds"))
        topic.add(row(f"{case}: size", [out.stat().st_size / 1e6], "MB"))
        try:
            topic.add(row(f"{case}: to first paint", first_paint(out, topic.rounds), "seconds"))
        except ImportError:
            print("the first paint is left out: playwright is not installed")
    topic.write()


if __name__ == "__main__":
    main()
