"""The prior correction gives the true probabilities back that a half-and-half epoch has moved."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from instar.config import RunConfig, validate
from instar.data import load_data
from instar.errors import ConfigError, MismatchError
from instar.models import MLP, describe_model
from instar.stages.components import GivenObjects
from instar.stages.stage import Stage
from instar.teachers import Module
from instar.training import predict
from instar.training.bias import to_prior

ASLEEP = {"epochs": 1, "batch_size": 10_000, "optimiser": "sgd", "learning_rate": 1e-12}
SYMBOLS = torch.eye(4)
COUNTS = 5 * torch.tensor(  # [symbol, class]: how often each symbol is each class; 3 and 1 are rare
    [[90, 30, 60, 20], [200, 5, 80, 15], [40, 10, 300, 10], [100, 25, 100, 25]]
)


def samples_of(counts, **selection):
    """Return data that hold each pair of a symbol and a class as often as `counts` says, and each symbol for a test."""
    symbols, labels = ((counts > 0).nonzero()).repeat_interleave(counts[counts > 0], 0).T
    inputs = torch.eye(len(counts))
    tests = (inputs, torch.zeros(len(counts), dtype=torch.int64))
    return load_data((inputs[symbols], labels, *tests), validation=0, **selection)


def truth(counts, special, rest):
    """Return the probabilities of the classes that a specialist has, `[symbols, classes]`, from the counts."""
    if rest == "dustbin":
        others = [index for index in range(counts.shape[1]) if index not in special]
        counts = torch.cat([counts[:, special], counts[:, others].sum(1, keepdim=True)], 1)
    return counts.double() / counts.sum(1, keepdim=True)


@st.composite
def problems(draw):
    """Counts of symbols and classes, and which classes are special."""
    symbols, classes = draw(st.integers(1, 5)), draw(st.integers(2, 6))
    random = np.random.default_rng(draw(st.integers(0, 2**20)))
    counts = torch.from_numpy(random.integers(1, draw(st.sampled_from([3, 30])), (symbols, classes)))
    special = draw(st.lists(st.integers(0, classes - 1), min_size=1, max_size=classes - 1, unique=True))
    return counts, special, draw(st.sampled_from(["labelled", "dustbin"]))


@settings(deadline=None, max_examples=40, derandomize=True)
@given(problems())
def test_is_what_bayes_rule_asks_for(problem):
    counts, special, rest = problem
    expected = truth(counts, special, rest)
    train = samples_of(counts, special_classes=[str(index) for index in special], rest=rest).train
    # what a specialist learns: each special sample comes once in an epoch, each other one S / R times
    number = counts[:, special].sum()
    weights = torch.full((expected.shape[1],), float(number) / float(counts.sum() - number), dtype=torch.float64)
    weights[special if rest == "labelled" else list(range(len(special)))] = 1.0
    learnt = (expected * weights).log()  # up to a constant of each symbol
    torch.testing.assert_close(torch.softmax(learnt + to_prior(train), 1), expected, atol=1e-6, rtol=0)


def test_the_offset_is_the_logarithm_of_the_proportion_by_which_special_samples_are_too_many():
    special = samples_of(COUNTS, special_classes=["3", "1"]).train
    odds = (COUNTS[:, 0].sum() + COUNTS[:, 2].sum()) / (COUNTS[:, 1].sum() + COUNTS[:, 3].sum())
    by_hand = math.log(odds)
    assert to_prior(special).tolist() == pytest.approx([by_hand, 0, by_hand, 0])
    dustbin = samples_of(COUNTS, special_classes=["3", "1"], rest="dustbin").train
    assert to_prior(dustbin).tolist() == pytest.approx([0, 0, by_hand])


def test_halves_that_are_halves_need_no_correction():
    even = samples_of(torch.full((3, 4), 5), special_classes=["0", "2"]).train
    assert (to_prior(even) == 0).all()


def train_on(data, out, **changes):
    training = {"epochs": 300, "batch_size": 10_000, "optimiser": "sgd", "learning_rate": 0.5, "log_every": 300}
    values = {
        "data": data.config.model_dump(),
        "model": describe_model(MLP([])).model_dump(),
        "training": training | {"checkpoint_seconds": 1e6},
    }
    return Stage(validate(RunConfig, values | changes), out, GivenObjects(data), show=False).run()


def probabilities(run, data):
    return torch.softmax(predict(Module(run.model), data.test).double(), 1)


@pytest.mark.parametrize(("special", "rest"), [([3, 1], "dustbin"), ([3, 1], "labelled"), ([0, 2, 3], "labelled")])
def test_a_trained_specialist_has_the_true_probabilities(tmp_path, special, rest):
    data = samples_of(COUNTS, special_classes=[str(index) for index in special], rest=rest)
    run = train_on(data, tmp_path / "run", correct_prior=True)
    # which samples of the rest come last is drawn, and leaves some thousandths
    torch.testing.assert_close(probabilities(run, data), truth(COUNTS, special, rest), atol=0.01, rtol=0)


def test_without_the_correction_it_has_them_not(tmp_path):
    data = samples_of(COUNTS, special_classes=["3", "1"], rest="dustbin")
    plain, corrected = (train_on(data, tmp_path / str(on), correct_prior=on) for on in (False, True))
    assert (probabilities(plain, data) - truth(COUNTS, [3, 1], "dustbin")).abs().max() > 0.15
    moved = predict(Module(corrected.model), data.test) - predict(Module(plain.model), data.test)
    torch.testing.assert_close(moved, to_prior(data.train).expand_as(moved), atol=1e-5, rtol=0)


@pytest.mark.parametrize("rest", ["dustbin", "labelled"])
def test_one_that_learns_nothing_answers_as_the_run_that_it_starts_from(tmp_path, rest):
    before = train_on(samples_of(COUNTS), tmp_path / "before")
    data = samples_of(COUNTS, special_classes=["3", "1"], rest=rest)
    asleep = train_on(data, tmp_path / "run", correct_prior=True, start=str(before.path), training=ASLEEP)
    expected = probabilities(before, data)
    if rest == "dustbin":  # whose unit is fitted, and here there are as many inputs as symbols
        expected = torch.cat([expected[:, [3, 1]], expected[:, [0, 2]].sum(1, keepdim=True)], 1)
    torch.testing.assert_close(probabilities(asleep, data), expected, atol=1e-5, rtol=0)


def test_hidden_labels_do_not_move_it(tmp_path):
    data = samples_of(COUNTS, special_classes=["3", "1"], drop_labels=0.5)
    inputs, labels = data.train.inputs().argmax(1), data.train.labels
    known = torch.zeros(4, 4)
    known.index_put_((inputs[labels >= 0], labels[labels >= 0]), torch.ones(()), accumulate=True)
    run = train_on(data, tmp_path / "run", correct_prior=True)
    torch.testing.assert_close(probabilities(run, data), truth(known, [3, 1], "labelled"), atol=0.02, rtol=0)


def test_a_correction_without_special_classes_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"correct_prior needs data\.special_classes or data\.balanced, got"):
        train_on(samples_of(COUNTS), tmp_path / "run", correct_prior=True)


def test_a_model_without_a_last_bias_is_refused_before_it_is_trained(tmp_path):
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 10, bias=False))
    values = {
        "data": {"source": "digits", "special_classes": ["3"]},
        "model": {"name": "x:y"},
        "correct_prior": True,
        "training": {"epochs": 2},
    }
    with pytest.raises(MismatchError, match="must end in a linear layer with a bias and 10 units to have its prior"):
        Stage(validate(RunConfig, values), tmp_path / "run", GivenObjects(network=network)).run()
    assert not (tmp_path / "run").exists()
