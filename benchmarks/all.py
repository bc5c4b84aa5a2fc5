"""Run every benchmark, each in a process of its own so that none inherits another's memory or threads."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
TOPICS = (
    "command_line",
    "first_step",
    "mnist_epoch",
    "cifar_epoch",
    "convolution_epoch",
    "readers",
    "targets",
    "sequences",
    "features",
    "texts",
    "specialists",
    "specialist_coverage",
    "clustering",
    "precision",
    "compare",
    "report",
    "tables",
    "synthetic",
    "trees",
    "estimators",
    "forest_latency",
    "views",
)


def main() -> None:
    """Run every topic with all options except `--data`, which differs by topic."""
    if any(option.startswith("--data") for option in sys.argv[1:]):
        sys.exit("--data differs by topic; run benchmarks/mnist_epoch.py or benchmarks/cifar_epoch.py by itself.")
    for topic in TOPICS:
        subprocess.run([sys.executable, str(HERE / f"{topic}.py"), *sys.argv[1:]], check=True)


if __name__ == "__main__":
    main()
