"""Initial weights from a run: the same function where classes are the same, and a last layer fitted to others."""

import copy
import math
import shutil

import pytest
import torch
from tests.older import as_older
from torch import nn

from instar.config import RunConfig, validate
from instar.data import load_data
from instar.data.special import DUSTBIN
from instar.errors import InstarError, MismatchError, RunError
from instar.models import CNN, MLP, Normalised, describe_model, load_model, start_from
from instar.procedures.ensemble import ensemble
from instar.procedures.train import train
from instar.runs.files import read_json, write_tensors
from instar.runs.run import Run
from instar.stages.components import GivenObjects, resolve_components
from instar.stages.preparation import prepare
from instar.stages.stage import Stage

DIGITS = load_data("digits", subset=100)
CLASSES = DIGITS.classes
SHAPE = (1, 8, 8)
INPUTS = DIGITS.test.inputs()[:200]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return train(DIGITS, MLP([16]), out=tmp_path_factory.mktemp("start") / "run", epochs=3, learning_rate=0.02)


def fresh(classes, model=MLP):
    """A model of another initialisation, and of other statistics of its inputs."""
    arguments = [[16]] if model is MLP else [[4], 8]
    network = model(*arguments, input_shape=SHAPE, num_classes=len(classes))
    return Normalised(network, torch.full((1, 1, 1), 0.3), torch.full((1, 1, 1), 0.7))


@torch.no_grad()
def logits(model, inputs=INPUTS):
    return model.eval()(inputs)


def started(run, classes):
    model = fresh(classes)
    start_from(run, model, tuple(classes), DIGITS.train)
    return logits(model)


