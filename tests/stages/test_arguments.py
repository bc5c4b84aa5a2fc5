"""Arguments of the verbs in Python: their order, and where named settings belong."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier

import instar
from instar.config import DataConfig, ModelConfig, RunConfig, StoreConfig, TrainingConfig
from instar.errors import ConfigError
from instar.models import MLP
from instar.stages.argument_order import refuse_swapped
from instar.stages.configuration import configure, run_settings

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
        ("train", ("transformers:small", "photos"), "a teacher or a model for 'data': 'transformers:small'"),
        ("train", ("my.networks:Small", "digits"), "data for 'model': 'digits'"),  # a function may return data
        ("train", ("my.networks:Small", "photos"), "data or a teacher for 'model': 'photos'"),
        ("train", (DATA, "photos"), "data or a teacher for 'model': 'photos'"),
        ("born_again", (MODEL, DATA), "a model for 'data': MLP"),
        ("born_again", ({"name": "mlp", "arguments": {}}, DATA), "a model for 'data': dict"),
        ("distill", ("run", MODEL, DATA), "a teacher for 'data': 'run'"),
        ("distill", (Path("run"), "mlp", "photos"), "a teacher for 'data': 'run'"),
        ("distill", (["run", "run"], MODEL, ARRAYS), "a teacher for 'data': list"),
        ("distill", (FOREST, MODEL, ARRAYS), "a teacher or a model for 'data': RandomForestClassifier"),
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
    for given in ({"named": {"teachers": ["a"]}}, {"settings": {"teachers": ["a"]}}, {"config": {"teachers": ["a"]}}):
        layers = {"config": None, "named": {}, "settings": None} | given
        with pytest.raises(ConfigError, match="train takes no setting 'teachers'"):
            configure("train", {"data": DATA, "model": MODEL}, **layers, refused=("teachers",))


def test_a_student_starts_from_a_run_by_name(tmp_path: Path) -> None:
    teacher = instar.train(DATA, MODEL, epochs=1, out=tmp_path / "teacher")
    student = instar.distill(DATA, teacher, MODEL, start=teacher, judge_test=False, epochs=1, out=tmp_path / "student")
    assert student.config["start"] == str(tmp_path / "teacher")
    with pytest.raises(ConfigError, match="'subset' is a setting of the data; give"):
        instar.train(DATA, MODEL, subset=10, out=tmp_path / "other")
    with pytest.raises(ConfigError, match="out must be a local path, got the address 's3://bucket/run'"):
        instar.train(DATA, MODEL, epochs=1, out="s3://bucket/run")
