"""Arguments of the verbs in Python: their order, and where named settings belong."""

import inspect
from pathlib import Path
from typing import Any

import pytest
import typer

import instar
from instar import cli
from instar.config import DataConfig, ModelConfig, RunConfig, StoreConfig, TrainingConfig
from instar.errors import ConfigError
from instar.models import MLP
from instar.stages.arguments import run_settings

DATA, MODEL = "digits", MLP([4])


@pytest.mark.parametrize(
    "call",
    [
        lambda out: instar.train(MODEL, DATA, out=out),
        lambda out: instar.train("mlp", DATA, out=out),
        lambda out: instar.born_again(DATA, MODEL, out=out),
        lambda out: instar.distill(DATA, MODEL, MODEL, out=out),
        lambda out: instar.distill(MLP([4], input_shape=(64,), num_classes=10), DATA, MODEL, out=out),
        lambda out: instar.tune(MODEL, DATA, MODEL, out=out),
        lambda out: instar.label(MLP([4], input_shape=(64,), num_classes=10), DATA, out=out),
        lambda out: instar.evaluate(DATA, MODEL),
        lambda out: instar.ensemble(DATA, MODEL, out=out),
    ],
)
def test_a_swapped_call_is_refused_by_name(tmp_path: Path, call: Any) -> None:
    with pytest.raises(ConfigError, match=r"^\w+ takes \([a-z, ]+\) in this order, and got a \w+ for '\w+': "):
        call(tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_every_setting_is_reached_by_name_or_refused_with_where_it_belongs() -> None:
    for name in RunConfig.model_fields.keys() - {"data", "model", "training"}:
        assert run_settings("train", {name: 1}) == {"training": {}, name: 1}
    for name in TrainingConfig.model_fields:
        assert run_settings("train", {name: 1}) == {"training": {name: 1}}
    known = RunConfig.model_fields.keys() | TrainingConfig.model_fields.keys()
    for kind, place in ((DataConfig, "load_data"), (StoreConfig, "store="), (ModelConfig, "model=")):
        for name in kind.model_fields.keys() - known:
            with pytest.raises(ConfigError, match=f"'{name}' is a setting of "):
                run_settings("train", {name: 1})
        assert place
    with pytest.raises(ConfigError, match="train takes no setting 'teachers'"):
        run_settings("train", {"teachers": ["a"]}, decided=frozenset({"teachers"}))


def test_a_student_starts_from_a_run_by_name(tmp_path: Path) -> None:
    teacher = instar.train(DATA, MODEL, epochs=1, out=tmp_path / "teacher")
    student = instar.distill(teacher, MODEL, DATA, start=teacher, judge_test=False, epochs=1, out=tmp_path / "student")
    assert student.config["start"] == str(tmp_path / "teacher")
    with pytest.raises(ConfigError, match="'subset' is a setting of the data; give"):
        instar.train(DATA, MODEL, subset=10, out=tmp_path / "other")
    with pytest.raises(ConfigError, match="out must be a local path, got the address 's3://bucket/run'"):
        instar.train(DATA, MODEL, epochs=1, out="s3://bucket/run")


ONE_SURFACE = {"as_json", "config", "settings", "arg", "student_arg", "network", "show", "shard_rows", "store", "prior"}
"""Of one surface alone: what a terminal needs, and what a setting or an object is in the other."""

NAMED = {"run": "subject", "methods": "methods", "runs": "runs", "rows": "rows", "stores": "stores"}


VERBS = ["train", "distill", "born-again", "tune", "label", "evaluate", "correct-bias", "export"]


@pytest.mark.parametrize("verb", VERBS)
def test_flags_and_parameters_have_one_meaning_and_one_default(verb: str) -> None:
    flags = {flag.name: flag for flag in typer.main.get_command(cli.app).commands[verb].params}
    parameters = inspect.signature(getattr(instar, verb.replace("-", "_"))).parameters
    settings = RunConfig.model_fields.keys() | TrainingConfig.model_fields.keys()
    takes_settings = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
    for name, flag in flags.items():
        python = parameters.get(name, parameters.get(NAMED.get(name or "", "")))
        assert python or name in ONE_SURFACE or (takes_settings and name in settings), f"{verb} {name} has no parameter"
        if python is None or flag.default is None or python.default in (None, inspect.Parameter.empty):
            continue
        given, expected = flag.default, python.default
        if name in ("jobs", "share", "temperatures", "weights"):  # written as a text there
            given = str(given).replace("/", ",")
            expected = ",".join(f"{v:g}" for v in expected) if isinstance(expected, tuple) else str(expected)
        assert given == expected, f"{verb} {name}"
    for name, parameter in parameters.items():
        is_flag = (
            name in flags or name in NAMED.values() or name in ONE_SURFACE or parameter.kind is parameter.VAR_KEYWORD
        )
        assert is_flag or name in settings or (verb, name) in {("correct-bias", "data")}, f"{verb} {name} has no flag"
