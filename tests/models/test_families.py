"""Families of convolutional networks: their features, initial weights, and the arguments that they refuse."""

import pytest
import torch
from torch import nn

from instar.errors import ConfigError, MismatchError
from instar.models import (
    CNN,
    MLP,
    VGG,
    BANResNet,
    DenseNet,
    Normalised,
    PreActivationResNet,
    ResNet,
    WideResNet,
)

RESNET = ["stem", "stage1", "stage2", "stage3", "pooled"]


def made(family, *arguments, **options):
    return family(*arguments, input_shape=(1, 8, 8), num_classes=4, **options)


def shapes(model):
    _, features = model.eval().features(torch.rand(2, 1, 8, 8))
    return {name: tuple(feature.shape[1:]) for name, feature in features.items()}


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (made(MLP, [7, 5], 0.5, 0.5), {"hidden1": (7,), "hidden2": (5,)}),
        (made(MLP, []), {}),
        (made(CNN, [4, 6], 5, 0.5), {"block1": (4, 4, 4), "block2": (6, 2, 2), "hidden": (5,)}),
        (made(ResNet, 14, 3), dict(zip(RESNET, [(3, 8, 8), (3, 8, 8), (6, 4, 4), (12, 2, 2), (12,)], strict=True))),
        (made(WideResNet, 10), dict(zip(RESNET, [(16, 8, 8), (16, 8, 8), (32, 4, 4), (64, 2, 2), (64,)], strict=True))),
        (
            made(PreActivationResNet, 11, 2, True),
            dict(zip(RESNET, [(2, 8, 8), (8, 8, 8), (16, 4, 4), (32, 2, 2), (32,)], strict=True)),
        ),
        (
            made(VGG, 8, 2),
            dict(
                zip(
                    ["stem", "stage1", "stage2", "stage3", "stage4", "pooled"],
                    [(2, 8, 8), (4, 4, 4), (8, 2, 2), (16, 1, 1), (16, 1, 1), (16,)],
                    strict=True,
                )
            ),
        ),
        (
            made(DenseNet, units=[2, 2, 2], growth=4, third_transition=True),
            {
                "stem": (8, 8, 8),
                "block1": (16, 8, 8),
                "transition1": (8, 4, 4),
                "block2": (16, 4, 4),
                "transition2": (8, 2, 2),
                "block3": (16, 2, 2),
                "transition3": (8, 2, 2),
                "pooled": (8,),
            },
        ),
        (
            made(BANResNet, 1, 0.5, stem=8, widths=[8, 10]),
            {
                "stem": (8, 8, 8),
                "stage1": (4, 8, 8),
                "transition1": (8, 4, 4),
                "stage2": (5, 4, 4),
                "transition2": (10, 4, 4),
                "pooled": (10,),
            },
        ),
    ],
)
def test_features_have_names_and_shapes(model, expected):
    assert shapes(model) == expected


def test_the_hidden_sizes_of_densenet_90_60_are_those_of_the_paper():
    with torch.device("meta"):
        model = DenseNet(90, 60, third_transition=True, input_shape=(3, 32, 32), num_classes=100)
        _, features = model.features(torch.rand(2, 3, 32, 32))
    assert [features[f"block{number}"].shape[1] for number in (1, 2, 3)] == [960, 1320, 1500]
    assert [features[f"transition{number}"].shape[1] for number in (1, 2, 3)] == [480, 660, 750]


def test_features_of_hidden_layers_are_activations_that_no_later_layer_has_changed():
    model, inputs = made(MLP, [7, 5]), torch.rand(3, 1, 8, 8)
    _, features = model.features(inputs)
    first = torch.relu(model.layers[1](inputs.flatten(1)))
    torch.testing.assert_close(features["hidden1"], first)
    torch.testing.assert_close(features["hidden2"], torch.relu(model.layers[3](first)))
    # activations in place lie inside stages, where nobody sees them
    model = made(WideResNet, 10).eval()
    _, features = model.features(inputs)
    torch.testing.assert_close(model.stem(inputs), features["stem"])
    assert (features["stage1"] < 0).any()


