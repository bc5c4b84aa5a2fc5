"""What every architecture keeps to. A new one is one new row in CASES."""

from itertools import pairwise

import pytest
import torch

import instar.models
from instar.config import ModelConfig
from instar.errors import ConfigError, MismatchError
from instar.models import (
    CNN,
    LSTM,
    MLP,
    MODELS,
    VGG,
    Architecture,
    Bag,
    BANResNet,
    CharacterLSTM,
    DenseNet,
    Fitted,
    FrameNet,
    Linear,
    PreActivationResNet,
    ResNet,
    TextLSTM,
    TextTransformer,
    WideResNet,
    build_network,
    describe_model,
    last_layer,
)
from instar.models.word_network import WordNetwork


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


def pre_activation_size(channels, wider, inner=None):
    """BN before each convolution; a projection where the width changes; 3x3, or 1x1 - 3x3 - 1x1 with `inner`."""
    free = 0 if channels == wider else channels * wider
    if inner is None:
        return 2 * (channels + wider) + 9 * wider * (channels + wider) + free
    return 2 * (channels + 2 * inner) + inner * (channels + 9 * inner + wider) + free


def three_stages_size(stem, widths, units, channels, classes, inner=lambda width: None):
    """Stem, stages that begin with a change of width, the last BN, logits."""
    total, inside = 9 * channels * stem, stem
    for width in widths:
        total += pre_activation_size(inside, width, inner(width))
        total += (units - 1) * pre_activation_size(width, width, inner(width))
        inside = width
    return total + 2 * inside + (inside + 1) * classes


def dense_size(units, growth, stem, kept, channels, classes):
    """`kept`: channels after each transition. A unit: BN, 4k 1x1 convolutions, BN, k 3x3 convolutions."""
    total, inside = 9 * channels * stem, stem
    for number, count in enumerate(units):
        seen = sum(inside + unit * growth for unit in range(count))
        total += seen * (2 + 4 * growth) + count * (8 * growth + 36 * growth**2)
        inside += count * growth
        if number < len(kept):
            total += inside * (2 + kept[number])
            inside = kept[number]
    return total + 2 * inside + (inside + 1) * classes


def vgg_size(width, numbers, channels, classes):
    """Groups of 3x3 convolutions with BN, and logits."""
    total = 0
    for group, number in enumerate(numbers):
        for _ in range(number):
            total += 9 * channels * (wider := width * min(2**group, 8)) + 2 * wider
            channels = wider
    return total + (channels + 1) * classes


def lstm_size(classes, units, layers):
    """The embedding, which is the output too; four gates of W x + b + U h + d per layer; the bias of the output."""
    return classes * units + layers * 4 * (2 * units * units + 2 * units) + classes


WORDS = 4  # of the vocabulary of networks that read words
SIZES = {"vocabulary_size": WORDS}

