"""The model card: scores and origin of a model, as Markdown under YAML front matter."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from instar.errors import one_line
from instar.exporting.escaping import escape
from instar.exporting.feeding import explain_feeding
from instar.exporting.student import Student
from instar.importing import LIBRARY_PREFIXES
from instar.inspection.description import Inspection
from instar.inspection.scores import Score
from instar.models.readers.as_is import AsIs
from instar.models.readers.encoded import WORD_STARTS

MAX_LISTED_CLASSES = 100
"""The card lists at most these; `config.json` has all of them."""

_PIPELINES = {
    "image-classification": ("The image processor of this folder reads pictures as the run did.", '"picture.jpg"'),
    "audio-classification": ("The feature extractor of this folder reads sound as the run did.", '"sound.wav"'),
    "text-classification": ("Texts are read by the tokenizer of this folder.", '"a text"'),
    "token-classification": (
        "Texts are read by the tokenizer of this folder; the class of a word is that of its first token.",
        '"a text"',
    ),
    "text-generation": ("Texts are read by the tokenizer of this folder.", '"a text"'),
}  # how inputs are read, and an example of one

_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


def model_card(found: Inspection, student: Student, task: str | None = None) -> str:
    """Return the text of `README.md`.

    Args:
        found: what is known of the run.
        student: model that was written.
        task: task of a pipeline of Transformers, such as "image-classification", where Transformers opens the folder;
            None: Instar does.
    """
    name = Path(found.path).resolve().name
    front = yaml.safe_dump(_front_matter(found, student, name, task), sort_keys=False, allow_unicode=True)
    how = _with_instar(student) if task is None else _with_transformers(student, task)
    sections = [
        f"---\n{front}---\n\n# {escape(name)}",
        _introduction(found, student),
        *how,
        _table("Scores", ("split", "quantity", "value", "95% interval", "method"), map(_score_row, found.scores)),
        _list("Training", _training_facts(found)),
        _list("Environment", _environment_facts(found)),
        _list("Classes", _class_names(student)),
    ]
    return "\n\n".join(sections) + "\n"


def _with_instar(student: Student) -> list[str]:
    feeding = escape(explain_feeding(student.header["inputs"])) + _resizing(student)
    return [
        f"It takes raw inputs, and returns logits. {feeding}",
        f"## How to load it\n\n```python\n{_program(student)}```",
    ]


def _with_transformers(student: Student, task: str) -> list[str]:
    reading, given = _PIPELINES[task]
    program = f'from transformers import pipeline\n\nprint(pipeline("{task}", "FOLDER")({given}))  # this folder\n'
    return [reading, f"## How to load it\n\n```python\n{program}```"]


def _front_matter(found: Inspection, student: Student, name: str, of_pipeline: str | None) -> dict[str, Any]:
    front: dict[str, Any] = {"library_name": "instar", "tags": ["instar"]}
    if found.origin["teachers"]:
        front["tags"].append("knowledge-distillation")
    task = {}
    # three axes are an image; no other shape tells its task
    shape = student.header["inputs"]["shape"]
    if isinstance(shape, list) and len(shape) == 3:
        front["pipeline_tag"] = "image-classification"
        task = {"type": "image-classification"}
    if student.header["inputs"].get("texts"):
        kind = "token-classification" if WORD_STARTS in shape else "text-classification"
        front["pipeline_tag"] = kind
        task = {"type": kind}
    if of_pipeline is not None:
        front |= {"library_name": "transformers", "pipeline_tag": of_pipeline}
        task = {"type": of_pipeline}
    if "columns" in student.header["inputs"]:
        front["pipeline_tag"] = "tabular-classification"
        task = {"type": "tabular-classification"}
    source = str(found.origin["data"]["source"])
    # a relative path has the form of a Hub id
    if _HUB_ID.fullmatch(source) and not Path(source).exists():
        front["datasets"] = [source]
    results = [
        {
            "task": dict(task or {"type": "other"}),  # model-index requires a task; a copy, or YAML writes a reference
            "dataset": {"name": one_line(source), "type": one_line(source), "split": score.split},
            "metrics": [{"type": score.name, "value": score.value, **_bounds(score)}],
        }
        for score in found.scores
    ]
    return front | {"model-index": [{"name": one_line(name), "results": results}]}


def _bounds(score: Score) -> dict[str, Any]:
    return {} if score.low is None else {"args": {"interval_95": [score.low, score.high]}}


def _introduction(found: Inspection, student: Student) -> str:
    arguments = ", ".join(f"{key}={value}" for key, value in student.header["model"]["arguments"].items() if value)
    made = "distilled with Instar" if found.origin["teachers"] else "trained with Instar"
    called = f"{escape(student.name)} ({escape(arguments)})" if arguments else escape(student.name)
    return f"{called}, {found.model['parameters']:,} parameters, {made}, with {len(student.classes)} classes."


def _resizing(student: Student) -> str:
    reader = student.header["model"]["reader"]
    if reader == str(AsIs()):
        return ""
    if "columns" in student.header["inputs"]:
        return " `instar.load` also takes a data frame with these columns."
    if isinstance(student.header["inputs"]["shape"], dict):
        return f" They are read as `{escape(reader)}`."
    return f" `instar.load` reads images of other sizes as `{escape(reader)}`; other programs must resize them first."


def _program(student: Student) -> str:
    given = student.header["inputs"]
    shape, dtype = given["shape"], given["dtype"]
    if given.get("texts"):
        types = student.header["model"]["dtype"]
        is_pair = isinstance(types, dict) and len(types) > 1
        inputs = '[("a text", "another")]' if is_pair else '["a text", "another"]'
    else:
        inputs = _several_zeros(shape, dtype) if isinstance(shape, dict) else _zeros(shape, dtype)
    is_ours = ":" not in student.name or student.name.startswith(LIBRARY_PREFIXES)
    # only the reader can decide to import a class of the user that config.json names
    argument = "" if is_ours else ", trust=True"
    if student.header["model"].get("needs_network"):  # its class alone cannot rebuild it
        argument = ", network=network"
    return (
        f"import instar\n{'' if given.get('texts') else 'import torch'}\n\n"
        f'model = instar.load("FOLDER"{argument})  # this folder\n'
        f"inputs = {inputs}\n"
        "logits = model(inputs)\n"
    )


def _zeros(shape: Sequence[int], dtype: str) -> str:
    return f"torch.zeros(1, {', '.join(map(str, shape))}, dtype=torch.{dtype})"


def _several_zeros(shapes: Mapping[str, Sequence[int]], dtypes: Mapping[str, str]) -> str:
    # as lines of a dictionary, because each is long
    lines = [f'    "{name}": {_zeros(shape, dtypes[name])},' for name, shape in shapes.items()]
    return "\n".join(["{", *lines, "}"])


def _score_row(score: Score) -> tuple[str, ...]:
    value, interval = score.text()
    return score.split, score.name, value, interval or "none", score.how


def _training_facts(found: Inspection) -> dict[str, Any]:
    origin = found.origin
    data = {key: value for key, value in origin["data"].items() if value not in (None, False, (), [])}
    return {
        "data": ", ".join(f"{key}={value}" for key, value in data.items()),
        "fingerprints": json.dumps(origin["fingerprints"]),
        "teachers": ", ".join(origin["teachers"]) or "none",
        "objective": origin["objective"],
        "temperatures": ", ".join(f"{value:g}" for value in origin["temperatures"] or []) or None,
        "views": origin["views"],
        "targets": origin["targets"],
        "seed": origin["seed"],
        "bias corrected from": origin["corrected"],
    }


def _environment_facts(found: Inspection) -> dict[str, Any]:
    origin = found.origin
    pairs = [(key, origin[key] or {}) for key in ("versions", "machine")]
    described = {key: ", ".join(f"{name} {value}" for name, value in values.items()) for key, values in pairs}
    return {"date": origin["date"], "commit": origin["commit"], "command": origin["command"]} | described


def _class_names(student: Student) -> dict[str, Any]:
    names = dict(enumerate(student.classes[:MAX_LISTED_CLASSES]))
    left = len(student.classes) - len(names)
    return {str(index): name for index, name in names.items()} | ({"more": f"{left} in config.json"} if left else {})


def _list(title: str, values: Mapping[str, Any]) -> str:
    lines = [f"- {key}: {escape(value)}" for key, value in values.items() if value is not None]
    return f"## {title}\n\n" + "\n".join(lines)


def _table(title: str, heading: tuple[str, ...], rows: Any) -> str:
    lines = [heading, ("---",) * len(heading), *(tuple(map(escape, row)) for row in rows)]
    return f"## {title}\n\n" + "\n".join(f"| {' | '.join(line)} |" for line in lines)
