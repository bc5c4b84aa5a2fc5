"""Offsets of classes: each rule reaches what it promises."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from instar.errors import ConfigError, MismatchError
from instar.training import labelled_offset, prior_offset, shift_logits


@st.composite
def problems(draw):
    """Random logits, some classes to shift, and priors."""
    classes = draw(st.integers(2, 8))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**20)))
    logits = draw(st.sampled_from([0.1, 1.0, 5.0])) * torch.randn(200, classes, generator=generator)
    logits -= draw(st.floats(0, 30)) * (torch.arange(classes) == 0)  # a class that was never shown
    named = sorted(draw(st.sets(st.integers(0, classes - 1), min_size=1, max_size=classes - 1)))
    prior = torch.softmax(torch.randn(classes, generator=generator), 0)
    return logits, named, prior


@settings(deadline=None, max_examples=40)
@given(problems())
def test_prior_rule_makes_mean_probabilities_equal_priors(problem):
    logits, named, prior = problem
    offset = prior_offset(logits, named, prior)
    found = torch.softmax(logits.double() + offset, 1).mean(0)
    np.testing.assert_allclose(found[named], prior[named], atol=1e-5)
    others = [index for index in range(len(prior)) if index not in named]
    assert (offset[others] == 0).all()


def test_prior_rule_raises_a_class_whose_probabilities_underflow():
    logits = torch.randn(100, 3) - torch.tensor([0.0, 2000.0, 0.0])
    offset = prior_offset(logits, [1], torch.tensor([0.5, 0.25, 0.25]))
    assert torch.softmax(logits.double() + offset, 1).mean(0)[1] == pytest.approx(0.25, abs=1e-4)


@pytest.mark.parametrize("prior", [[0.5, 0.5, 0.0], [0.0, 0.5, 0.5]])
def test_impossible_priors_are_refused(prior):
    with pytest.raises(ConfigError, match="above 0 with a sum below 1"):
        prior_offset(torch.zeros(4, 3), [0, 1], torch.tensor(prior))


@settings(deadline=None, max_examples=40)
@given(problems())
def test_no_offset_has_fewer_errors_than_the_labelled_rule(problem):
    logits, named, prior = problem
    labels = torch.multinomial(prior, len(logits), replacement=True, generator=torch.Generator().manual_seed(0))
    offset = labelled_offset(logits, labels, named)
    assert offset[named].unique().numel() == 1
    assert int((offset != 0).sum()) <= len(named)

    def errors(shift: float) -> int:
        shifted = logits.double()
        shifted[:, named] += shift
        return int((shifted.argmax(1) != labels).sum())

    fewest = min(errors(float(shift)) for shift in np.linspace(-60, 60, 2401))
    assert errors(float(offset[named[0]])) <= fewest


def test_the_shift_is_added_to_the_last_bias():
    model = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
    inputs = torch.randn(5, 4)
    before = model(inputs)
    shift_logits(model, torch.tensor([1.0, -2.0]), inputs)
    torch.testing.assert_close(model(inputs), before + torch.tensor([1.0, -2.0]))
    with pytest.raises(MismatchError, match="3 units"):
        shift_logits(model, torch.zeros(3), inputs)


class Branches(nn.Module):
    """Has a layer that the logits do not depend on behind the one that gives them, and a factor for them."""

    def __init__(self, factor: float = 1.0) -> None:
        super().__init__()
        self.head, self.body, self.other, self.factor = nn.Linear(3, 2), nn.Linear(4, 3), nn.Linear(3, 2), factor

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return self.factor * self.head(self.body(inputs))


def test_the_shift_is_added_to_the_layer_that_gives_the_logits_wherever_it_was_registered():
    model, inputs = Branches(), torch.randn(5, 4)
    before, other = model(inputs), model.other.bias.clone()
    shift_logits(model, torch.tensor([1.0, -2.0]), inputs)
    torch.testing.assert_close(model(inputs), before + torch.tensor([1.0, -2.0]))
    assert torch.equal(model.other.bias, other)


def shared_bias() -> nn.Module:
    first, last = nn.Linear(4, 2), nn.Linear(2, 2)
    last.bias = first.bias
    return nn.Sequential(first, last)


@pytest.mark.parametrize("make", [lambda: Branches(factor=2.0), shared_bias])
def test_a_bias_that_does_not_shift_the_logits_is_left_as_it_was_and_refused(make):
    model = make()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(MismatchError, match="must end in a linear layer with a bias and 2 units"):
        shift_logits(model, torch.tensor([1.0, -2.0]), torch.randn(5, 4))
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
