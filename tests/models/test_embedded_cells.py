"""Words of a table that a network embeds: what the reader gives, and that all roads compute the same."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import instar
from instar.data import Loader, load_data
from instar.errors import DataError, MismatchError
from instar.models import MLP
from instar.models.readers import Cells, parse_reader

READER = "Cells(words='embedded')"


def table(count: int, seed: int = 0) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "city": random.choice(["Bonn", "Köln", "Ulm"], count),
            "age": random.normal(40, 12, count),
            "plan": random.choice(["basic", "pro"], count),
        }
    )
    leaves = (frame["city"] == "Ulm") ^ (frame["plan"] == "pro")
    frame.loc[::7, "city"] = None
    frame.loc[::5, "age"] = np.nan
    return frame.assign(left=np.where(leaves, "yes", "no"))


@pytest.fixture(scope="module")
def data() -> Any:
    return load_data({"train": table(240), "test": table(80, seed=1)}, label_column="left", validation=0)


@pytest.fixture(scope="module")
def student(data: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    out = tmp_path_factory.mktemp("embedded") / "student"
    model = MLP([16], word_width=3)
    return instar.train(data, model, out=out, reader=READER, epochs=20, batch_size=24, learning_rate=0.02)


def test_numbers_are_those_of_one_hot_words_and_each_word_has_a_number(data: Any) -> None:
    one_hot, embedded = Cells(min_samples=1).fitted(data.train), Cells(words="embedded").fitted(data.train)
    frame = table(40, seed=2)
    features, found = one_hot(frame), embedded(frame)
    assert embedded.features == ("age", "age is missing")
    numbers = [one_hot.features.index(name) for name in embedded.features]
    assert torch.equal(found["numbers"], features[:, numbers])
    cities = {"Bonn": 1, "Köln": 2, "Ulm": 3, None: 4}
    plans = {"basic": 5, "pro": 6}
    wanted = [
        [cities[None if pd.isna(city) else city], plans[plan]] for city, plan in frame[["city", "plan"]].to_numpy()
    ]
    assert found["words"].tolist() == wanted
    assert embedded.sizes() == {"num_words": 7}
    # training tells nothing about a new word, and nothing about a missing plan
    odd = embedded(frame[:1].assign(city="Rom", plan=None))
    assert odd["words"].tolist() == [[0, 0]]
    network = MLP([4], input_shape=embedded.shape(()), num_classes=2, **embedded.sizes())
    assert not network.embedding(odd["words"]).any()


def test_rare_words_share_a_number_with_those_that_were_never_seen() -> None:
    frame = table(100)
    frame.loc[:2, "plan"] = ["gold", "silver", "gold"]
    loaded = load_data({"train": frame, "test": frame}, label_column="left", validation=0)
    reader = Cells(min_samples=3, words="embedded").fitted(loaded.train)
    rows = reader(frame[:4].assign(plan=["gold", "silver", "new", "pro"]))["words"][:, 1].tolist()
    assert rows[0] == rows[1] == rows[2] == rows[3] + 1


def test_what_the_reader_knows_makes_an_equal_one_and_its_text_is_that_of_the_settings(data: Any) -> None:
    reader = Cells(words="embedded").fitted(data.train)
    again = parse_reader(str(reader)).with_knowledge(json.loads(json.dumps(reader.knowledge())))
    assert again == reader
    assert hash(again) == hash(reader)
    assert reader != Cells().fitted(data.train)
    assert str(Cells()) == "Cells(min_samples=1)"  # as in the run folders of older versions


def test_batches_frames_exports_and_loaded_runs_compute_the_same(student: Any, data: Any, tmp_path: Path) -> None:
    assert student.metrics["error"] < 0.25
    frame = table(80, seed=1)
    model = instar.load(student)
    wanted = instar.predict_proba(student, frame)
    batch = next(Loader(data.test, 80, seed=0).in_order())
    with torch.no_grad():
        np.testing.assert_allclose(model(frame).softmax(1).numpy(), wanted, atol=1e-6)
        np.testing.assert_allclose(model(batch.read(model.reader)).softmax(1).numpy(), wanted, atol=1e-6)
    assert json.loads((student.path / "model.json").read_text())["arguments"]["word_width"] == 3
    assert instar.evaluate(student, data)["errors"] == student.metrics["errors"]
    onnxruntime = pytest.importorskip("onnxruntime", reason="needs the extra export")
    pytest.importorskip("onnxscript", reason="needs the extra export")
    instar.export(student, to="onnx", out=tmp_path / "model.onnx", data=data)
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    odd = frame[:3].assign(city=["Rom", None, "Ulm"], plan=["pro", None, "gold"], age=[np.nan, 30, 40])
    cells = np.array([[-1, np.nan, 1], [np.nan, 30, np.nan], [2, 40, -1]])
    (logits,) = session.run(["logits"], {"inputs": cells})
    with torch.no_grad():
        np.testing.assert_allclose(logits, model(odd).numpy(), atol=1e-5)


def test_a_student_of_embedded_words_learns_from_a_teacher_of_one_hot_words(data: Any, tmp_path: Path) -> None:
    teacher = instar.train(data, MLP([8]), out=tmp_path / "teacher", epochs=1, batch_size=24)
    run = instar.distill(
        data, teacher, "mlp", out=tmp_path / "run", reader=READER, epochs=2, batch_size=24, targets="store"
    )
    assert run.metrics["teacher_error"] == teacher.metrics["error"]


def test_what_embeds_no_words_is_refused(data: Any, tmp_path: Path) -> None:
    with pytest.raises(MismatchError, match="'linear' embeds no words of a table; choose 'mlp', or leave out words"):
        instar.train(data, "linear", out=tmp_path / "run", reader=READER, epochs=1)
    with pytest.raises(
        MismatchError, match=r"cannot take inputs of shape numbers.*unexpected keyword argument 'numbers'"
    ):
        instar.train(data, torch.nn.Linear(3, 2), out=tmp_path / "run", reader=READER, epochs=1)
    numbers = table(40)[["age", "left"]]
    loaded = load_data({"train": numbers, "test": numbers}, label_column="left", validation=0)
    with pytest.raises(DataError, match="has no column of words to embed; leave out"):
        Cells(words="embedded").fitted(loaded.train)
