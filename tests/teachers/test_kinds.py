"""Modules, classifiers and remembered teachers: behaviour that others do not share."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.ensemble import RandomForestClassifier
from sklearn.svm import LinearSVC
from torch import nn

from instar.compute.execution import Execution
from instar.data import Batch, Flip, Loader, Shift, load_data
from instar.errors import ConfigError, MismatchError
from instar.models import CNN, Normalised, statistics
from instar.teachers import Classifier, Module, Remembered

DIGITS = load_data("digits", subset=60)
INPUTS, LABELS = DIGITS.train.inputs().flatten(1).numpy(), DIGITS.train.labels.numpy()


def batch_of(inputs):
    return Batch(torch.arange(len(inputs)), 0, inputs, torch.zeros(len(inputs), dtype=torch.long))


def test_each_layer_stays_in_its_own_mode_and_batch_statistics_do_not_move():
    network = nn.Sequential(nn.BatchNorm1d(4), nn.BatchNorm1d(4), nn.Dropout(0.9))
    network.train()
    network[1].eval()  # a layer frozen inside a network that trains
    before = {name: value.clone() for name, value in network.state_dict().items()}
    Module(network).targets(batch_of(torch.randn(8, 4) + 3))
    assert [network.training, *(layer.training for layer in network)] == [True, True, False, True]
    torch.testing.assert_close(dict(network.state_dict()), before, rtol=0, atol=0)
    network.eval()
    network[0].train()  # and one that was left in training inside a network that evaluates
    Module(network).targets(batch_of(torch.randn(8, 4) + 3))
    assert [network.training, *(layer.training for layer in network)] == [False, True, False, False]
    torch.testing.assert_close(dict(network.state_dict()), before, rtol=0, atol=0)


def test_mode_is_restored_after_an_error():
    network = nn.Linear(3, 2)
    with pytest.raises(MismatchError, match=r"the network Linear fails for 2 samples \(ids 0, 1\)"):
        Module(network).targets(batch_of(torch.zeros(2, 5)))
    assert network.training


def test_pixels_are_scaled_for_a_plain_network_only():
    pixels = torch.randint(0, 256, (4, 1, 3, 3), dtype=torch.uint8)
    plain = nn.Sequential(nn.Flatten(), nn.Linear(9, 2))
    torch.testing.assert_close(Module(plain).targets(batch_of(pixels)).logits(), plain(pixels / 255).detach())
    normalised = Normalised(plain, torch.full((1, 1, 1), 0.5), torch.full((1, 1, 1), 0.25))
    expected = plain((pixels / 255 - 0.5) / 0.25).detach()
    torch.testing.assert_close(Module(normalised).targets(batch_of(pixels)).logits(), expected)


def test_a_teacher_in_bfloat16_is_close_and_leaves_torch_as_it_was():
    network, batch = nn.Linear(64, 10), batch_of(torch.randn(8, 64))
    exact, teacher = Module(network).targets(batch).logits(), Module(network)
    teacher.prepare(Execution(torch.device("cpu"), "bfloat16"))
    found = teacher.targets(batch).logits()
    assert found.dtype == torch.float32
    assert 0 < (found - exact).abs().max() < 0.05
    assert torch.get_float32_matmul_precision() == "highest"
    assert network.weight.dtype == torch.float32


def test_a_classifier_predicts_the_logarithm_of_its_probabilities():
    forest = RandomForestClassifier(7, random_state=0).fit(INPUTS, LABELS)
    batch = Loader(DIGITS.train, 32, seed=0).batch(0)
    raw = forest.predict_proba(batch.inputs.flatten(1).numpy())
    found = Classifier(forest, floor=1e-3).targets(batch).logits()
    np.testing.assert_allclose(found, np.log(np.maximum(raw, 1e-3)), rtol=1e-5)
    assert (raw == 0).any(), "the floor must have been needed"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Classifier(LinearSVC()), "LinearSVC has none"),
        (lambda: Classifier(RandomForestClassifier()), "is not fitted"),
        (lambda: Classifier(RandomForestClassifier(2).fit(INPUTS, LABELS), floor=0), "must be above 0 and below 1"),
    ],
)
def test_a_classifier_that_cannot_teach_is_refused(make, message):
    with pytest.raises(ConfigError, match=message):
        make()


@pytest.mark.parametrize("labels", [LABELS + 1, np.array(list("abcdefghij"))[LABELS]])
def test_a_classifier_with_classes_of_other_names_is_refused(labels):
    forest = RandomForestClassifier(2, random_state=0).fit(INPUTS, labels)
    with pytest.raises(MismatchError, match=r"must be the label indices 0\.\.9"):
        Classifier(forest).targets(Loader(DIGITS.train, 4, seed=0).batch(0))


@pytest.mark.parametrize(("views", "num_views"), [(None, None), (Shift(1), 3), (Shift(2) + Flip(), 2)])
def test_remembered_targets_equal_live_ones_for_every_sample_and_view(views, num_views):
    torch.manual_seed(0)
    model = Normalised(CNN([4], 8, input_shape=(1, 8, 8), num_classes=10), *statistics(DIGITS.train))
    live, loader = Module(model), Loader(DIGITS.train, 16, seed=3, views=views, num_views=num_views)
    seen = []
    remembered = Remembered(live, loader, seen.append)
    assert sum(seen) == len(DIGITS.train) * loader.num_views
    assert remembered.fingerprint() == live.fingerprint()
    for view in range(loader.num_views):
        for batch in loader.in_order(view):
            assert torch.equal(remembered.targets(batch).logits(), live.targets(batch).logits())
    for step in range(3 * loader.steps_per_epoch):  # in the order of training, rounding may differ by a bit
        batch = loader.batch(step)
        torch.testing.assert_close(remembered.targets(batch).logits(), live.targets(batch).logits())


def test_endless_views_cannot_be_remembered():
    with pytest.raises(ConfigError, match="endless views cannot be remembered"):
        Remembered(Module(nn.Linear(64, 10)), Loader(DIGITS.train, 16, seed=0, views=Shift(1)))


def test_a_remembered_teacher_refuses_other_samples_and_views():
    flat = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    loader = Loader(DIGITS.train, 16, seed=0, views=Shift(1), num_views=2)
    remembered, batch = Remembered(Module(flat), loader), loader.batch(0)
    for other in (replace(batch, view=2), Loader(DIGITS.validation, 4, seed=0).batch(0)):
        with pytest.raises(MismatchError, match="for which the teacher was not queried"):
            remembered.targets(other)


@pytest.mark.parametrize("memory_format", ["auto", "contiguous"])
def test_a_network_with_convolutions_is_laid_out_as_wanted_and_predicts_the_same(memory_format):
    network = CNN([4, 4], 8, input_shape=(1, 8, 8), num_classes=10)
    images = torch.rand(3, 1, 8, 8)
    expected, before = Module(network).targets(batch_of(images)).logits(), Module(network).fingerprint()
    teacher = Module(network)
    teacher.prepare(Execution(torch.device("cpu"), "float32", memory_format=memory_format))
    *_, inner = (module.weight for module in network.modules() if isinstance(module, nn.Conv2d))
    assert inner.is_contiguous(memory_format=torch.channels_last) == (memory_format == "auto")
    torch.testing.assert_close(teacher.targets(batch_of(images)).logits(), expected)
    assert teacher.fingerprint() == before


def test_a_large_batch_of_images_is_predicted_in_parts_on_a_cpu():
    sizes = []
    network = CNN([4], 8, input_shape=(1, 8, 8), num_classes=10)
    network.register_forward_pre_hook(lambda module, inputs: sizes.append(len(inputs[0])))
    images = torch.rand(150, 1, 8, 8)
    found = Module(network).targets(batch_of(images)).logits()
    assert sizes == [64, 64, 22]
    torch.testing.assert_close(found, network.eval()(images).detach())
