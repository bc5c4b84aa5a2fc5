"""Readers that learn from the training samples: what they know travels with the model."""

import json

import numpy as np
import pytest
import torch

import instar
from instar.data import load_data
from instar.errors import ConfigError, RunError
from instar.models.readers import Named, parse_reader
from instar.runs.run import Run
from instar.teachers import as_teacher

CODE = '''
from dataclasses import dataclass, field, replace

import torch

from instar.models.readers import Reader


@dataclass(frozen=True, repr=False)
class Cut(Reader):
    """Cuts off what is above the mean of the training samples."""

    column: str = "inputs"
    mean: tuple = field(default=None, init=False, repr=False)

    def fitted(self, samples):
        return self if self.mean else self.with_knowledge({"mean": samples.column(self.column).mean(0).tolist()})

    def knowledge(self):
        return self.mean and {"mean": list(self.mean)}

    def with_knowledge(self, knowledge):
        found = replace(self)
        object.__setattr__(found, "mean", tuple(knowledge["mean"]))
        return found

    def sizes(self):
        return {"num_limits": len(self.mean)}

    def __call__(self, inputs):
        return inputs.minimum(torch.tensor(self.mean))

    def shape(self, given):
        return given


class Sized(torch.nn.Linear):
    def __init__(self, num_limits, num_classes):
        super().__init__(num_limits, num_classes)
'''


@pytest.fixture
def data(write_module, monkeypatch):
    monkeypatch.syspath_prepend(write_module("cutting", CODE))
    draws = np.random.default_rng(0)
    inputs = draws.normal(5, 1, (60, 3)).astype(np.float32)
    return load_data((inputs, (inputs[:, 0] > 5).astype(int)), validation=0.25)


@pytest.fixture
def run(data, tmp_path):
    return instar.train(data, "cutting:Sized", out=tmp_path / "run", reader="cutting:Cut()", epochs=2, trust=True)


def test_a_reader_learns_from_the_training_samples_alone_and_its_run_knows_it_again(run, data):
    mean = data.train.inputs().mean(0)
    assert json.loads((run.path / "reader.json").read_text())["knowledge"]["mean"] == mean.tolist()
    model = instar.load(run, trust=True)
    inputs = data.test.inputs()
    wanted = model.network((inputs.minimum(mean) - model.mean) / model.std)
    torch.testing.assert_close(model(inputs), wanted)
    assert run.config["reader"] == str(model.reader) == "cutting:Cut()"
    assert "reader.json" in run.finished


def test_an_export_holds_what_the_reader_knows(run, data, tmp_path):
    instar.export(run, "safetensors", out=tmp_path / "model.safetensors", data=data, trust=True)
    exported, model = instar.load(tmp_path / "model.safetensors", trust=True), instar.load(run, trust=True)
    assert exported.reader == model.reader
    assert torch.equal(exported(data.test.inputs()), model(data.test.inputs()))


def test_a_teacher_is_known_by_what_its_reader_knows(run, data):
    teacher = as_teacher(run, trust=True)
    [model] = teacher.modules()
    before = teacher.fingerprint()
    model.reader = model.reader.with_knowledge({"mean": [0.0, 0.0, 0.0]})
    assert as_teacher(model).fingerprint() != before


def test_a_run_that_starts_from_another_reads_as_that_one(run, data, tmp_path):
    others = data.select(subset=20)
    more = instar.train(
        others,
        "cutting:Sized",
        out=tmp_path / "more",
        reader="cutting:Cut()",
        start=run,
        epochs=1,
        trust=True,
    )
    assert instar.load(more, trust=True).reader == instar.load(run, trust=True).reader


def test_a_file_that_is_gone_or_of_another_reader_is_named(run):
    with pytest.raises(ConfigError, match="learns nothing"):
        parse_reader("AsIs()").with_knowledge({"mean": []})
    (run.path / "reader.json").unlink()
    with pytest.raises(RunError, match=r"reader\.json"):
        instar.load(Run(run.path), trust=True)


def test_the_parts_of_several_inputs_learn_each_for_themselves(data):
    one = parse_reader("cutting:Cut()", trust=True)
    reader = Named(x=one, y=parse_reader("AsIs()")).fitted(data.train)
    assert reader.knowledge() == {"x": {"mean": data.train.inputs().mean(0).tolist()}}
    assert Named(x=one, y=parse_reader("AsIs()")).with_knowledge(reader.knowledge()) == reader
