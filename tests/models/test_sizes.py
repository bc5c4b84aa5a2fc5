"""Numbers of parameters: as published, as computed from the papers, and by independent formulas."""

import pytest
import torch

from instar.models import BANResNet, DenseNet, PreActivationResNet, ResNet, WideResNet


def parameters(family, *arguments, classes=10, frozen=(), without=(), **options):
    """Count parameters without allocating them. `frozen` names groups to leave out, `without` types of layers."""
    with torch.device("meta"):
        model = family(*arguments, input_shape=(3, 32, 32), num_classes=classes, **options)
    left_out = [getattr(model, name) for name in frozen]
    left_out += [module for module in model.modules() if isinstance(module, without)] if without else []
    count = sum(p.numel() for p in model.parameters())
    return count - sum(p.numel() for module in left_out for p in module.parameters())


@pytest.mark.parametrize(("depth", "growth", "found"), [(90, 60, 16.17), (80, 80, 22.42), (80, 120, 50.36)])
def test_dense_nets_of_furlanello_with_the_third_transition(depth, growth, found):
    assert round(parameters(DenseNet, depth, growth, third_transition=True) / 1e6, 2) == found


@pytest.mark.parametrize(("depth", "growth", "found"), [(90, 60, 15.2), (80, 80, 21.1), (80, 120, 47.3)])
def test_dense_nets_of_furlanello_without_it_are_smaller(depth, growth, found):
    assert round(parameters(DenseNet, depth, growth, classes=100) / 1e6, 1) == pytest.approx(found, abs=0.051)


@pytest.mark.parametrize(
    ("units", "growth", "found"), [(7, 120, 21.35), (28, 30, 13.74), (42, 20, 12.95), (56, 15, 12.6)]
)
def test_depth_variants_keep_the_hidden_sizes(units, growth, found):
    options = {"units": [units] * 3, "growth": growth, "stem": 120, "third_transition": True}
    assert round(parameters(DenseNet, classes=100, **options) / 1e6, 2) == found
    assert DenseNet(**options).widths == DenseNet(90, 60, third_transition=True).widths == [480, 660, 750]


@pytest.mark.parametrize(("depth", "growth", "classes", "found"), [(100, 12, 10, 769162), (40, 12, 10, 176122)])
def test_dense_nets_of_huang(depth, growth, classes, found):
    assert parameters(DenseNet, depth, growth, classes=classes) == found  # 0.8M and 0.18M in their table 2 and code


def test_what_the_docstring_of_densenet_says_about_open_readings():
    assert round(parameters(DenseNet, 112, 33, third_transition=True) / 1e6, 2) == 7.45
    assert round(parameters(DenseNet, 106, 33) / 1e6, 2) == 6.27
    for compression, found in ((0.25, 12.4), (0.375, 14.1), (0.75, 21.9)):
        size = parameters(DenseNet, 90, 60, compression=compression, third_transition=True, classes=100)
        assert round(size / 1e6, 1) == found


@pytest.mark.parametrize(("width", "found"), [(1, 0.38), (2, 1.48), (5, 9.16), (10, 36.54)])
def test_wide_resnets_of_furlanello(width, found):
    assert round(parameters(WideResNet, 28, width, classes=100) / 1e6, 2) == found


def test_wrn_28_10_by_an_independent_formula():
    # per stage of W channels, fed by c: convolutions 9cW + 7 * 9WW and cW for the shortcut; BN of c + 7W channels
    stages = sum(c * w + 9 * c * w + 63 * w * w + 2 * (c + 7 * w) for c, w in ((16, 160), (160, 320), (320, 640)))
    assert parameters(WideResNet, 28, 10) == 9 * 3 * 16 + stages + 2 * 640 + 641 * 10 == 36479194


@pytest.mark.parametrize(
    ("depth", "width", "found"), [(16, 1, 175066), (16, 2, 691674), (40, 1, 563930), (40, 2, 2243546)]
)
def test_wide_resnets_of_the_attention_transfer_paper(depth, width, found):
    assert parameters(WideResNet, depth, width) == found  # 0.2M, 0.7M, 0.6M, 2.2M in their table 1


@pytest.mark.parametrize(("depth", "published"), [(20, 0.27), (32, 0.46), (44, 0.66), (56, 0.85), (110, 1.7)])
def test_resnets_of_he(depth, published):
    n = (depth - 2) // 6
    # convolutions 9ww each: 2n of width 16, then one that widens and 2n - 1 more; BN of 1 + 2n layers of 16 and so on
    weights = 27 * 16 + 9 * (2 * n * 256 + 16 * 32 + (2 * n - 1) * 1024 + 32 * 64 + (2 * n - 1) * 4096)
    formula = weights + 2 * (16 + 2 * n * (16 + 32 + 64)) + 65 * 10
    assert parameters(ResNet, depth) == formula
    assert formula / 1e6 == pytest.approx(published, abs=0.05 if depth == 110 else 0.01)


def test_pre_activation_of_he_counts_no_normalisation():
    count = parameters(PreActivationResNet, 1001, bottleneck=True, without=torch.nn.BatchNorm2d)
    assert round(count / 1e6, 1) == 10.2
    assert parameters(PreActivationResNet, 1001, bottleneck=True) == 10327706
    assert round(parameters(PreActivationResNet, 164, bottleneck=True) / 1e6, 1) == 1.7
    assert round(parameters(PreActivationResNet, 110) / 1e6, 1) == 1.7


@pytest.mark.parametrize(
    ("units", "ratio", "found"), [(1, 1.0, 20.99), (2, 1.0, 43.11), (4, 0.5, 24.33), (4, 1.0, 87.35)]
)
def test_ban_resnets_without_their_copied_layers(units, ratio, found):
    count = parameters(BANResNet, units, ratio, classes=100, frozen=("stem", "classifier"))
    assert round(count / 1e6, 2) == found


@pytest.mark.parametrize(("ratio", "found"), [(1.0, 20.33), (0.5, 5.65)])
def test_ban_resnets_of_bottlenecks_as_read(ratio, found):
    count = parameters(BANResNet, 14, ratio, bottleneck=True, classes=100, frozen=("stem", "classifier"))
    assert round(count / 1e6, 2) == found