def test_with_the_same_classes_it_is_the_same_function(run):
    model = fresh(CLASSES)
    start_from(run, model, CLASSES, DIGITS.train)
    assert torch.equal(logits(model), logits(run.model))
    assert all(torch.equal(value, run.model.state_dict()[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize("classes", ["940", "7", "0123456798", "9876543210"])
def test_the_logits_of_fewer_classes_in_another_order_are_theirs(run, classes):
    columns = [CLASSES.index(name) for name in classes]
    torch.testing.assert_close(started(run, classes), logits(run.model)[:, columns])


@pytest.mark.parametrize("classes", [["7", "2", DUSTBIN], [DUSTBIN, "0"], ["1", "rest", "8"], [*"123456789", "x"]])
def test_the_unit_of_a_dustbin_is_nearest_to_the_logsumexp_of_the_rest(run, classes):
    model = fresh(classes)
    start_from(run, model, tuple(classes), DIGITS.train)
    left = [index for index, name in enumerate(CLASSES) if name not in classes]
    own = next(index for index, name in enumerate(classes) if name not in CLASSES)
    theirs, layer = run.model.network.layers[-1], model.network.layers[-1]
    inputs = DIGITS.train.inputs()
    found, expected = logits(model, inputs), logits(run.model, inputs)
    wrong = found[:, own] - expected[:, left].logsumexp(1)
    assert wrong.mean().abs() < 1e-4  # its bias is as good as can be
    for change in 0.01 * torch.randn(20, 17):  # and so is every weight: what is added to any makes it worse
        with torch.no_grad():
            layer.weight[own] += change[:-1]
            layer.bias[own] += change[-1]
            worse = logits(model, inputs)[:, own] - expected[:, left].logsumexp(1)
            layer.weight[own] -= change[:-1]
            layer.bias[own] -= change[-1]
        assert worse.square().mean() >= wrong.square().mean() * (1 - 1e-3)
    mean = expected[:, left].mean(1) + math.log(len(left)) - expected[:, left].logsumexp(1)
    assert len(left) == 1 or wrong.square().mean() < mean.square().mean()
    if len(left) == 1:
        torch.testing.assert_close(layer.weight[own], theirs.weight[left[0]], rtol=1e-3, atol=1e-3)
    for index, name in enumerate(classes):
        if index != own:
            torch.testing.assert_close(found[:, index], expected[:, CLASSES.index(name)])


def test_weights_of_inputs_that_are_never_active_are_those_of_the_mean(run):
    # least squares leaves them undetermined
    dead = copy.deepcopy(run.model)
    with torch.no_grad():
        dead.network.layers[-3].bias[4] = -1e3
    folder = run.path.parent / "dead"
    shutil.copytree(run.path, folder)
    as_older(folder)
    write_tensors(folder / "weights.safetensors", dead.state_dict())
    model = fresh(["7", DUSTBIN])
    start_from(Run(folder), model, ("7", DUSTBIN), DIGITS.train)
    left = [index for index, name in enumerate(CLASSES) if name != "7"]
    weight = model.network.layers[-1].weight[1, 4]
    torch.testing.assert_close(weight, run.model.network.layers[-1].weight[left, 4].mean())


def test_the_run_is_not_changed(run):
    before = {name: value.clone() for name, value in run.model.state_dict().items()}
    model = fresh(["7", DUSTBIN])
    start_from(run, model, ("7", DUSTBIN), DIGITS.train)
    nn.init.zeros_(model.network.layers[1].weight)
    again = load_model(Run(run.path)).state_dict()
    assert all(torch.equal(value, again[name]) for name, value in before.items())


@pytest.mark.parametrize(
    ("classes", "words"),
    [
        (
            ["a", "b"],
            r"run with 10 classes \(0, 1, 2, 3, 4, \.\.\.\): 2 of its 2 classes are not among them\. Keep one at least",
        ),
        (["a"], ": 1 of its 1 classes are not among them"),
        (["3", "a", "b"], ": 2 of its 3 classes are not among them"),
        ([*CLASSES, DUSTBIN], ": 1 of its 11 classes are not among them"),  # nothing is left for its unit
    ],
)
def test_classes_that_cannot_be_fitted_are_refused(run, classes, words):
    with pytest.raises(MismatchError, match=words):
        start_from(run, fresh(classes), tuple(classes), DIGITS.train)


@pytest.mark.parametrize("classes", [CLASSES, ("3", DUSTBIN)])
def test_another_architecture_is_refused(run, classes):
    wider = Normalised(
        MLP([17], input_shape=SHAPE, num_classes=len(classes)), torch.zeros(1, 1, 1), torch.ones(1, 1, 1)
    )
    for model, words in ((wider, "size mismatch"), (fresh(classes, CNN), "Missing key")):
        with pytest.raises(MismatchError, match=rf"cannot start from '{run.path}', whose model differs: .*{words}"):
            start_from(run, model, classes, DIGITS.train)


def stage(out, data, **settings):
    values = {
        "data": data.config.model_dump(),
        "model": describe_model(MLP([16])).model_dump(),
        "training": {"epochs": 1, "learning_rate": 0.02},
    }
    return Stage(validate(RunConfig, values | settings), out, GivenObjects(data), show=False)


@pytest.fixture
def initial(tmp_path):
    """Return the model that a stage would train, before the first step."""

    def of(data, **settings):
        planned = stage(tmp_path / "run", data, **settings)
        components = resolve_components(planned.config, planned.given, trust=False)
        return prepare(components, trust=False, show=False).initial.model

    return of


def test_a_run_begins_with_these_weights(run, initial):
    same = initial(DIGITS.select(subset=50), start=str(run.path))  # other samples have other statistics
    assert torch.equal(logits(same), logits(run.model))
    specialist = DIGITS.select(special_classes=["7", "2"], rest="dustbin")
    found = logits(initial(specialist, start=str(run.path)))
    torch.testing.assert_close(found[:, :2], logits(run.model)[:, [7, 2]])
    assert not torch.equal(logits(initial(DIGITS)), logits(run.model))


def test_random_numbers_of_the_training_do_not_depend_on_the_start(run, initial):
    initial(DIGITS)
    afresh = torch.get_rng_state()
    initial(DIGITS, start=str(run.path))
    assert torch.equal(torch.get_rng_state(), afresh)


def test_a_start_is_better_than_none_and_is_kept_in_the_folder(run, tmp_path):
    found = stage(tmp_path / "run", DIGITS, start=str(run.path)).run()
    assert found.metrics["nll"] < stage(tmp_path / "afresh", DIGITS).run().metrics["nll"]
    assert found.config["start"] == str(run.path)
    assert found.fingerprints["start"]
    assert "start" not in Run(tmp_path / "afresh").fingerprints
    assert found.result == stage(tmp_path / "run", DIGITS, start=str(run.path)).run().result


def test_another_start_in_the_folder_is_refused(run, tmp_path):
    for name, seed in (("first", 1), ("second", 2)):
        train(DIGITS, MLP([16]), out=tmp_path / name, epochs=1, seed=seed)
    stage(tmp_path / "run", DIGITS, start=str(tmp_path / "first")).run()
    with pytest.raises(RunError, match=r"another configuration .*start was '.*first', now '.*second'"):
        stage(tmp_path / "run", DIGITS, start=str(tmp_path / "second")).run()
    with pytest.raises(RunError, match=r"another configuration .*start was '.*first', now None"):
        stage(tmp_path / "run", DIGITS).run()
    # the same folder with other weights in it
    (tmp_path / "first").rename(tmp_path / "old")
    (tmp_path / "second").rename(tmp_path / "first")
    with pytest.raises(RunError, match=r"another configuration \(fingerprints\.start was '\w+', now '\w+'\)"):
        stage(tmp_path / "run", DIGITS, start=str(tmp_path / "first")).run()


def test_a_start_that_does_not_fit_is_refused_before_there_is_a_folder(run, tmp_path):
    others = load_data((torch.rand(30, *SHAPE), torch.arange(30) % 3))
    assert set(others.classes) < set(CLASSES)
    ensemble([run, run], DIGITS, out=tmp_path / "ensemble")
    (tmp_path / "empty").mkdir()
    unfinished = Run.start(tmp_path / "unfinished", {}, {})
    cases = [
        (tmp_path / "missing", "is not a run folder: it has no config.json"),
        (tmp_path / "empty", "is not a run folder: it has no config.json"),
        (tmp_path / "ensemble", r"weights\.safetensors' is missing"),
        (unfinished.path, "unfinished' is not complete; run its command again to finish it"),
    ]
    for path, words in cases:
        with pytest.raises(InstarError, match=words):
            stage(tmp_path / "run", DIGITS, start=str(path)).run()
    with pytest.raises(MismatchError, match=r"cannot start from .* whose model differs: .*size mismatch"):
        stage(tmp_path / "run", DIGITS, start=str(run.path), model=describe_model(MLP([9])).model_dump()).run()
    assert not (tmp_path / "run").exists()


def test_a_run_names_its_classes(run, tmp_path):
    assert run.classes == Run(run.path).classes == CLASSES
    assert list(run.classes) == read_json(run.path / "model.json")["classes"]
    with pytest.raises(RunError, match=r"has no model\.json, so its classes are unknown"):
        _ = Run.start(tmp_path / "run", {}, {}).classes