# (description, shape of an input, parameters by a formula of its own)
CASES = [
    (MLP([]), (5,), mlp_size(5, [], 4)),
    (MLP([16, 8]), (1, 8, 8), mlp_size(64, [16, 8], 4)),
    (MLP([16], dropout=0.5, input_dropout=0.2), (1, 8, 8), mlp_size(64, [16], 4)),
    (Linear(), (3, 8, 8), mlp_size(192, [], 4)),
    (Linear(input_dropout=0.2), (5,), mlp_size(5, [], 4)),
    (CNN([4, 6], 10), (3, 8, 8), (27 * 4 + 8) + (36 * 6 + 12) + (6 * 4 + 1) * 10 + 11 * 4),
    (CNN([4], 10, 0.5), (1, 9, 7), (9 * 4 + 8) + (4 * 12 + 1) * 10 + 11 * 4),
    (ResNet(8, 4), (3, 8, 8), resnet_size(8, 4, 3, 4)),
    (ResNet(20, 16), (1, 8, 8), resnet_size(20, 16, 1, 4)),
    (WideResNet(10), (3, 8, 8), three_stages_size(16, [16, 32, 64], 1, 3, 4)),
    (WideResNet(16, 2, 0.3), (1, 8, 8), three_stages_size(16, [32, 64, 128], 2, 1, 4)),
    (PreActivationResNet(14, 4), (3, 9, 7), three_stages_size(4, [4, 8, 16], 2, 3, 4)),
    (
        PreActivationResNet(11, 4, True),
        (1, 8, 8),
        three_stages_size(4, [16, 32, 64], 1, 1, 4, lambda width: width // 4),
    ),
    (VGG(8, 2), (3, 8, 8), vgg_size(2, [1] * 5, 3, 4)),
    (VGG(13, 3), (1, 9, 8), vgg_size(3, [2] * 5, 1, 4)),
    (DenseNet(16, 4), (3, 8, 8), dense_size([2] * 3, 4, 8, [8, 8], 3, 4)),
    (
        DenseNet(units=[1, 3], growth=3, compression=0.7, stem=5, third_transition=True),
        (1, 8, 8),
        dense_size([1, 3], 3, 5, [5, 9], 1, 4),
    ),
    (BANResNet(1, 0.5, stem=4, widths=[4, 6]), (3, 8, 8), 108 + (128 + 12) + (215 + 24) + 12 + 28),
    (BANResNet(2, 2, stem=6, widths=[4], bottleneck=True), (1, 8, 8), 54 + (20 + 64 + 48) + (24 + 68) + 48 + 8 + 20),
    (LSTM(6, 2, 0.5), (9,), lstm_size(4, 6, 2)),
    (
        CharacterLSTM(6, 2, 0.5, 3, [[1, 4], [2, 5]], 2),
        (9,),
        # letters 0 to 3, begin, end and none; filters; highways; layers; output
        7 * 3 + (3 + 1) * 4 + (6 + 1) * 5 + 2 * 2 * 90 + 24 * (9 + 6 + 2) + 24 * (6 + 6 + 2) + 7 * 4,
    ),
    (LSTM(6, 1, tied=False), (9,), lstm_size(4, 6, 1) + 24),
    (FrameNet([16, 8], (3, 1)), (9, 6), mlp_size(5 * 6, [16, 8], 4)),
    (FrameNet([16], dropout=0.5, input_dropout=0.2), (7, 2), mlp_size(26 * 2, [16], 4)),
    (Bag(6), (9,), WORDS * 6 + 7 * 4),
    (Bag(6, [5], 0.5), (9,), WORDS * 6 + 7 * 5 + 6 * 4),
    (TextLSTM(5, 6, 0.5), (9,), WORDS * 6 + 2 * 4 * 5 * (6 + 5 + 2) + 11 * 4),
    (TextTransformer(2, 8, 2), (9,), WORDS * 8 + 2 * (2 * 16 + 9 * 24 + 9 * 8 + 9 * 32 + 33 * 8) + 16 + 9 * 4),
]
FITTED_MODELS = {name for name, family in MODELS.items() if issubclass(family, Fitted)}
TEXT_MODELS = {name for name, family in MODELS.items() if issubclass(family, WordNetwork)}
every_model = pytest.mark.parametrize(("description", "shape", "size"), CASES, ids=lambda value: str(value)[:40])


def some(count, description, shape):
    """Inputs for a model: tokens for those of text."""
    return (
        torch.randint(4, (count, *shape))
        if isinstance(description, LSTM | CharacterLSTM | WordNetwork)
        else torch.rand(count, *shape)
    )


def build(description, shape, seed=0):
    torch.manual_seed(seed)
    return build_network(describe_model(description), shape, 4, trust=False, sizes=SIZES)


def test_every_architecture_is_listed():
    fitted = {MODELS[name] for name in FITTED_MODELS}  # which have a contract of their own
    assert set(MODELS.values()) - fitted == {type(description) for description, *_ in CASES}
    exported = [getattr(instar.models, name) for name in instar.models.__all__]
    families = {thing for thing in exported if isinstance(thing, type) and issubclass(thing, Architecture)}
    assert families - {Architecture, Fitted} == set(MODELS.values())


@every_model
def test_has_as_many_parameters_as_its_formula(description, shape, size):
    assert sum(p.numel() for p in build(description, shape).parameters()) == size


@every_model
def test_answers_with_logits_and_learns_by_every_parameter(description, shape, size):
    model = build(description, shape)
    logits = model(some(6, description, shape))
    assert (len(logits), logits.shape[-1]) == (6, 4)
    logits.square().sum().backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in model.parameters())


