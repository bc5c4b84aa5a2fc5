"""The effect of faster precisions on results: MNIST validation errors of 784-500-300-10, paired by seed.

`value` and `reference` are means over seeds, `ratio` is their ratio, and `spread` has the extreme ratios of a seed.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from statistics import mean

import instar
from instar.models import MLP
from measure import Measured, Topic, parser

EPOCHS = 10


def main() -> None:
    """Measure all cases."""
    arguments = parser(__doc__, "../shared/data/mnist").parse_args()
    topic = Topic("precision", arguments)
    data = instar.load_data(arguments.data, validation=1 / 6, subset=arguments.samples)
    with tempfile.TemporaryDirectory() as folder:

        def errors(precision: str) -> list[int]:
            runs = [
                instar.train(
                    data,
                    MLP([500, 300]),
                    out=Path(folder) / precision / str(seed),
                    seed=seed,
                    epochs=EPOCHS,
                    precision=precision,
                    evaluate_every=EPOCHS,
                )
                for seed in range(topic.rounds)
            ]
            return [run.result["validation"]["errors"] for run in runs]

        reference = errors("float32")
        for precision in ("float32-fast", "bfloat16"):
            found = errors(precision)
            ratios = [a / b for a, b in zip(found, reference, strict=True)]
            topic.add(
                Measured(
                    f"validation errors after {EPOCHS} epochs, {precision} over float32",
                    mean(found),
                    f"errors of {len(data.split('validation')):,}",
                    mean(reference),
                    mean(found) / mean(reference),
                    topic.rounds,
                    (min(ratios), max(ratios)),
                )
            )
    topic.write()


if __name__ == "__main__":
    main()
