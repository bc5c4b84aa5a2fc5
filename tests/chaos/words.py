"""Words: commands in which one thing is absurd end with a result or with one short sentence, whatever it is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from random import Random

from tests.chaos.harness import Outcome, command, problem_of, scratch

COUNT = 500
SEEDED = 3

LONGEST = 1000
"""Characters of stderr that a refusal may have."""

ABSURD = (
    "",
    " ",
    "-1",
    "0",
    "3.5",
    "1e400",
    ".nan",
    "-.inf",
    "9" * 30,
    "9" * 5000,
    "yes",
    "null",
    "[]",
    "{}",
    "[" * 3000,
    "&a [*a]",
    "x" * 6000,
    "é\n\x1b[31m",
    ":",
    "a:b:c",
    "s3://bucket/x",
    "2024-01-01",
    "!!binary aGk=",
    "1*" * 2000 + "HardLabels()",
    "SoftTargets(1e300)",
    "HardLabels('x')",
    "Crop(-1)",
    "Shift(1e9)",
    "'",
    "--",
    "/dev/null",
    "[10000000000000]",
    "[-1]",
    "[a]",
)
FLAGS = (
    "--model",
    "--objective",
    "--views",
    "--epochs",
    "--seed",
    "--config",
    "--teacher",
    "--temperature",
    "--nonsense",
)
SETTINGS = (
    "training.batch_size",
    "training.learning_rate",
    "training.ema",
    "training.optimiser",
    "training.milestones",
    "data.subset",
    "data.validation",
    "data.image_size",
    "data.omit_classes",
    "model.arguments.widths",
    "model.arguments.dropout",
    "model.name",
    "num_views",
    "view_seed",
    "targets",
    "store.temperature",
    "store",
    "training",
    "start",
    "teachers",
    "a.b.c",
)
VERBS = (
    "evaluate",
    "inspect",
    "report",
    "compare",
    "export",
    "correct-bias",
    "specialists",
    "targets",
    "papers",
    "tune",
    "label",
)


def trials(random: Random, count: int, folder: Path) -> Iterator[Outcome]:
    """Put an absurd word into one place of a command."""
    for _ in range(count):
        with scratch(folder) as here:
            word = random.choice(ABSURD).replace("\0", "")
            small = ["digits", "--model", "mlp", "--arg", "widths=[4]", "--epochs", "1", "--set", "data.subset=60"]
            place = random.choice(["flag", "setting", "arg", "out", "data", "verb"])
            if place == "flag":
                given = [random.choice(["train", "distill"]), *small, "--out", here / "run", random.choice(FLAGS), word]
            elif place == "setting":
                given = ["train", *small, "--out", here / "run", "--set", f"{random.choice(SETTINGS)}={word}"]
            elif place == "arg":
                argument = random.choice(["widths", "dropout", "nothing"])
                given = ["train", *small, "--out", here / "run", "--arg", f"{argument}={word}"]
            elif place == "out":
                given = ["train", *small, "--out", word]
            elif place == "data":
                given = ["train", word, *small[1:], "--out", here / "run"]
            else:
                given = [random.choice(VERBS), word, random.choice(["--out", "--to", "--data", "--seed"]), word]
            ended = command(*given, cwd=here)
            yield Outcome("words", " ".join(str(part)[:60] for part in given), problem_of(ended, LONGEST))
