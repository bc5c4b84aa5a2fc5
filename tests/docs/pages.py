"""The pages of the documentation, and what stands in their blocks of code and between their backticks."""

import re
import shlex
import string
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("", "docs", "benchmarks", "results")
PAGES = sorted(str(page.relative_to(ROOT)) for folder in FOLDERS for page in (ROOT / folder).glob("*.md"))
HISTORY = ("CHANGELOG.md", "docs/log.md")  # say how things were called when they were written

BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def read(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def section(page: str, title: str) -> str:
    """Return the text of a page between a heading of the second level and the next one."""
    (text,) = re.findall(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", read(page), re.MULTILINE | re.DOTALL)
    return text


def blocks(text: str, *languages: str) -> list[str]:
    """Return the blocks of code of a text in these languages."""
    return [code for language, code in BLOCK.findall(text) if language in languages]


def inline(text: str) -> list[str]:
    """Return what stands between single backticks, outside of the blocks."""
    return [" ".join(code.split()) for code in re.findall(r"`([^`]+)`", BLOCK.sub("", text))]


def commands(text: str) -> Iterator[list[str]]:
    """Yield the words of every command of Instar in the blocks of a text, with the shell's variables filled in."""
    for block in blocks(text, "", "sh"):
        values: dict[str, str] = {}
        for line in block.replace("\\\n", " ").splitlines():
            if loop := re.match(r"for (\w+) in (\S+)", line):
                values[loop[1]] = loop[2]
            elif given := re.match(r'(\w+)="(.*)"$', line):
                values[given[1]] = string.Template(given[2]).safe_substitute(values)
            if command := re.match(r"\s*(?:[A-Z_]+=\S+ )*instar (.*)", line):
                yield shlex.split(string.Template(command[1]).safe_substitute(values), comments=True)
