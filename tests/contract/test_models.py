"""What every architecture keeps to. A new one is one new row in CASES."""

from itertools import pairwise

import pytest
import torch

import instar.models
from instar.config import ModelConfig
from instar.errors import ConfigError, MismatchError
from instar.models import CNN, MLP, MODELS, Architecture, ResNet, build_network, describe, last_bias


def mlp_size(inputs, widths, classes):
    layers = [inputs, *widths, classes]
    return sum((a + 1) * b for a, b in pairwise(layers))


def resnet_size(depth, width, channels, classes):
    """He et al. 2016: 9 weights per pair of channels, 2 numbers per normalised channel, option A shortcuts free."""
    total, inside = 9 * channels * width + 2 * width, width
    for stage in range(3):
        for _ in range((depth - 2) // 6):
            wider = width * 2**stage
            total += 9 * inside * wider + 9 * wider * wider + 4 * wider
            inside = wider
    return total + (inside + 1) * classes


# (description, shape of an input, parameters by a formula of its own)
CASES = [
    (MLP([]), (5,), mlp_size(5, [], 4)),
    (MLP([16, 8]), (1, 8, 8), mlp_size(64, [16, 8], 4)),
    (MLP([16], dropout=0.5, input_dropout=0.2), (1, 8, 8), mlp_size(64, [16], 4)),
    (CNN([4, 6], 10), (3, 8, 8), (27 * 4 + 8) + (36 * 6 + 12) + (6 * 4 + 1) * 10 + 11 * 4),
    (CNN([4], 10, 0.5), (1, 9, 7), (9 * 4 + 8) + (4 * 12 + 1) * 10 + 11 * 4),
    (ResNet(8, 4), (3, 8, 8), resnet_size(8, 4, 3, 4)),
    (ResNet(20, 16), (1, 8, 8), resnet_size(20, 16, 1, 4)),
]
every_model = pytest.mark.parametrize(("description", "shape", "size"), CASES, ids=lambda value: str(value)[:40])


def build(description, shape, seed=0):
    torch.manual_seed(seed)
    return build_network(describe(description), shape, 4, trust=False)


def test_every_architecture_is_listed():
    assert set(MODELS.values()) == {type(description) for description, *_ in CASES}
    exported = [getattr(instar.models, name) for name in instar.models.__all__]
    families = {thing for thing in exported if isinstance(thing, type) and issubclass(thing, Architecture)}
    assert families - {Architecture} == set(MODELS.values())


@every_model
def test_has_as_many_parameters_as_its_formula(description, shape, size):
    assert sum(p.numel() for p in build(description, shape).parameters()) == size


@every_model
def test_answers_with_logits_and_learns_by_every_parameter(description, shape, size):
    model = build(description, shape)
    logits = model(torch.rand(6, *shape))
    assert logits.shape == (6, 4)
    logits.square().sum().backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in model.parameters())


@every_model
def test_evaluation_is_deterministic_and_by_sample(description, shape, size):
    model, inputs = build(description, shape).eval(), torch.rand(5, *shape)
    assert torch.equal(model(inputs), model(inputs))
    torch.testing.assert_close(model(inputs[1:3]), model(inputs)[1:3])


@every_model
def test_initial_weights_depend_on_the_seed_alone(description, shape, size):
    first, same, other = (build(description, shape, seed).state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(first[name], same[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)


@every_model
def test_description_holds_no_weights_and_round_trips(description, shape, size):
    assert not description.is_built
    assert not list(description.parameters())
    config = describe(description)
    assert ModelConfig.model_validate_json(config.model_dump_json()) == config
    again = MODELS[config.name](**config.arguments)
    assert again.arguments == description.arguments
    assert describe(build(description, shape)) == config


@every_model
def test_last_bias_shifts_the_logits(description, shape, size):
    model, inputs = build(description, shape).eval(), torch.rand(3, *shape)
    before = model(inputs)
    with torch.no_grad():
        last_bias(model, 4).add_(torch.tensor([0.0, 2, 0, -1]))
    torch.testing.assert_close(model(inputs), before + torch.tensor([0.0, 2, 0, -1]))


@pytest.mark.parametrize("name", sorted(MODELS.keys() - {"mlp"}))
def test_networks_of_images_refuse_other_inputs(name):
    with pytest.raises(MismatchError, match=r"needs images .* got inputs of shape \[5\]"):
        build_network(ModelConfig(name=name), (5,), 4, trust=False)


@pytest.mark.parametrize("name", MODELS)
def test_unknown_arguments_are_refused_with_the_nearest(name):
    required = {"widths": [4]} if name == "mlp" else {}
    known = next(iter(MODELS[name]([4]).arguments if name == "mlp" else MODELS[name]().arguments))
    with pytest.raises(ConfigError, match=f"has no argument '{known}s?x'; did you mean '{known}'"):
        build_network(ModelConfig(name=name, arguments=required | {f"{known}x": 1}), (1, 8, 8), 4, trust=False)
