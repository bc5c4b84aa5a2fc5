"""docs/settings.md names every setting with its default. Remake it with INSTAR_REMAKE_DOCS=1."""

import os
import re
from collections.abc import Iterator

import pytest
from tests.docs.pages import ROOT, read

import instar.config
from instar.config import Config, DataConfig, RunConfig, validate
from instar.models import MODELS
from instar.nested import flatten, merge_settings, parse_assignment

PAGE = "docs/settings.md"
INTRODUCTION = """\
# Settings

A setting decides what a run does. Set one with `--set name=value` on the command line, or nest it in the YAML file of
`--config`. Flags such as `--epochs` are short forms of the most common settings.

There are four layers, and a later layer overrides an earlier one:

| layer | command line | Python (`train`, `distill`, `born_again`, `tune`) |
|---|---|---|
| 1. defaults | | |
| 2. a file | `--config file.yaml` | `config="file.yaml"` |
| 3. flags or arguments | `--epochs 20` | `epochs=20`, for the settings of a run and of `training` |
| 4. settings by dotted name | `--set data.subset=100` | `settings={"data.subset": 100}` |

The settings of `data` are also arguments of `load_data`. Those of `store` are the dictionary `store` of `distill` and
`born_again`.

```
instar train digits --model mlp --arg widths=[64,64] --set training.learning_rate=0.01 --out runs/teacher
```

An unknown setting is refused, and the error names the nearest known one.
"""


def groups() -> Iterator[tuple[str, type[Config]]]:
    """Yield a run's settings, and those that are nested in it, under their prefixes."""
    yield "", RunConfig
    for name, field in RunConfig.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Config):
            yield f"{name}.", field.annotation


def rows(prefix: str, kind: type[Config]) -> dict[str, str]:
    """Return a row of the table for each setting."""
    found = {}
    for name, field in kind.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Config):
            continue
        default = "required" if field.is_required() else f"`{field.get_default(call_default_factory=True)!r}`"
        found[prefix + name] = f"| `{prefix}{name}` | {default} | {field.description} |"
    return found


def page() -> str:
    text = [INTRODUCTION]
    for prefix, kind in groups():
        head = [f"## {prefix.rstrip('.').capitalize() or 'Run'}", "", "| setting | default | what it does |"]
        text.append("\n".join([*head, "|---|---|---|", *rows(prefix, kind).values(), ""]))
    return "\n".join(text)


def documented() -> dict[str, str]:
    """Return the defaults that the page gives, by name."""
    return dict(re.findall(r"^\| `([\w.]+)` \| (.*?) \| ", read(PAGE), re.MULTILINE))


def test_the_page_is_as_the_code_is():
    if os.environ.get("INSTAR_REMAKE_DOCS"):
        (ROOT / PAGE).write_text(page(), encoding="utf-8")
    assert read(PAGE) == page()


def test_every_setting_of_every_class_is_on_the_page_and_nothing_else():
    kinds = {kind for kind in vars(instar.config).values() if isinstance(kind, type) and issubclass(kind, Config)}
    assert kinds - {Config} == {kind for _, kind in groups()}
    filled = flatten(RunConfig(data=DataConfig(source="digits"), model={"name": "mlp"}).model_dump())
    assert documented().keys() == filled.keys()


@pytest.mark.parametrize("name", documented())
def test_a_default_of_the_page_is_taken_when_it_is_set(name):
    default = documented()[name].strip("`")
    least = {"data": {"source": "digits"}, "model": {"name": "mlp"}}
    if default == "required":
        return
    path, _ = parse_assignment(f"{name}=0")
    value = eval(default, {"__builtins__": {}})
    values = value
    for key in reversed(path):
        values = {key: values}
    found = flatten(validate(RunConfig, merge_settings(least, values)).model_dump())[name]
    assert found == value == flatten(validate(RunConfig, least).model_dump())[name]


@pytest.mark.parametrize("name", ["docs/settings.md", "docs/distill.md"])
def test_all_families_of_models_are_named(name):
    (named,) = re.findall(r"\(((?:`?[a-z-]+`?,\s+){5,}`?[a-z-]+`?)\)", read(name))
    assert re.findall(r"[a-z-]+", named) == list(MODELS)


def test_every_setting_says_what_it_does():
    assert [name for prefix, kind in groups() for name, row in rows(prefix, kind).items() if "| None |" in row] == []
