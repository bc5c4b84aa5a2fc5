"""Mutated files of trees: each predicts what it did before, bit for bit, or is refused; compiled code never crashes."""

from __future__ import annotations

import functools
import hashlib
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import torch
from tests.chaos.harness import Outcome, problem_of, scratch, start

import instar
from instar.errors import InstarError
from instar.models import Boosting, Estimator, Forest, Tree
from instar.models.readers.saved import read_description
from instar.models.trained import restore_model
from instar.runs.files import read_tensors
from instar.runs.run import Run
from instar.trees import TreeArrays, read_trees, write_trees

COUNT = 1000
SEEDED = 4
MUTATIONS = 10
"""Mutations of a trial, one after the other in one process: `make chaos` tries 10,000."""

STUDENTS: dict[str, Any] = {
    "tree": Tree(),
    "forest": Forest(3),
    "boosting": Boosting(3),
    "estimator": Estimator("sklearn.ensemble.RandomForestClassifier", n_estimators=3),
}
FILE = "trees.safetensors"
READ = ("weights.safetensors", "weights.safetensors", "model.json", "reader.json", "config.json", "result.json")
"""Files of a run that loading it may read; the first stands for most of its bytes."""


@functools.cache
def prepared(folder: Path) -> Path:
    """Return a folder with a run of each student, and a file of the trees of one."""
    base = folder / "whole"
    data = instar.load_data("digits", subset=300)
    for name, student in STUDENTS.items():
        instar.train(data, student, out=base / name, show=False)
    write_trees(instar.load(base / "forest").network.trees, base / FILE)
    return base


@functools.cache
def drawn_rows() -> torch.Tensor:
    """Return rows of which some have a missing value, enough for compiled code."""
    rows = torch.rand(400, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    rows[::50, 0, 3, 3] = torch.nan
    return rows


def predict(subject: Path) -> bytes:
    """Return a hash of what a run or a file of trees predicts."""
    rows = drawn_rows()
    if subject.is_dir():
        with torch.inference_mode():
            found = instar.load(subject)(rows).numpy()
    else:
        found = read_trees(subject).predict(rows.nan_to_num(0.5).flatten(1).numpy())
    return hashlib.sha256(np.ascontiguousarray(found).tobytes()).digest()


@functools.cache
def predicted(subject: Path) -> bytes:
    """Return what is predicted by what is whole."""
    return predict(subject)


def told(works: Sequence[Callable[[], object]]) -> Callable[[], None]:
    """Return work that prints the result of each of several, or what it is refused with."""

    def run() -> None:
        for work in works:
            try:
                print(work())
            except InstarError as error:
                print(f"refused: {error}")

    return run


def mutated(random: Random, content: bytes) -> bytes:
    """Return other bytes: a few changed, a block moved, blanked or left out, the end cut, or more behind it."""
    found, first, second = bytearray(content), random.randrange(len(content)), random.randrange(len(content))
    size, how = random.randrange(1, 65), random.randrange(10)
    if how < 5:
        for _ in range(random.randrange(1, 4)):
            found[random.randrange(len(found))] = random.randrange(256)
    elif how == 5:
        found[first : first + size] = found[second : second + size]
    elif how == 6:
        found[first : first + size] = bytes(len(found[first : first + size]))
    elif how == 7:
        del found[first : first + size]
    elif how == 8:
        del found[first:]
    else:
        found += random.randbytes(size)
    return bytes(found)


def change_arrays(random: Random, arrays: dict[str, torch.Tensor]) -> str:
    """Put other numbers into arrays, as a program with a defect might, and say into which."""
    names = []
    for _ in range(random.randrange(1, 4)):
        name = random.choice([name for name, one in arrays.items() if one.numel()])
        flat = arrays[name].view(-1)
        numbers = (-2, -1, 0, 1, len(flat), 2**31 - 1, -(2**31), random.randrange(len(flat) + 2))
        whole = flat.dtype in (torch.bool, torch.uint8)
        flat[random.randrange(len(flat))] = abs(random.choice(numbers)) % 256 if whole else random.choice(numbers)
        names.append(name)
    return ", ".join(names)


def trials(random: Random, count: int, folder: Path) -> Iterator[Outcome]:
    """Change a file, or arrays whose seals are right, again and again, and predict with each."""
    for _ in range(count):
        whole = prepared(folder) / random.choice((*STUDENTS, FILE))
        with scratch(folder) as here:
            yield try_arrays(random, whole) if random.random() < 0.2 else try_bytes(random, whole, here)


def try_bytes(random: Random, whole: Path, here: Path) -> Outcome:
    """Predict with a run or a file of trees, one file of which has other bytes each time."""
    subject = here / whole.name
    if whole.is_dir():
        shutil.copytree(whole, subject)
        changed = subject / random.choice([name for name in READ if (whole / name).is_file()])
    else:
        changed = Path(shutil.copy(whole, subject))
    content = changed.read_bytes()
    contents = [mutated(random, content) for _ in range(MUTATIONS)]

    def work(other: bytes) -> bytes:
        changed.write_bytes(other)
        return predict(subject)

    ended = start(told([functools.partial(work, other) for other in contents])).wait()
    lines, right = ended.out.splitlines(), str(predicted(whole))
    problem = problem_of(ended)
    if wrong := [place for place, line in enumerate(lines) if line != right and not line.startswith("refused: ")]:
        problem = problem or f"another prediction without a word of {wrong[0]}"
    return Outcome("tree-files", f"{changed.relative_to(here)}, {len(lines)} tried", problem)


def try_arrays(random: Random, whole: Path) -> Outcome:
    """Predict with other arrays, which are no damage of a file: they are refused, or all rows end in a leaf."""
    if whole.is_dir():
        run = Run(whole)
        description, tensors = read_description(run), run.tensors("weights.safetensors")[0]

        def work(arrays: dict[str, torch.Tensor]) -> object:
            return restore_model(arrays, description, whole.name)(drawn_rows()).shape
    else:
        tensors, header = read_tensors(whole, sealed=True)
        settings = {name: value for name, value in header["trees"].items() if name != "format"}

        def work(arrays: dict[str, torch.Tensor]) -> object:
            trees = TreeArrays(**{name: one.numpy() for name, one in arrays.items()}, **settings)
            return trees.predict(drawn_rows().nan_to_num(0.5).flatten(1).numpy()).shape

    changed, works = "", []
    for _ in range(MUTATIONS):
        arrays = {name: one.clone() for name, one in tensors.items()}
        changed = change_arrays(random, arrays)
        works.append(functools.partial(work, arrays))
    ended = start(told(works)).wait()
    tried = f"{len(ended.out.splitlines())} tried, the last {changed}"
    return Outcome("tree-files", f"arrays of {whole.name}, {tried}", problem_of(ended))
