"""Every number in the tables of docs/results.md is one of the files in results/, rounded."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from tests.docs.pages import ROOT, read, section

SECTIONS = dict(re.findall(r"^## (.*?)\n(.*?)(?=^## |\Z)", read("docs/results.md"), re.MULTILINE | re.DOTALL))
NUMBER = r"(?<![\w.])[+-]?\d[\d,]*(?:\.\d+)?"


def numbers_of(text: str) -> list[str]:
    return [number.replace(",", "") for number in re.findall(NUMBER, text)]


def measured(section: str) -> set[float]:
    """Return the numbers of the file behind a section: values, seeds, and those in notes."""
    command = re.search(r"instar papers run (\S+) --scale (\S+)", section)
    folder = ROOT / "results"
    paths = [folder / command[1] / command[2] / "table.json"] if command else (folder / "benchmarks").glob("*.json")
    return {found for path in paths for found in walk(json.loads(path.read_text()))}


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


MEAN_OF_PUBLISHED = "0.99"  # of the gains of BAN for the four DenseNets of the paper, which no file has


@pytest.mark.parametrize("title", SECTIONS)
def test_numbers_of_the_tables_are_in_the_files(title):
    known = measured(SECTIONS[title])
    missing = []
    for row in re.findall(r"^\| .* \|$", SECTIONS[title], re.MULTILINE):
        for number in numbers_of(row.partition(" | ")[2]):
            digits = number.rstrip("0") if "." not in number else number
            unit = 10.0 ** (len(number) - len(digits) - len(number.partition(".")[2]))
            is_known = number == MEAN_OF_PUBLISHED or any(
                abs(abs(float(number)) - abs(value)) <= 0.501 * unit for value in known
            )
            if not is_known:
                missing.append((number, row))
    assert missing == []


def test_numbers_of_the_readme_are_on_the_page_about_results():
    tables = "\n".join(re.findall(r"^\| .* \|$", section("README.md", "Results"), re.MULTILINE))
    missing = set(numbers_of(tables)) - set(numbers_of(read("docs/results.md")))
    assert missing == set()
