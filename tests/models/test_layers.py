"""Dropout, normalisation, descriptions, and word embeddings."""

import numpy as np
import pytest
import torch
from torch import nn

from instar.data import load_data
from instar.errors import ConfigError
from instar.models import CNN, MLP, Dropout, Normalised, describe_model, last_layer, statistics
from instar.models.character_lstm import Letters

CNN_SIZES = {"input_shape": (1, 8, 8), "num_classes": 3}


@pytest.mark.parametrize("p", [0.0, 0.2, 0.5, 0.9])
def test_dropout_keeps_the_mean_and_drops_its_share(p):
    torch.manual_seed(0)
    found = Dropout(p)(torch.ones(200_000))
    assert (found == 0).double().mean() == pytest.approx(p, abs=0.005)
    assert found.mean() == pytest.approx(1, abs=0.02)
    assert found[found > 0].unique().tolist() == pytest.approx([1 / (1 - p)])


def test_dropout_draws_independently_for_each_value():
    torch.manual_seed(0)
    dropped = (Dropout(0.5)(torch.ones(20_000, 8)) == 0).double()
    correlation = torch.corrcoef(dropped.T) - torch.eye(8)
    assert correlation.abs().max() < 0.03
    assert not torch.equal(Dropout(0.5)(torch.ones(64)), Dropout(0.5)(torch.ones(64)))


@pytest.mark.parametrize("shape", [(0,), (1,), (3, 5), (2, 3, 5, 7)])
def test_dropout_fits_any_shape_and_passes_gradients_of_what_was_kept(shape):
    inputs = torch.ones(shape, requires_grad=True)
    found = Dropout(0.25)(inputs)
    found.sum().backward()
    torch.testing.assert_close(inputs.grad, found.detach())


def test_dropout_close_to_1_drops_nearly_all():
    assert (Dropout(1 - 1e-9)(torch.ones(10_000)) == 0).double().mean() > 0.99


def test_dropout_does_nothing_in_evaluation():
    inputs = torch.randn(10)
    assert Dropout(0.9).eval()(inputs) is inputs


@pytest.mark.parametrize("p", [-0.1, 1, 2.0])
def test_impossible_dropout_is_refused(p):
    with pytest.raises(ConfigError, match="at least 0 and below 1"):
        Dropout(p)


def test_normalised_pixels_equal_the_explicit_computation():
    pixels = torch.randint(0, 256, (6, 3, 4, 4), dtype=torch.uint8)
    mean, std = torch.rand(3, 1, 1), torch.rand(3, 1, 1) + 0.1
    found = Normalised(nn.Identity(), mean, std)(pixels)
    torch.testing.assert_close(found, ((pixels.double() / 255 - mean) / std).float(), rtol=1e-5, atol=1e-5)
    floats = pixels.float() / 255
    torch.testing.assert_close(Normalised(nn.Identity(), mean, std)(floats), found, rtol=1e-5, atol=1e-5)


def test_statistics_are_those_of_numpy_by_channel():
    pixels = np.random.default_rng(0).integers(0, 256, (50, 3, 4, 4), dtype=np.uint8)
    data = load_data((pixels, np.arange(50) % 2), validation=0)
    mean, std = statistics(data.train)
    seen = data.train.inputs().double().numpy() / 255
    np.testing.assert_allclose(mean[:, 0, 0], seen.mean((0, 2, 3)), rtol=1e-6)
    np.testing.assert_allclose(std[:, 0, 0], seen.std((0, 2, 3)), rtol=1e-6)


def test_statistics_of_vectors_are_by_feature_and_constant_features_stay():
    vectors = np.random.default_rng(0).standard_normal((50, 4)) * [1, 5, 0, 2] + [0, 3, 7, -1]
    data = load_data((vectors, np.arange(50) % 2), validation=0)
    mean, std = statistics(data.train)
    seen = data.train.inputs().double().numpy()
    np.testing.assert_allclose(mean, seen.mean(0), atol=1e-5)
    np.testing.assert_allclose(std, np.where(seen.std(0) > 1e-6, seen.std(0), 1), rtol=1e-5)


def test_a_built_network_and_its_description_are_described_alike():
    assert describe_model(MLP([5, 3], 0.1)) == describe_model(MLP([5, 3], 0.1, input_shape=(4,), num_classes=2))
    assert describe_model({"name": "cnn", "arguments": {"hidden": 4}}).arguments == {"hidden": 4}
    assert describe_model("resnet").name == "resnet"
    assert describe_model(nn.Linear(2, 2)).name == "torch.nn.modules.linear:Linear"


@pytest.mark.parametrize("model", [nn.Conv2d(1, 1, 1), nn.Linear(3, 5), nn.Linear(3, 4, bias=False)])
def test_a_model_without_a_last_bias_is_refused(model):
    with pytest.raises(ValueError, match="must end in a linear layer with a bias and 4 units"):
        last_layer(model, 4, "shift its logits", torch.zeros(2, 3))


def test_dropout_in_families_is_active_in_training_only():
    for model in (MLP([32], 0.5, 0.5, input_shape=(1, 8, 8), num_classes=3), CNN([4], 32, 0.5, **CNN_SIZES)):
        inputs = torch.rand(4, 1, 8, 8)
        assert not torch.equal(model(inputs), model(inputs))
        model.eval()
        assert torch.equal(model(inputs), model(inputs))


def test_a_word_has_the_same_embedding_whether_or_not_repeated_words_are_embedded_once():
    letters = Letters(("cat", "dog", "a"), 3, [(1, 4), (2, 5)], 1)
    words = torch.tensor([[0, 2, 0], [1, 1, 2]], dtype=torch.int32)
    torch.testing.assert_close(letters._embed(words.flatten()).view(2, 3, 9), letters(words))
    assert letters.to("meta")(words.to("meta")).shape == (2, 3, 9)  # as on an accelerator
