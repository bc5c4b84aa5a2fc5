"""Columns beside the inputs: what they hold, which samples they follow, and what is refused."""

import numpy as np
import pandas
import pytest
import torch
from torch import nn

import instar
from instar.data import Batch, Crop, Held, Loader, Source, load_data
from instar.errors import ConfigError, DataError, MismatchError
from instar.models import MLP, Normalised
from instar.models.readers import AsIs, Pixels, parse_reader
from instar.targets.store import TargetStore
from instar.teachers import Module

DRAWS = np.random.default_rng(0)
SECRET = DRAWS.normal(size=(60, 2)).astype(np.float32)
LABELS = (SECRET[:, 0] > 0).astype(int)
INPUTS = DRAWS.normal(size=(60, 5)).astype(np.float32)


@pytest.fixture
def data():
    """60 samples to be split, each with two numbers that decide its label."""
    return load_data((INPUTS, LABELS), columns={"secret": SECRET}, validation=0.25)


@pytest.fixture
def network():
    torch.manual_seed(0)
    return nn.Linear(2, 2)


def test_a_column_follows_its_samples_through_splits_and_selections(data):
    rows = {tuple(row.tolist()): torch.from_numpy(secret) for row, secret in zip(INPUTS, SECRET, strict=True)}
    for samples in (data.train, data.held_out, data.test, data.select(keep_classes=["1"], subset=5).train):
        wanted = torch.stack([rows[tuple(row.tolist())] for row in samples.inputs()])
        assert torch.equal(samples.column("secret"), wanted)
        assert torch.equal(samples.column("inputs"), samples.inputs())
    assert "column 'secret' [2] float32" in data.describe()


def test_a_batch_has_the_column_of_its_samples_and_views_change_the_inputs_alone():
    images = DRAWS.integers(0, 256, (20, 1, 8, 8), dtype=np.uint8)
    data = load_data((images, LABELS[:20]), columns={"whole": images}, validation=0)
    batch = Loader(data.train, 6, seed=0, views=Crop(2)).batch(1)
    raw = data.train.source.inputs[batch.ids]
    assert torch.equal(batch.column("whole"), raw)
    assert not torch.equal(batch.column("inputs"), raw)
    assert torch.equal(batch.read(Pixels(4, column="whole")), Pixels(4)(raw))
    assert batch.read(AsIs("whole")) is batch.read(AsIs("whole"))
    for part in (batch.part(2, 5), batch.rows(torch.tensor([4, 0]))):
        assert torch.equal(part.column("whole"), data.train.source.inputs[part.ids])


def test_only_data_with_columns_have_another_fingerprint(data):
    plain = load_data((INPUTS, LABELS), validation=0.25)
    other = load_data((INPUTS, LABELS), columns={"secret": SECRET + 1}, validation=0.25)
    named = load_data((INPUTS, LABELS), columns={"hidden": SECRET}, validation=0.25)
    found = [one.train.source.fingerprint() for one in (plain, data, other, named)]
    assert len(set(found)) == 4
    assert found[0] == load_data((INPUTS, LABELS), columns={}, validation=0.25).train.source.fingerprint()
    again = load_data((INPUTS, LABELS), columns={"secret": SECRET}, validation=0.25)
    assert again.fingerprints() == data.fingerprints()


def test_a_teacher_reads_the_column_that_its_reader_names(data, network):
    teacher = Module(network, reader="AsIs('secret')")
    batch = Loader(data.train, 7, seed=0).batch(0)
    wanted = network(torch.as_tensor(data.train.source.column("secret")[batch.ids]))
    assert torch.equal(teacher.targets(batch).logits(), wanted)
    assert teacher.knows(data.test)
    assert teacher.fingerprint() != Module(network).fingerprint()


@pytest.mark.parametrize("targets", ["online", "memory", "store"])
def test_a_student_learns_from_a_teacher_of_another_column(tmp_path, data, network, targets):
    teacher = Module(network, reader="AsIs('secret')")
    run = instar.distill(
        data, teacher, MLP([]), out=tmp_path / "run", epochs=3, objective="SoftTargets(2)", targets=targets
    )
    # the same targets, given by hand: the teacher's logits become the inputs of a teacher that returns them
    logits = network(torch.from_numpy(SECRET)).detach().numpy()
    given = load_data((INPUTS, LABELS), columns={"logits": logits}, validation=0.25)
    by_hand = Module(nn.Identity(), reader="AsIs('logits')")
    again = instar.distill(given, by_hand, MLP([]), out=tmp_path / "hand", epochs=3, objective="SoftTargets(2)")
    torch.testing.assert_close(run.model.state_dict(), again.model.state_dict(), rtol=1e-5, atol=1e-6)
    assert run.metrics["teacher_error"] == instar.evaluate(teacher, data=data)["error"]


def test_a_store_of_its_targets_teaches_without_it(tmp_path, data, network):
    teacher = Module(network, reader="AsIs('secret')")
    store = instar.label(data, teacher, out=tmp_path / "targets")
    assert isinstance(store, TargetStore)
    arms = [
        instar.distill(data, one, MLP([4]), out=tmp_path / name, epochs=2, temperature=2)
        for name, one in (("stored", tmp_path / "targets"), ("online", teacher))
    ]
    for name, value in arms[0].model.state_dict().items():
        torch.testing.assert_close(value, arms[1].model.state_dict()[name], rtol=1e-3, atol=1e-3)  # float16 on disk


