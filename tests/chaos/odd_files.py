"""Folders of odd files: they are read with the right content, or refused in one sentence; never misread, never run."""

from __future__ import annotations

import importlib
import io
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from tests.chaos.harness import Outcome, problem_of, scratch, start

COUNT = 200
SEEDED = 5

IMPORTED = ("datasets", "pandas", "pyarrow.parquet", "soundfile", "PIL.Image", "instar.data", "instar.data.hub")

Check = Callable[[Any], bool]
"""Whether data that were read have the right content."""

Made = tuple[str, dict[str, Any], Check | None]
"""What was written in words, how it is to be read, and whether that is right; no check: it must be refused."""


def trials(random: Random, count: int, folder: Path) -> Iterator[Outcome]:
    """Write a folder of odd files, read it, and compare."""
    for name in IMPORTED:
        importlib.import_module(name)
    for _ in range(count):
        with scratch(folder) as here:
            data = here / "data"
            data.mkdir()
            tried, settings, check = random.choice(KINDS)(random, data)
            ended = start(lambda: _read(here, settings, check)).wait()  # noqa: B023 (used at once)
            problem = problem_of(ended)
            if problem is None and check is None and ended.code == 0:
                problem = f"it was read, with {ended.out.strip()}"
            if problem is None and "misread" in ended.out:
                problem = "other content than that of the files"
            yield Outcome("odd-files", f"{tried} {settings}", problem)


def _read(here: Path, settings: dict[str, Any], check: Check | None) -> None:
    import datasets

    from instar.data import load_data
    from instar.errors import InstarError, say

    datasets.config.HF_DATASETS_CACHE = here / "datasets"
    importlib.import_module("os").environ["INSTAR_CACHE"] = str(here / "cache")
    try:
        for _ in range(2):  # decoded, and read from the cache
            data = load_data(here / "data", **{"validation": 0} | settings)
            print("right" if check is None or check(data) else "misread", data.classes[:5], data.train.input_shape)
    except InstarError as error:
        say(f"instar: {error}")
        sys.exit(2)


def _pixels(random: Random, mode: str) -> Any:
    from PIL import Image

    values = np.frombuffer(random.randbytes(5 * 6 * 3), np.uint8).reshape(5, 6, 3)
    return Image.fromarray(values).convert(mode)


def _write_images(folder: Path, images: dict[str, Any], kind: str = "png") -> None:
    for name, image in images.items():
        path = folder / f"{name}.{kind}"
        path.parent.mkdir(parents=True, exist_ok=True)
        image.save(path)


def table(random: Random, folder: Path) -> Made:
    """Write rows of random columns: text alone is a corpus, columns beside a label are a table or labelled texts."""
    import pandas

    columns: dict[str, list[Any]] = {
        "sentence": ["the cat", "a dog", "the dog"],
        "label": random.choice([["good", "bad", "good"], ["good", "", None], [1, 0, 1], [1.0, None, 2.0], [True] * 3]),
        "id": [7, 8, 9],
        "score": [0.25, 1.5, -3.0],
        "file": ["a.png", "b.png", "c.png"],
    }
    chosen = random.sample(sorted(columns), random.randint(1, 4))
    form = random.choice(["csv", "jsonl", "parquet"])
    frame = pandas.DataFrame({name: columns[name] for name in chosen})
    for split in ("train", "test"):
        path = folder / f"{split}.{form}"
        if form == "jsonl":
            frame.to_json(path, orient="records", lines=True)
        elif form == "csv":
            frame.to_csv(path, index=False)
        else:
            frame.to_parquet(path)
    named = {"input_column": "sentence", "label_column": "sentence"} if random.random() < 0.3 else {}
    is_corpus = chosen == ["sentence"] or (named and "sentence" in chosen)
    words = {"the", "cat", "a", "dog", "<eos>"}
    only_label = chosen == ["label"] and not named  # a single column of words is text, whatever it is called
    if "label" in chosen and len(chosen) > 1 and "file" not in chosen and not named:
        return f"{form} of {chosen}", named, lambda data: _is_table_of(data, {name: columns[name] for name in chosen})
    check: Check | None = (lambda data: set(data.classes) == words) if is_corpus else None
    return f"{form} of {chosen}", named, (lambda _: True) if only_label else check


def _is_table_of(data: Any, columns: dict[str, list[Any]]) -> bool:
    source = data.train.source
    found = [None if at < 0 else data.classes[at] for at in source.labels.tolist()]
    known = [None if value is None or value == "" else value for value in columns["label"]]
    forms = [{str(value)} if isinstance(value, str | bool | None) else {str(value), f"{value:g}"} for value in known]
    has_labels = all(str(name) in each for name, each in zip(found, forms, strict=True))
    # of words and numbers, the numbers are found among the cells as they are
    numbers = [columns[name] for name in ("id", "score") if name in columns]
    cells = source.columns["cells"].values.numpy().T if numbers else []
    return has_labels and all(any(np.array_equal(column, cell) for cell in cells) for column in numbers)


