"""Every command in the documentation can be given as it stands: its flags exist, and its arguments are valid."""

import re
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import pytest
import typer
from tests.docs.pages import HISTORY, PAGES, ROOT, blocks, commands, inline, read

import instar
from instar.cli import app
from instar.cli.settings import parse_numbers, parse_share
from instar.config import RunConfig, validate
from instar.data import parse_views
from instar.jobs.backends import parse_jobs
from instar.models import MODELS
from instar.nested import flatten, merge_settings, parse_assignment
from instar.objectives import parse_objective
from instar.papers import PAPERS
from instar.targets import Keep

LEAST: dict[str, Any] = {"data": {"source": "digits"}, "model": {"name": "mlp"}}
SETTINGS = flatten(validate(RunConfig, LEAST).model_dump()).keys()
TEXTS = {
    "objective": partial(parse_objective, trust=True),
    "views": partial(parse_views, trust=True),
    "keep": Keep.parse,
    "jobs": parse_jobs,
    "share": parse_share,
    "temperatures": lambda text: parse_numbers("--temperatures", text),
    "weights": lambda text: parse_numbers("--weights", text),
}
"""What reads a flag whose value is a small language of its own."""


@pytest.fixture(scope="module", autouse=True)
def mine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The module whose parts the commands of a page name."""
    folder: Path = tmp_path_factory.mktemp("mine")
    (folder / "mine.py").write_text("\n\n".join(blocks(read("docs/extending.md"), "python")))
    sys.path.insert(0, str(folder))
    yield
    sys.path.remove(str(folder))
    sys.modules.pop("mine", None)


def find_command(words: list[str]) -> tuple[Any, list[str], list[str]]:
    """Return the command that the first words name, those words, and the others."""
    command, path, rest = typer.main.get_command(app), [], list(words)
    while hasattr(command, "commands"):
        path.append(rest.pop(0))
        assert path[-1] in command.commands, f"'{' '.join(words)}' names no command"
        command = command.commands[path[-1]]
    return command, path, rest


def flags_of(command: Any) -> set[str]:
    """Return every flag of a command, and of those below it."""
    below = getattr(command, "commands", {}).values()
    own = {flag for parameter in command.params for flag in (*parameter.opts, *parameter.secondary_opts)}
    return own.union({"--help"}, *map(flags_of, below))


def check(words: list[str]) -> None:
    """Parse a command, and read its values as the verb does."""
    command, path, rest = find_command(words)
    given = command.make_context(path[-1], rest).params
    for name, read_text in TEXTS.items():
        if isinstance(value := given.get(name), str):
            read_text(value)
    values = LEAST
    for assigned, value in map(parse_assignment, given.get("settings") or []):
        for key in reversed(assigned):
            value = {key: value}  # noqa: PLW2901 (wrapped level by level)
        values = merge_settings(values, value)
    validate(RunConfig, values)
    model = given.get("model")
    is_run = path[0] == "layers" and "/" in str(model)
    if model and ":" not in model and not is_run:
        MODELS[model](**{".".join(key): value for key, value in map(parse_assignment, given.get("arg") or [])})
    if path[0] == "papers" and path[1] == "run":
        assert (given["scale"] or "smoke") in PAPERS[given["name"]].scales, f"--scale {given['scale']}"
    verb: Any = instar
    for word in path:
        verb = getattr(verb, word.replace("-", "_"), None)
    for name, hint in (get_type_hints(verb) if callable(verb) else {}).items():
        for part in (hint, *get_args(hint)):
            if get_origin(part) is Literal and given.get(name) is not None:
                assert given[name] in get_args(part), f"--{name} {given[name]}"


@pytest.mark.parametrize("page", PAGES)
def test_commands_in_blocks_are_valid(page):
    for words in commands(read(page)):
        try:
            check(words)
        except Exception as error:
            pytest.fail(f"{page}: instar {' '.join(words)}: {error}")


def test_there_are_commands():
    assert sum(len(list(commands(read(page)))) for page in PAGES) > 40


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        ("trian digits --out a", "names no command"),
        ("train digits --model cnn --lerning-rate 1 --out a", "No such option"),
        ("train digits --model cnn --epochs many --out a", "valid integer"),
        ("train digits --model cnn", "Missing parameter: out"),
        ("train digits --model cnn --set training.epocs=3 --out a", "did you mean 'epochs'"),
        ("train digits --model mlp --arg width=[3] --out a", "'width'"),
        ("distill digits --teacher a --model cnn --objective SoftTarget(4) --out a", "did you mean 'SoftTargets'"),
        ("label digits --teacher a --keep best:5 --out a", "best:5"),
        ("papers run hinton2015-mnist --scale large", "large"),
        ("specialists train a --way bin --out a", "--way bin"),
    ],
)
def test_a_wrong_command_is_found(words, problem):
    with pytest.raises(Exception, match=re.escape(problem)):
        check(words.split())


@pytest.mark.parametrize("page", PAGES)
def test_commands_and_flags_between_backticks_exist(page):
    scripts = "".join(path.read_text() for path in (ROOT / "benchmarks").glob("*.py")) if "benchmarks" in page else ""
    everywhere = flags_of(typer.main.get_command(app))
    for code in inline(read(page)):
        known = everywhere
        if code.startswith("instar ") and not code.split()[1].startswith("-"):
            words = code.split(" |")[0].split()[1:]
            command = typer.main.get_command(app)
            while words and hasattr(command, "commands"):
                assert words[0] in command.commands, f"{page}: `{code}`"
                command = command.commands[words.pop(0)]
            known = flags_of(command)
        for flag in re.findall(r"(?<!\S)--[a-z][\w-]*", code if code.startswith(("instar ", "--")) else ""):
            assert flag in known or f'"{flag}"' in scripts, f"{page}: `{code}` has the flag {flag}"


@pytest.mark.parametrize("page", [page for page in PAGES if page not in HISTORY])
def test_settings_between_backticks_exist(page):
    for code in inline(read(page)):
        name = code.partition("=")[0]
        if re.fullmatch(r"(data|model|training|store)\.[a-z_]+", name) and not re.search(
            r"\.(json|safetensors|onnx|pt|py|c|skops)$", name
        ):
            assert name in SETTINGS, f"{page}: `{code}` is no setting"