def test_a_run_that_was_trained_on_the_column_teaches_from_it(tmp_path, data):
    run = instar.train(load_data((SECRET, LABELS), validation=0.25), MLP([8]), out=tmp_path / "teacher", epochs=30)
    teacher = Module(run.model, run.classes, reader="AsIs('secret')")
    assert instar.evaluate(teacher, data=data)["errors"] == run.metrics["errors"]
    student = instar.distill(data, teacher, MLP([8]), out=tmp_path / "student", epochs=2)
    assert student.metrics["teacher_error"] == run.metrics["error"]


def test_a_column_of_the_training_samples_alone_is_enough(tmp_path, network):
    given = {"train": (INPUTS[:40], LABELS[:40]), "test": (INPUTS[40:], LABELS[40:])}
    data = load_data(given, columns={"secret": {"train": SECRET[:40]}}, validation=0)
    teacher = Module(network, reader="AsIs('secret')")
    assert teacher.knows(data.train)
    assert not teacher.knows(data.test)
    run = instar.distill(data, teacher, MLP([]), out=tmp_path / "run", epochs=1)
    assert run.metrics.get("teacher_error") is None
    with pytest.raises(DataError, match="has no column 'secret'; known are: inputs"):
        instar.evaluate(teacher, data=data)


def test_columns_of_positions_are_cut_with_their_batch():
    lengths, labels = torch.tensor([2, 3, 1]), torch.tensor([[0, 1, -1, -1], [1, 1, 0, -1], [0, -1, -1, -1]])
    held = {"secret": Held(torch.arange(12.0).reshape(3, 4, 1))}
    source = Source("frames", torch.zeros(3, 4, 2), labels, ("a", "b"), lengths=lengths, columns=held)
    batch = next(Loader(instar.data.Samples.all_of(source), 2, seed=0).in_order())
    assert batch.column("secret")[..., 0].tolist() == [[0, 1, 2], [4, 5, 6]]
    with pytest.raises(DataError, match=r"must be \[samples, 4, ...\]; got \[3, 5\]"):
        Source("frames", torch.zeros(3, 4, 2), labels, ("a", "b"), columns={"secret": Held(torch.zeros(3, 5))})


def test_its_reader_comes_back_from_its_text():
    assert str(AsIs()) == "AsIs()"
    assert "column" not in str(Pixels(8))  # as versions without columns wrote it
    for reader in (AsIs("secret"), AsIs("it's"), Pixels(8, column="whole")):
        assert parse_reader(str(reader)) == reader
    with pytest.raises(ConfigError, match=r"AsIs\(column\) must be a text, got 3"):
        parse_reader("AsIs(3)")


@pytest.mark.parametrize(
    ("columns", "sentence"),
    [
        ({"secret": SECRET[:9]}, "60 inputs but 9 rows of the column 'secret'"),
        ({"secret": LABELS[:, None]}, "holds whole numbers .int64.; give pixels"),
        ({"secret": LABELS.astype(float)}, "at least one feature axis"),
        ({"secret": np.full((60, 2), np.nan)}, "sample 0 of 'train, column secret' has NaN"),
        ({"secret": {"train": SECRET, "test": SECRET}}, "column 'secret' names an unknown split 'test'"),
        ({"inputs": SECRET}, "has a column 'inputs' already"),
        (SECRET, "columns must be arrays by name and split"),
    ],
)
def test_a_column_that_does_not_fit_is_refused(columns, sentence):
    with pytest.raises(DataError, match=sentence):
        load_data((INPUTS, LABELS), columns=columns)


def test_two_splits_need_a_column_each():
    arrays = (INPUTS[:40], LABELS[:40], INPUTS[40:], LABELS[40:])
    with pytest.raises(DataError, match=r"expected one column 'secret' per split, columns=\{'secret': \{'train'"):
        load_data(arrays, columns={"secret": SECRET})
    pair = load_data(arrays, columns={"secret": (SECRET[:40], SECRET[40:])}, validation=0)
    assert torch.equal(pair.test.column("secret"), torch.from_numpy(SECRET[40:]))
    with pytest.raises(DataError, match="same shape in all splits"):
        load_data(arrays, columns={"secret": (SECRET[:40], SECRET[40:, :1])})


def test_a_table_may_be_a_column():
    table = pandas.DataFrame(SECRET, columns=["depth", "price"])
    data = load_data((INPUTS, LABELS), columns={"secret": table}, validation=0)
    assert torch.equal(data.train.column("secret"), load_data((SECRET, LABELS), validation=0).train.inputs())


def test_a_student_may_not_read_it(tmp_path, data, network):
    with pytest.raises(ConfigError, match=r"a student must read the inputs.*'secret'"):
        instar.train(data, MLP([4]), out=tmp_path / "run", reader="AsIs('secret')")
    with pytest.raises(ConfigError, match=r"a student must read the inputs.*'secret'"):
        instar.train(data, Normalised(network, torch.zeros(2), torch.ones(2), AsIs("secret")), out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_missing_column_is_named_before_there_is_a_folder(tmp_path, data, network):
    with pytest.raises(DataError, match="has no column 'secrets'; did you mean 'secret'"):
        instar.distill(data, Module(network, reader="AsIs('secrets')"), MLP([4]), out=tmp_path / "run")
    assert not (tmp_path / "run").exists()
    with pytest.raises(MismatchError, match="batches of a Loader"):
        Batch.of_labels(torch.tensor([0])).column("secret")


def test_a_column_of_mixed_samples_is_refused(tmp_path, data, network):
    teacher = Module(network, reader="AsIs('secret')")
    with pytest.raises(MismatchError, match="mix the inputs of two samples, and column 'secret' is not mixed"):
        instar.distill(data, teacher, MLP([4]), out=tmp_path / "run", epochs=1, views="Mixup(1)")