def images(random: Random, folder: Path) -> Made:
    """Write images of random modes: all are grey, or all become coloured."""
    modes = {
        f"{s}/{c}/{n}": random.choice(["L", "RGB", "1", "P", "RGBA", "L", "L"])
        for s in ("train", "test")
        for c in "ab"
        for n in "01"
    }
    made = {name: _pixels(random, mode) for name, mode in modes.items()}
    _write_images(folder, made)
    target = "L" if set(modes.values()) <= {"L", "1"} else "RGB"
    right = [
        np.asarray(image.convert("L").convert(target) if image.mode in "1L" else image.convert(target))
        for image in made.values()
    ]
    right = [array[None] if array.ndim == 2 else array.transpose(2, 0, 1) for array in right]

    def check(data: Any) -> bool:
        found = [*data.train.source.inputs.numpy(), *data.test.source.inputs.numpy()]
        return data.train.source.labels.tolist() == [0, 0, 1, 1] and all(map(np.array_equal, found, right))

    return f"images {sorted(set(modes.values()))}", {}, check


def damaged_image(random: Random, folder: Path) -> Made:
    """Damage one image: it is refused, unless it can be decoded all the same."""
    kind = random.choice(["png", "jpg", "bmp", "gif", "webp"])
    _write_images(folder, {f"{s}/{c}/0": _pixels(random, "RGB") for s in ("train", "test") for c in "ab"}, kind)
    path = folder / random.choice(["train", "test"]) / "a" / f"0.{kind}"
    content = bytearray(path.read_bytes())
    how = random.choice(["cut", "flip", "empty", "noise", "other"])
    if how == "cut":
        content = content[: random.randrange(len(content))]
    elif how == "flip":
        content[random.randrange(len(content))] ^= 1 << random.randrange(8)
    else:
        content = bytearray({"empty": b"", "noise": random.randbytes(200), "other": b"no image" * 2000}[how])
    path.write_bytes(content)
    return f"{kind}, {how}", {}, None if how in ("empty", "noise", "other") else lambda _: True


def class_folders(random: Random, folder: Path) -> Made:
    """Write folders of random classes: those of test must be among those of train."""
    splits = {split: sorted(random.sample("abcd", random.randint(2, 4))) for split in ("train", "test")}
    _write_images(folder, {f"{s}/{name}/0": _pixels(random, "L") for s, names in splits.items() for name in names})

    def check(data: Any) -> bool:
        return [data.classes[at] for at in data.test.source.labels.tolist()] == splits["test"]

    return f"classes {splits}", {}, check if set(splits["test"]) <= set(splits["train"]) else None


def labels(random: Random, folder: Path) -> Made:
    """Write images beside labels of any kind, which are classes by value."""
    import pandas

    values: list[Any] = random.choice([["x", "y"], [3, 5], [-1, 1], [True, False], [0, 1], ["10", "9"]]) * 2
    given = [None if random.random() < 0.2 else value for value in values]
    given[:2] = values[:2]
    buffer = io.BytesIO()
    _pixels(random, "RGB").save(buffer, "PNG")
    for split in ("train", "test"):
        pandas.DataFrame({"image": [buffer.getvalue()] * 4, "kind": given}).to_parquet(folder / f"{split}.parquet")
    is_named = random.random() < 0.7

    def check(data: Any) -> bool:
        found = [None if at < 0 else data.classes[at] for at in data.train.source.labels.tolist()]
        return found == [None if value is None else str(value) for value in given]

    return f"labels {given}", {"label_column": "kind"} if is_named else {}, check if is_named else None


def recordings(random: Random, folder: Path) -> Made:
    """Write recordings with a metadata.csv: all have one rate, or they are refused."""
    import soundfile

    rates = [random.choice([8000, 8000, 8000, 16000, 2000]) for _ in range(4)]
    words = ["yes", "no"]
    for split, (first, second) in {"train": rates[:2], "test": rates[2:]}.items():
        (folder / split).mkdir()
        for number, rate in enumerate((first, second)):
            wave = np.frombuffer(random.randbytes(1000), np.int16)
            soundfile.write(folder / split / f"{number}.wav", wave, rate)
        (folder / split / "metadata.csv").write_text("file_name,word\n0.wav,yes\n1.wav,no\n")
    check: Check = lambda data: sorted({name.split("/")[0] for name in data.classes}) == sorted(words)  # noqa: E731
    is_right = len(set(rates)) == 1 and rates[0] >= 4000
    return f"rates {rates}", {"label_column": "word"}, check if is_right else None


def two_kinds(random: Random, folder: Path) -> Made:
    """Write the same splits in two kinds of files, one of which would be left out."""
    contents = {"txt": "the cat\n", "csv": "text\nthe cat\n", "jsonl": json.dumps({"text": "the cat"}) + "\n"}
    forms = random.sample(sorted(contents), 2)
    for split in ("train", "test"):
        for form in forms:
            (folder / f"{split}.{form}").write_text(contents[form])
    return f"{forms}", {}, None


def noise(random: Random, folder: Path) -> Made:
    """Write random bytes under the names of data."""
    form = random.choice(["csv", "jsonl", "json", "parquet", "arrow", "png", "wav", "zip", "h5", "tar"])
    content = random.choice([b"", random.randbytes(3000), b"{" * 3000, b"[[[" * 900, b"\x00" * 4096, b'{"a": 1e999}\n'])
    for split in ("train", "test"):
        (folder / f"{split}.{form}").write_bytes(content)
    (folder / f"{folder.name}.py").write_text("raise SystemExit(77)\n" if random.random() < 0.3 else "")
    return f"{form} of {content[:4]!r}", {}, (lambda _: True) if form == "csv" else None


KINDS = (table, images, damaged_image, class_folders, labels, recordings, two_kinds, noise)
