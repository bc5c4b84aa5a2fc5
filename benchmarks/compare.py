"""`instar compare`: ten runs of 10,000 test samples with 10,000 resamples, from run folders to sentences.

| case | target |
|---|---|
| ten methods of one run | at most 5 seconds on one core |
| two methods of five seeds | at most 5 seconds on one core |
| the interval of one difference, over SciPy's | at most 1 |

The runs are synthetic: logits of ten classes, and no weights. SciPy's bootstrap draws a sample for each place of each
resample; Instar draws counts, because a difference of two predictions has three values.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
import torch
from scipy import stats

import instar
from instar.analysis.comparison import error_over_samples
from instar.config import RunConfig, validate
from instar.runs.files import write_json, write_tensors
from instar.runs.run import Run
from instar.seeds import generator
from measure import Measured, Topic, parser, seconds

SAMPLES, CLASSES, RESAMPLES = 10_000, 10, 10_000


def main() -> None:
    """Measure all cases."""
    topic = Topic("compare", parser(__doc__).parse_args())
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        runs = [[write(folder / f"{method}/{seed}", seed, method) for seed in range(5)] for method in range(10)]
        of_one = [of_method[0] for of_method in runs]
        timed(topic, f"ten methods of one run, {SAMPLES:,} samples", lambda: instar.compare(*of_one))
        timed(
            topic, f"two methods of five seeds, {SAMPLES:,} samples", lambda: instar.compare(folder / "0", folder / "1")
        )
    wrong = (torch.rand(2, 1, SAMPLES, generator=generator(0, "wrong")) < 0.1).long().numpy()
    change = (wrong[1] - wrong[0])[0]
    topic.compare(
        "the interval of one difference over SciPy's",
        lambda: seconds(lambda: error_over_samples(*wrong, np.ones(SAMPLES, dtype=np.int64), resamples=RESAMPLES)),
        lambda: seconds(
            lambda: stats.bootstrap((change,), np.mean, n_resamples=RESAMPLES, method="percentile", batch=100)
        ),
        turns=1,
    )
    topic.write()


def timed(topic: Topic, case: str, work: Callable[[], object]) -> None:
    """Measure a case without a reference; the first round is not counted."""
    if topic.wanted(case):
        taken = [seconds(work) for _ in range(topic.rounds + 1)][1:]
        topic.add(Measured(case, median(taken), "seconds", None, None, topic.rounds, None))


def write(path: Path, seed: int, method: int) -> Path:
    """Write a complete run folder with synthetic logits."""
    # another width for each method, because runs of one configuration form one method
    model = {"name": "mlp", "arguments": {"widths": [100 + method]}}
    config = validate(RunConfig, {"data": {"source": "made up"}, "model": model, "seed": seed})
    run = Run.start(path, config.model_dump(mode="json"), {"data": {"train": "made up", "test": "made up"}})
    random = generator(seed, f"logits of {method}")
    labels = torch.arange(SAMPLES) % CLASSES
    # 3.5 above unit noise makes nine of ten predictions right
    logits = torch.randn(SAMPLES, CLASSES, generator=random) + 3.5 * torch.nn.functional.one_hot(labels, CLASSES)
    kept = {"test.ids": torch.arange(SAMPLES), "test.labels": labels, "test.logits": logits}
    write_tensors(run.path / "predictions.safetensors", kept)
    write_json(run.path / "result.json", {"metrics": {}, "parameters": 0, "seconds": 0.0})
    return run.path


if __name__ == "__main__":
    main()
