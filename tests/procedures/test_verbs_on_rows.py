"""Verbs on texts, tables and recordings, which are no tensors of one shape or have no decoded copy."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import instar
from instar.errors import ConfigError, DataError, MismatchError
from instar.models import FrameNet
from instar.procedures.specialists import Clusters

SETTINGS = {"epochs": 1, "batch_size": 8}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rows")
    texts = pd.DataFrame({"said": ["warm film", "dull"] * 8, "meant": ["", "slow"] * 8, "label": ["a", "b"] * 8})
    texts.to_parquet(folder / "texts.parquet")
    table = pd.DataFrame({"age": [1.5, np.nan, 2.5, 3.5] * 4, "plan": ["x", "y"] * 8, "left": ["no", "yes"] * 8})
    table.to_parquet(folder / "table.parquet")
    return folder


@pytest.mark.parametrize(
    ("file", "settings", "model", "shapes"),
    [
        ("texts", {"input_column": "said", "leave_out": ["meant"]}, "bag", {"embedding": (2, 32), "head": (2,)}),
        ("texts", {"input_columns": ["said", "meant"]}, "bag", {"embedding": (4, 32), "head": (2,)}),
        ("table", {"label_column": "left"}, "linear", {"layers.0": (4,), "layers.1": (2,)}),
    ],
    ids=["texts", "pairs", "tables"],
)
def test_layers_of_a_run_need_no_data(
    folder: Path, tmp_path: Path, file: str, settings: dict, model: str, shapes: dict
) -> None:
    data = instar.load_data(folder / f"{file}.parquet", test=0.25, validation=0, **settings)
    run = instar.train(data, model, out=tmp_path / "run", **SETTINGS)
    found = {layer.name: layer.shape for layer in instar.layers(run).layers}
    assert shapes.items() <= found.items()
    alone = {f"data.{name}": value for name, value in (settings | {"test": 0.25}).items()}
    others = instar.layers(model, data=folder / f"{file}.parquet", settings=alone).layers
    assert [layer.name for layer in others] == list(found)
    with pytest.raises(ConfigError, match="settings are those of data for a model that is not trained"):
        instar.layers(run, settings=alone)


def test_what_is_read_from_its_files_each_time_has_no_copy_to_verify(folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"has no decoded copy, because its texts are read from its files each time"):
        instar.verify_data(folder / "texts.parquet", settings={"data.input_column": "said", "data.test": 0.25})
    with pytest.raises(ConfigError, match=r"has no decoded copy, because its cells are read from its files each time"):
        instar.verify_data(folder / "table.parquet", settings={"data.label_column": "left", "data.test": 0.25})


@pytest.mark.parametrize("states", [0, 2])
def test_the_line_about_recordings_says_what_a_label_is(
    tmp_path: Path, write_recordings, capsys: pytest.CaptureFixture[str], states: int
) -> None:
    waves = [np.random.default_rng(at).integers(-9000, 9000, 800, dtype=np.int16) for at in range(4)]
    data = write_recordings(tmp_path / "data", {"train": waves, "test": waves})
    settings = {"data.label_column": "word", "data.states": states, "data.validation": 0}
    run = instar.train(data, FrameNet([4]), out=tmp_path / "run", settings=settings, **SETTINGS)
    told = "a spoken word in 2 parts each; data.states=0 takes one class for a whole recording"
    assert (told in capsys.readouterr().err) == (states > 0)
    assert instar.layers(run).layers[-1].shape is not None
    with pytest.raises(DataError, match="it is a folder; give the files in it"):
        instar.predict(run, data)


def test_a_specialist_may_have_as_many_classes_as_its_generalist(tmp_path: Path) -> None:
    frame = pd.DataFrame({"text": ["warm film", "dull plot", "odd end"] * 12, "label": ["good", "bad", "fair"] * 12})
    frame.to_json(tmp_path / "films.jsonl", orient="records", lines=True)
    data = instar.load_data(tmp_path / "films.jsonl", test=0.25, validation=0.25)
    generalist = instar.train(data, "bag", out=tmp_path / "generalist", **SETTINGS)
    clusters = Clusters((("good", "fair"),))  # and one class for all others: three, as the data have
    experts = instar.specialists.train(generalist, clusters, out=tmp_path / "experts", epochs=1)
    both = instar.specialists.combine(generalist, experts, out=tmp_path / "both")
    student = instar.distill(data, both, "bag", out=tmp_path / "student", **SETTINGS)
    assert instar.predict(student, "warm film")[0].label in ("good", "bad", "fair")


def test_models_of_one_kind_and_data_of_another_are_told_apart(folder: Path, tmp_path: Path) -> None:
    table = instar.load_data(folder / "table.parquet", label_column="left", test=0.25, validation=0)
    texts = instar.load_data((["warm", "dull"] * 8, ["no", "yes"] * 8), test=0.25, validation=0)
    run = instar.train(table, "linear", out=tmp_path / "run", **SETTINGS)
    with pytest.raises(DataError, match=r"has no column 'cells', so a model of tables cannot read it; found: text"):
        instar.distill(texts, run, "bag", out=tmp_path / "student", **SETTINGS)
    reader = instar.train(texts, "bag", out=tmp_path / "texts", **SETTINGS)
    with pytest.raises(DataError, match=r"has no column 'text', so a model of texts cannot read it; found: cells"):
        instar.distill(table, reader, "linear", out=tmp_path / "student", **SETTINGS)
    with pytest.raises(MismatchError, match="is a folder; give a file of it, or the texts"):
        instar.predict(reader, str(folder))
