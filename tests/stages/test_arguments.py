"""Arguments of the verbs in Python: their order, and where named settings belong."""

import inspect
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from sklearn.ensemble import RandomForestClassifier

import instar
from instar import cli
from instar.config import DataConfig, ModelConfig, RunConfig, StoreConfig, TrainingConfig
from instar.errors import ConfigError
from instar.models import MLP
from instar.stages.argument_order import refuse_swapped
from instar.stages.arguments import run_settings

DATA, MODEL = "digits", MLP([4])


NETWORK, ARRAYS = MLP([4], input_shape=(64,), num_classes=10), (np.zeros((4, 2)), [0, 1, 0, 1])
FOREST = RandomForestClassifier()
IN_ORDER = {
    "train": "(data, model)",
    "born_again": "(data, model)",
    "distill": "(data, teacher, model)",
    "tune": "(data, teacher, model)",
    "label": "(data, teacher)",
    "evaluate": "(subject, data)",
    "ensemble": "(members, data)",
}


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run folder, a folder of data, and a run folder of the name of a model."""
    for name in ("run", "mlp"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "result.json").touch()
    (tmp_path / "photos" / "train").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("folders")
@pytest.mark.parametrize(
    ("verb", "given", "found"),
    [
        ("train", (MODEL, DATA), "a model for 'data': MLP"),
        ("train", ("mlp", DATA), "a teacher or a model for 'data': 'mlp'"),  # the folder is one, too
        ("train", ("resnet", DATA), "a model for 'data': 'resnet'"),
        ("train", ("my.networks:Small", "photos"), "a model for 'data': 'my.networks:Small'"),
        ("train", (DATA, "photos"), "data or a teacher for 'model': 'photos'"),
        ("train", (ARRAYS, FOREST), "a teacher for 'model': RandomForestClassifier"),
        ("born_again", (MODEL, DATA), "a model for 'data': MLP"),
        ("born_again", ({"name": "mlp", "arguments": {}}, DATA), "a model for 'data': dict"),
        ("distill", ("run", MODEL, DATA), "a teacher for 'data': 'run'"),
        ("distill", (Path("run"), "mlp", "photos"), "a teacher for 'data': 'run'"),
        ("distill", (["run", "run"], MODEL, ARRAYS), "a teacher for 'data': list"),
        ("distill", (FOREST, MODEL, ARRAYS), "a teacher for 'data': RandomForestClassifier"),
        ("distill", (NETWORK, MODEL, DATA), "a teacher or a model for 'data': MLP"),
        ("distill", (DATA, MODEL, MODEL), "a model for 'teacher': MLP"),
        ("distill", (DATA, MODEL, "run"), "a model for 'teacher': MLP"),
        ("distill", (DATA, "run", ARRAYS), "data for 'model': tuple"),
        ("tune", ("run", "resnet", DATA), "a teacher for 'data': 'run'"),
        ("tune", (DATA, ARRAYS, MODEL), "data for 'teacher': tuple"),
        ("label", (NETWORK, DATA), "a teacher or a model for 'data': MLP"),
        ("label", ("run", DATA), "a teacher for 'data': 'run'"),
        ("evaluate", (DATA, NETWORK), "data for 'subject': 'digits'"),
        ("evaluate", (ARRAYS, "run"), "data for 'subject': tuple"),
        ("ensemble", (DATA, "run"), "data for 'members': 'digits'"),
    ],
)
def test_a_swapped_call_is_refused_by_name(tmp_path: Path, verb: str, given: Any, found: str) -> None:
    out = {} if verb == "evaluate" else {"out": tmp_path / "out"}
    with pytest.raises(ConfigError) as raised:
        getattr(instar, verb)(*given, **out)
    assert str(raised.value) == f"{verb} takes {IN_ORDER[verb]} in this order, and got {found}."
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("folders")
def test_what_cannot_be_told_is_not_refused() -> None:
    refuse_swapped("distill", data="owner/name", teacher="no folder", model="no model")
    refuse_swapped("distill", data="photos", teacher="mlp", model="mlp")
    refuse_swapped("distill", data=[[0.5], [0.1]], teacher=[NETWORK, FOREST, "run"], model=NETWORK)
    refuse_swapped("distill", data=("photos", "photos"), teacher="photos", model=None)  # a run that is not whole
    refuse_swapped("label", data={"train": ARRAYS}, teacher=[])


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
    student = instar.distill(DATA, teacher, MODEL, start=teacher, judge_test=False, epochs=1, out=tmp_path / "student")
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
