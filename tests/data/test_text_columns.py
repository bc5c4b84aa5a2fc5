"""Texts beside pictures, tables and numbers: a teacher of texts reads them, and the student its own inputs."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

import instar
from instar.data import Loader
from instar.errors import ConfigError, DataError, MismatchError
from instar.models import MLP, Bag
from instar.models.readers import Words
from instar.models.trained import TrainedRun
from instar.teachers import as_teacher

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")  # the library leaves metadata.csv open

WORDS = ("warm sun", "cold rain", "")
SETTINGS = {"epochs": 1, "batch_size": 8, "learning_rate": 0.05}


def rows(count: int) -> pd.DataFrame:
    captions = [f"a {WORDS[number % 3]}".strip() if number % 3 < 2 else None for number in range(count)]
    kinds = [("day", "night", "dusk")[number % 3] for number in range(count)]
    return pd.DataFrame({"caption": captions, "kind": kinds})


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    for split, count in (("train", 24), ("test", 9)):
        table = rows(count)
        table.insert(0, "file_name", [f"{number}.png" for number in range(count)])
        (folder / split).mkdir()
        table.to_csv(folder / split / "metadata.csv", index=False)
        for number in range(count):
            Image.new("L", (6, 6), 80 * (number % 3)).save(folder / split / f"{number}.png")
    return folder


@pytest.fixture(scope="module")
def teacher(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainedRun:
    captions = instar.load_data(pictures, input_column="caption", label_column="kind", validation=0)
    return instar.train(captions, Bag(4), out=tmp_path_factory.mktemp("teacher") / "run", **SETTINGS)


@pytest.mark.parametrize("targets", ["online", "store"])
def test_a_model_of_captions_teaches_a_model_of_pictures(
    pictures: Path, teacher: TrainedRun, tmp_path: Path, targets: str
) -> None:
    settings = {"label_column": "kind", "validation": 0}
    data = instar.load_data(pictures, input_column="image", columns=["caption"], **settings)
    assert data.train.source.texts("caption").strings()[:3] == ["a warm sun", "a cold rain", ""]
    batch = Loader(data.train, 8, seed=0).batch(1)
    found = as_teacher(teacher).targets(batch).log_probs(1.0)
    texts = data.train.source.texts("caption").strings(batch.host_ids)
    torch.testing.assert_close(found, instar.load(teacher)(texts).log_softmax(1))
    student = instar.distill(data, teacher, MLP([4]), out=tmp_path / "student", targets=targets, **SETTINGS)
    assert instar.predict(student, pictures / "test" / "0.png")[0].label in data.classes
    plain = instar.load_data(pictures, input_column="image", **settings)
    assert data.train.source.fingerprint() != plain.train.source.fingerprint()
    with pytest.raises(DataError, match="has no column 'text'"):
        instar.distill(plain, teacher, MLP([4]), out=tmp_path / "without", **SETTINGS)


def test_a_mixed_picture_has_no_caption(pictures: Path, teacher: TrainedRun, tmp_path: Path) -> None:
    data = instar.load_data(pictures, input_column="image", label_column="kind", columns=["caption"], validation=0)
    with pytest.raises(MismatchError, match="the views mix the inputs of two samples, and column 'text' is not mixed"):
        instar.distill(data, teacher, MLP([4]), out=tmp_path / "mixed", views="Mixup(1)", **SETTINGS)


def test_texts_are_beside_tables_and_given_arrays_too(tmp_path: Path) -> None:
    frame = rows(40).assign(age=np.arange(40) % 7)
    frame.to_json(tmp_path / "rows.jsonl", orient="records", lines=True)
    table = instar.load_data(tmp_path / "rows.jsonl", label_column="kind", columns=["caption"], test=0.25)
    texts = instar.load_data(tmp_path / "rows.jsonl", label_column="kind", input_column="caption", test=0.25)
    teacher = instar.train(texts, Bag(4), out=tmp_path / "teacher", **SETTINGS)
    student = instar.distill(table, teacher, "linear", out=tmp_path / "student", **SETTINGS)
    assert instar.load(student).reader.features == ("age",)
    numbers = np.random.default_rng(0).normal(size=(40, 3))
    columns = {"notes": frame["caption"], "others": list(frame["kind"])}
    data = instar.load_data((numbers, frame["kind"]), columns=columns, test=0.25, validation=0)
    reader = Words(column="notes").fitted(data.train)
    network = Bag(4, num_classes=3, **reader.sizes())
    module = instar.Module(network, data.classes, reader=reader)
    assert instar.label(data, module, out=tmp_path / "targets").path.is_dir()
    with pytest.raises(ConfigError, match=r"its reader names the column 'notes'\. Only a teacher may read it"):
        instar.train(data, Bag(4), out=tmp_path / "other", reader=Words(column="notes"), **SETTINGS)
