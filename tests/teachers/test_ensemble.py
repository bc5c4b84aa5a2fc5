"""Ensembles, compared with their formulas in NumPy and float64."""

import numpy as np
import pytest
import torch
from torch import nn

from instar.data import Batch
from instar.errors import ConfigError, MismatchError
from instar.teachers import Ensemble, Module, reorder_classes

VALUES = [4 * np.random.default_rng(seed).standard_normal((5, 7)) for seed in range(3)]
BATCH = Batch(torch.arange(5), 0, torch.zeros(5, 1), torch.zeros(5, dtype=torch.long))
TEMPERATURES = pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0, 20.0, 300.0])


class Fixed(nn.Module):
    """Always returns the same logits."""

    def __init__(self, values):
        super().__init__()
        self.register_buffer("values", torch.tensor(values, dtype=torch.float32))

    def forward(self, inputs):
        return self.values[: len(inputs)]


MEMBERS = [Fixed(values) for values in VALUES]


def softmax(values):
    powers = np.exp(values - values.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def probabilities(teacher, temperature):
    return teacher.targets(BATCH).log_probs(temperature).double().exp().numpy()


@TEMPERATURES
@pytest.mark.parametrize("combine", ["geometric", "arithmetic"])
def test_an_ensemble_of_one_is_its_member(combine, temperature):
    member = Module(MEMBERS[0])
    found = Ensemble([MEMBERS[0]], combine).targets(BATCH).log_probs(temperature)
    torch.testing.assert_close(found, member.targets(BATCH).log_probs(temperature), rtol=1e-6, atol=1e-6)


@TEMPERATURES
@pytest.mark.parametrize("weights", [None, [1, 1, 1], [5, 0.5, 2], [0, 3, 1]])
def test_arithmetic_is_the_mean_of_distributions_at_the_temperature_used(weights, temperature):
    shares = np.array(weights or [1, 1, 1]) / sum(weights or [1, 1, 1])
    expected = sum(w * softmax(values / temperature) for w, values in zip(shares, VALUES, strict=True))
    found = probabilities(Ensemble(MEMBERS, "arithmetic", weights), temperature)
    np.testing.assert_allclose(found, expected, rtol=2e-5)


@TEMPERATURES
@pytest.mark.parametrize("weights", [None, [5, 0.5, 2], [0, 3, 1]])
def test_geometric_is_the_mean_of_logits(weights, temperature):
    shares = np.array(weights or [1, 1, 1]) / sum(weights or [1, 1, 1])
    mean = sum(w * values for w, values in zip(shares, VALUES, strict=True))
    ensemble = Ensemble(MEMBERS, "geometric", weights)
    np.testing.assert_allclose(ensemble.targets(BATCH).logits(), mean, rtol=1e-5, atol=1e-6)
    product = np.exp(sum(w * np.log(softmax(v / temperature)) for w, v in zip(shares, VALUES, strict=True)))
    expected = product / product.sum(-1, keepdims=True)
    np.testing.assert_allclose(probabilities(ensemble, temperature), expected, rtol=2e-5)


@TEMPERATURES
def test_nested_arithmetic_ensembles_are_flat_ones(temperature):
    nested = Ensemble([Ensemble(MEMBERS[:2], "arithmetic"), MEMBERS[2]], "arithmetic", [2, 1])
    flat = Ensemble(MEMBERS, "arithmetic")
    np.testing.assert_allclose(probabilities(nested, temperature), probabilities(flat, temperature), rtol=1e-5)


@TEMPERATURES
def test_an_arithmetic_mean_of_geometric_ones(temperature):
    nested = Ensemble([Ensemble(MEMBERS[:2]), MEMBERS[2]], "arithmetic")
    inner = softmax((VALUES[0] + VALUES[1]) / 2 / temperature)
    expected = (inner + softmax(VALUES[2] / temperature)) / 2
    np.testing.assert_allclose(probabilities(nested, temperature), expected, rtol=2e-5)


def test_small_probabilities_keep_their_digits():
    sure = Fixed(np.tile([0.0, -200.0], (5, 1)))
    found = Ensemble([sure, sure], "arithmetic").targets(BATCH).log_probs(1.0)
    torch.testing.assert_close(found[:, 1], torch.full((5,), -200.0))


def test_fingerprints_tell_members_weights_and_combination_apart():
    makes = [
        Ensemble(MEMBERS),
        Ensemble(MEMBERS[:2]),
        Ensemble(MEMBERS[::-1]),
        Ensemble(MEMBERS, "arithmetic"),
        Ensemble(MEMBERS, weights=[1, 1, 2]),
    ]
    assert len({made.fingerprint() for made in makes}) == len(makes)
    assert Ensemble(MEMBERS, weights=[2, 2, 2]).fingerprint() == makes[0].fingerprint()


def test_holds_the_networks_of_all_members():
    assert Ensemble([Ensemble(MEMBERS[:2]), MEMBERS[2]]).modules() == MEMBERS


@pytest.mark.parametrize("combine", ["geometric", "arithmetic"])
def test_refuses_members_with_other_classes(combine):
    with pytest.raises(MismatchError, match=r"same classes; they have \[7, 3\]"):
        Ensemble([MEMBERS[0], Fixed(np.zeros((5, 3)))], combine).targets(BATCH)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"members": []}, "at least one teacher, got none"),
        ({"combine": "median"}, "must be 'geometric' or 'arithmetic', got 'median'"),
        ({"weights": [1, 1]}, r"one per member \(3\), got 2"),
        ({"weights": [1, -1, 1]}, "at least 0 with a sum above 0"),
        ({"weights": [0, 0, 0]}, "at least 0 with a sum above 0"),
        ({"weights": [1, float("nan"), 1]}, "at least 0 with a sum above 0"),
        ({"weights": [1, float("inf"), 1]}, "at least 0 with a sum above 0"),
        ({"members": [3]}, "must be a torch module, .* got int"),
    ],
)
def test_refuses_in_words(arguments, message):
    with pytest.raises(ConfigError, match=message):
        Ensemble(**{"members": MEMBERS} | arguments)


@pytest.mark.parametrize("combine", ["geometric", "arithmetic"])
@pytest.mark.parametrize("first", ["named", "unnamed", "numbers"])
def test_members_without_names_keep_the_order_of_the_data(combine, first):
    names = tuple("abcdefg")
    order = [6, 0, 3, 2, 5, 1, 4]
    named = Module(Fixed(VALUES[0][:, order]), tuple(names[at] for at in order))
    others = {"unnamed": Module(MEMBERS[1]), "numbers": Module(MEMBERS[2], tuple("0123456"))}
    members = {"named": named, **others}
    chosen = [members.pop(first), *members.values()]
    found = probabilities(reorder_classes(Ensemble(chosen, combine), names), 2.0)
    expected = probabilities(Ensemble(MEMBERS, combine), 2.0)
    np.testing.assert_allclose(found, expected, rtol=2e-5)
    nested = Ensemble([Ensemble(chosen, combine), Ensemble(chosen[::-1], combine)], combine)
    np.testing.assert_allclose(probabilities(reorder_classes(nested, names), 2.0), expected, rtol=2e-5)
