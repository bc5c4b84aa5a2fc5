"""Every number in the tables of docs/results.md is one of the files in results/, rounded."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from tests.docs.pages import ROOT, read

SECTIONS = dict(re.findall(r"^## (.*?)\n(.*?)(?=^## |\Z)", read("docs/results.md"), re.MULTILINE | re.DOTALL))
del SECTIONS["Published claims"]  # computed from the tables, see test_claims.py
NUMBER = r"(?<![\w.])[+-]?\d[\d,]*(?:\.\d+)?"


def numbers_of(text: str) -> list[str]:
    return [number.replace(",", "") for number in re.findall(NUMBER, text)]


def files_of(section: str) -> list[Any]:
    """Return what the files behind a section hold: one table, or all benchmarks."""
    command = re.search(r"instar papers run (\S+) --scale (\S+)", section)
    folder = ROOT / "results"
    paths = [folder / command[1] / command[2] / "table.json"] if command else (folder / "benchmarks").glob("*.json")
    return [json.loads(path.read_text()) for path in paths]


def is_rounded(number: str, value: float) -> bool:
    """Return whether a number of the page is this value, whatever its sign, with as many digits as the page shows."""
    digits = number.rstrip("0") if "." not in number else number
    unit = 10.0 ** (len(number) - len(digits) - len(number.partition(".")[2]))
    return abs(abs(float(number)) - abs(value)) <= 0.501 * unit


def walk(value: Any) -> Iterator[float]:
    if isinstance(value, dict) and value.get("ratio"):
        yield from (1 / number for number in (value["ratio"], *(value["spread"] or ())))  # "times as fast"
        if growth := re.search(r"over (\d+) times", value["case"]):
            yield float(growth[1]) * value["ratio"]
    if isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from walk(item)
    elif isinstance(value, str):
        yield from map(float, numbers_of(value))
    elif isinstance(value, int | float):
        yield float(value)


MEAN_OF_PUBLISHED = 0.99  # of the gains of BAN for the four DenseNets of the paper, which no file has


@pytest.mark.parametrize("title", SECTIONS)
def test_numbers_of_the_tables_are_in_the_files(title):
    known = {found for file in files_of(SECTIONS[title]) for found in walk(file)} | {MEAN_OF_PUBLISHED}
    missing = []
    for row in re.findall(r"^\| .* \|$", SECTIONS[title], re.MULTILINE):
        numbers = numbers_of(row.partition(" | ")[2])
        missing += [(number, row) for number in numbers if not any(is_rounded(number, value) for value in known)]
    assert missing == []


@pytest.mark.parametrize("title", [title for title, text in SECTIONS.items() if "instar papers run" in text])
def test_means_stand_beside_their_own_standard_deviations(title):
    (rows,) = files_of(SECTIONS[title])
    known = [(row["mean"], row["sd"]) for row in rows if row["sd"] is not None]
    shown = re.findall(rf"({NUMBER}) ± ({NUMBER})", SECTIONS[title])
    assert len(shown) > 10
    for mean, sd in shown:
        assert any(is_rounded(mean, ours[0]) and is_rounded(sd, ours[1]) for ours in known), f"{mean} ± {sd}"