def test_normalised_passes_features_of_normalised_inputs_through():
    inside, pixels = made(CNN, [4], 5).eval(), torch.randint(0, 256, (3, 1, 8, 8), dtype=torch.uint8)
    model = Normalised(inside, torch.tensor(0.3), torch.tensor(0.5)).eval()
    logits, features = model.features(pixels)
    assert torch.equal(logits, model(pixels))
    torch.testing.assert_close(features["block1"], inside.features((pixels / 255 - 0.3) / 0.5)[1]["block1"])
    with pytest.raises(MismatchError, match="'Flatten' has no named features; derive it from instar"):
        Normalised(nn.Flatten(), torch.tensor(0.3), torch.tensor(0.5)).features(pixels)


@pytest.mark.parametrize("family", [WideResNet, PreActivationResNet, DenseNet, BANResNet, VGG])
def test_convolutions_start_with_the_variance_of_he_and_classifiers_without_bias(family):
    torch.manual_seed(0)
    options = {"stem": 24, "widths": [16, 24]} if family is BANResNet else {}
    model = made(family, **options)
    for module in model.modules():
        if isinstance(module, nn.Conv2d) and module.weight.numel() > 500:
            wanted = (2 / (module.weight[0, 0].numel() * module.out_channels)) ** 0.5
            assert module.weight.std().item() == pytest.approx(wanted, rel=0.12)
    assert not model.classifier.bias.any()


def test_1001_layers_predict_and_learn():
    model = made(PreActivationResNet, 1001, 1, bottleneck=True)
    model(torch.rand(2, 1, 8, 8)).sum().backward()
    assert sum(isinstance(m, nn.Conv2d) for m in model.modules()) + 1 == 1001 + 3  # and the three shortcuts
    assert all(torch.isfinite(p.grad).all() for p in model.parameters())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ResNet(21), r"ResNet\(depth\) must be 6n \+ 2, got 21; nearest: 20 and 26\."),
        (lambda: ResNet(2), r"must be 6n \+ 2, got 2; nearest: 8\."),
        (lambda: ResNet(20, 0), r"ResNet\(width\) must be a whole number of at least 1, got 0"),
        (lambda: WideResNet(29), r"must be 6n \+ 4, got 29; nearest: 28 and 34\."),
        (lambda: WideResNet(28, 2.5), r"WideResNet\(width\) must be a whole number of at least 1, got 2\.5"),
        (lambda: made(WideResNet, 10, 1, 1.0), "at least 0 and below 1"),
        (lambda: PreActivationResNet(1001), r"must be 6n \+ 2, got 1001; nearest: 998 and 1004\."),
        (lambda: PreActivationResNet(111, bottleneck=True), r"must be 9n \+ 2, got 111; nearest: 110 and 119"),
        (lambda: VGG(12), r"VGG\(depth\) must be one of 8, 11, 13, 16, 19, got 12"),
        (lambda: DenseNet(41), r"must be even and at least 10, got 41; nearest: 40 and 42\."),
        (lambda: DenseNet(-3), r"must be even and at least 10, got -3; nearest: 10\."),
        (lambda: DenseNet(40, units=[2, 2, 2]), r"depth or units, not both; got 40 and \[2, 2, 2\]"),
        (lambda: DenseNet(units=[2, 0]), r"DenseNet\(units\) must be a whole number of at least 1, got 0"),
        (lambda: DenseNet(units=[]), "at least one block"),
        (lambda: DenseNet(40, 0), r"DenseNet\(growth\) must be a whole number of at least 1, got 0"),
        (lambda: DenseNet(40, compression=1.5), "above 0 and at most 1, got 1.5"),
        (lambda: BANResNet(0), r"BANResNet\(units\) must be a whole number of at least 1"),
        (lambda: BANResNet(widths=[3, 0]), r"BANResNet\(widths\) must be a whole number of at least 1"),
        (lambda: BANResNet(ratio=0), "ratio above 0"),
    ],
)
def test_refuses_in_words_and_names_the_nearest(make, message):
    with pytest.raises(ConfigError, match=message):
        make()


def test_vgg_halves_images_three_times_and_refuses_smaller_ones_than_that_allows():
    with pytest.raises(MismatchError, match="at least 8 x 8, got 7 x 9"):
        VGG(8, input_shape=(3, 7, 9), num_classes=2)


def test_depths_between_those_of_whole_units_are_rounded_down():
    assert [DenseNet(depth).units[0] for depth in (10, 40, 80, 90, 100, 112)] == [1, 6, 12, 14, 16, 18]