@every_model
def test_features_lead_to_the_logits_of_forward(description, shape, size):
    model, inputs = build(description, shape).eval(), some(3, description, shape)
    logits, features = model.features(inputs)
    assert torch.equal(logits, model(inputs))
    assert "logits" not in features
    assert all(len(feature) == 3 for feature in features.values())
    # what came before the last linear layer, put through it
    *_, (_, last) = model.groups()
    if features:
        torch.testing.assert_close(last(list(features.values())[-1]), logits)


@every_model
def test_a_description_cannot_be_called(description, shape, size):
    for call in (description, description.features):
        with pytest.raises(ConfigError, match="has no layers yet; train it, or give input_shape"):
            call(some(3, description, shape))


@every_model
def test_evaluation_is_deterministic_and_by_sample(description, shape, size):
    model, inputs = build(description, shape).eval(), some(5, description, shape)
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
    config = describe_model(description)
    assert ModelConfig.model_validate_json(config.model_dump_json()) == config
    again = MODELS[config.name](**config.arguments)
    assert again.arguments == description.arguments
    assert describe_model(build(description, shape)) == config


@every_model
def test_the_bias_of_the_last_layer_shifts_the_logits(description, shape, size):
    model, inputs = build(description, shape).eval(), some(3, description, shape)
    before = model(inputs)
    with torch.no_grad():
        last_layer(model, 4, "be shifted", inputs)[1].bias.add_(torch.tensor([0.0, 2, 0, -1]))
    torch.testing.assert_close(model(inputs), before + torch.tensor([0.0, 2, 0, -1]))


@pytest.mark.parametrize(
    "name",
    sorted(MODELS.keys() - {"mlp", "linear", "frame-net", "lstm", "character-lstm"} - TEXT_MODELS - FITTED_MODELS),
)
def test_networks_of_images_refuse_other_inputs(name):
    with pytest.raises(MismatchError, match=r"needs images .* got inputs of shape \[5\]"):
        build_network(ModelConfig(name=name), (5,), 4, trust=False)


# parameters of an estimator are those of its library
@pytest.mark.parametrize("name", [name for name in MODELS if name != "estimator"])
def test_unknown_arguments_are_refused_with_the_nearest(name):
    required = {"widths": [4]} if name in ("mlp", "frame-net") else {}
    known = next(iter(MODELS[name](**required).arguments))
    with pytest.raises(ConfigError, match=f"has no argument '{known}s?x'; did you mean '{known}'"):
        build_network(
            ModelConfig(name=name, arguments=required | {f"{known}x": 1}), (1, 8, 8), 4, trust=False, sizes=SIZES
        )


@pytest.mark.parametrize("name", sorted(TEXT_MODELS))
def test_networks_of_words_refuse_other_inputs(name):
    with pytest.raises(MismatchError, match=r"reads words of texts, and the data have inputs \[5\]"):
        build_network(ModelConfig(name=name), (5,), 4, trust=False)


@pytest.mark.parametrize("description", [case[0] for case in CASES if isinstance(case[0], WordNetwork)], ids=str)
def test_padding_never_changes_logits(description):
    model = build(description, (9,)).eval()
    ids, lengths = torch.randint(1, WORDS, (5, 9)), torch.tensor([1, 4, 9, 2, 8])
    mask = torch.arange(9) < lengths[:, None]
    together = model(ids.masked_fill(~mask, 0), mask)
    for row, length in enumerate(lengths.tolist()):
        torch.testing.assert_close(model(ids[row : row + 1, :length]), together[row : row + 1])
    torch.testing.assert_close(model(ids.masked_fill(~mask, 3), mask), together)
