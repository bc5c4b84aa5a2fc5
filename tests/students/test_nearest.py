"""Prototypes hold the best logits of their cells, and follow a teacher better than those that vote for one class."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

import instar
from instar.data import load_data
from instar.data.batch import Batch
from instar.errors import InstarError
from instar.models import Nearest
from instar.objectives import parse_objective
from instar.students.examples import Examples, Part
from instar.students.nearest import NearestStudent
from instar.targets import DenseTargets

forests = pytest.importorskip("sklearn.ensemble")


def test_each_prototype_has_the_mean_targets_of_its_cell(tmp_path):
    data = load_data("digits", subset=300)
    rows = data.train.inputs().flatten(1).numpy()
    teacher = forests.RandomForestClassifier(20, min_samples_leaf=2, random_state=0)
    teacher.fit(rows, data.train.labels.numpy())
    model = Nearest(4, smoothing=0.0)
    run = instar.distill(data, teacher, model, out=tmp_path / "run", objective="SoftTargets(1)", show=False)
    network = run.model.network
    read = run.model.prepare(data.train.inputs()).flatten(1)
    distances = torch.cdist(read.double(), network.centres.double())
    cells = network.find_nearest(read)
    assert torch.equal(cells, distances.argmin(1))
    taught = np.clip(teacher.predict_proba(rows), 1e-6, None)
    taught /= taught.sum(1, keepdims=True)
    found = run.model(data.train.inputs()).softmax(1).numpy()
    for cell in set(cells.tolist()):
        inside = (cells == cell).numpy()
        np.testing.assert_allclose(found[inside][0], taught[inside].mean(0), atol=1e-5)
    assert (run.result["prototypes"], run.result["parameters"]) == (40, 40 * 74)
    assert run.metrics["error"] < 0.25
    again = instar.load(tmp_path / "run")(data.test.inputs())
    assert torch.equal(again, run.model(data.test.inputs()))
    tensors = dict(run.tensors("weights.safetensors")[0])
    tensors["network.logits"] = tensors["network.logits"][:, :3]
    with pytest.raises(RuntimeError, match="prototypes must have the shapes"):
        network.load_state_dict({name.removeprefix("network."): t for name, t in tensors.items() if "network" in name})
    with pytest.raises(InstarError, match="a model of prototypes cannot minimise DecoupledKD"):
        instar.distill(data, teacher, "nearest", out=tmp_path / "no", objective="DecoupledKD()", show=False)


def test_a_weight_is_as_many_rows():
    torch.manual_seed(0)
    rows, logits, counts = torch.randn(90, 3), torch.randn(90, 2), torch.randint(4, (90,))

    def fit(at, samples=None):
        batch = Batch.of_labels(torch.arange(len(at)) % 2)
        examples = Examples([Part(batch, rows[at], DenseTargets(logits[at]), samples).counted()], 2)
        model = Nearest(5, input_shape=(3,), num_classes=2)
        NearestStudent().fit(model, examples, SimpleNamespace(objective=parse_objective("SoftTargets(1)"), seed=0))
        return model(rows)

    weighed, repeated = fit(torch.arange(90), counts.double()), fit(torch.arange(90).repeat_interleave(counts))
    torch.testing.assert_close(weighed, repeated, atol=1e-5, rtol=0)
    assert (weighed - fit(torch.arange(90))).abs().max() > 0.1
