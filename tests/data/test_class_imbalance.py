"""Splits that keep the share of each class, and epochs that have each class equally often."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from instar.data import Loader, Mixup, load_data
from instar.data.epochs import Balanced
from instar.data.stratified import allocate, draw_stratified
from instar.errors import ConfigError, DataError, MismatchError
from instar.training.bias import to_prior

few = settings(deadline=None, derandomize=True, max_examples=40)
counts_of_classes = st.lists(st.integers(1, 60), min_size=2, max_size=6)
LABELS = np.array([0] * 900 + [1] * 90 + [2] * 10)


def arrays(labels=LABELS, **settings):
    inputs = np.arange(labels.size, dtype=np.float32).reshape(*labels.shape, 1)
    return load_data((inputs, labels), labels="classes", **settings)


def shares(samples):
    counts = samples.labels.bincount(minlength=3)
    return (counts / counts.sum()).tolist()


@few
@given(counts_of_classes, st.floats(0, 1), st.integers(0, 1))
def test_draws_have_the_share_of_each_class_and_every_class_where_there_is_room(counts, share, least_left):
    sizes = torch.tensor(counts)
    total = round(share * int(sizes.sum()))
    found, most = allocate(sizes, total, least_left), (sizes - least_left).clamp(min=0)
    assert int(found.sum()) == min(total, int(most.sum()))
    assert (found <= most).all()
    if total >= len(counts):
        assert (found[most > 0] >= 1).all()
    # beside classes that had to have one, and those that had to be left, no class is a sample from its share
    moved = len(counts) + 1
    assert ((found - total * sizes / sizes.sum()).abs() <= moved).all()


@few
@given(counts_of_classes, st.integers(0, 1000))
def test_a_stratified_draw_is_random_and_depends_on_the_seed_alone(counts, seed):
    labels = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
    count = len(labels) // 2
    first, second = (draw_stratified(labels, count, torch.Generator().manual_seed(seed)) for _ in range(2))
    assert torch.equal(first, second)
    assert len(first.unique()) == count


def test_validation_test_and_subsets_keep_the_rare_class():
    data = arrays(stratified=True, subset=200)
    for samples in data.splits.values():
        assert shares(samples) == pytest.approx([0.9, 0.09, 0.01], abs=0.01)
        assert 2 in samples.labels
    assert (len(data.test), len(data.validation), len(data.train)) == (200, 80, 200)
    assert not set(data.train.ids.tolist()) & set(data.validation.ids.tolist())
    other = arrays(stratified=True, subset=200, split_seed=1)
    assert other.validation.ids.tolist() != data.validation.ids.tolist()


def test_draws_without_the_setting_are_what_they_were():
    data = load_data("digits", subset=50)
    assert data.validation.ids.tolist()[:5] == [3, 7, 30, 33, 37]
    assert data.train.ids.tolist()[:5] == [6, 19, 140, 213, 237]


@few
@given(counts_of_classes, st.integers(0, 1000))
def test_each_stretch_of_a_balanced_epoch_has_each_class_once(counts, seed):
    labels = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
    order = Balanced(labels).order(torch.Generator().manual_seed(seed))
    assert len(order) == len(labels)
    for round_of in labels[order].split(len(counts)):
        assert len(round_of.unique()) == len(round_of)
    used = order.bincount(minlength=len(labels))
    for number in range(len(counts)):  # a sample repeats only after all others of its class
        assert used[labels == number].max() - used[labels == number].min() <= 1


def test_batches_are_balanced_resume_and_show_all_samples_of_common_classes_in_time():
    data = arrays(balanced=True, validation=0, stratified=True)
    loader = Loader(data.train, 40, seed=0)
    batches = [loader.batch(step) for step in range(3 * loader.steps_per_epoch)]
    for batch in batches:
        counts = batch.labels.bincount(minlength=3)
        assert counts.max() - counts.min() <= 2
    again = Loader(data.train, 40, seed=0).batch(17)
    assert torch.equal(again.ids, batches[17].ids)
    drawn = torch.cat([batch.ids for batch in batches]).unique()
    assert len(drawn) > 0.6 * 720 + 72 + 8  # a third of an epoch of 800 are samples of the class of 720


def test_the_prior_of_balanced_epochs_is_corrected_by_the_shares_of_the_data():
    data = arrays(balanced=True, validation=0)
    wanted = (data.train.labels.bincount(minlength=3) / len(data.train)).log() + np.log(3)
    assert to_prior(data.train) == pytest.approx(wanted, abs=1e-6)


@pytest.mark.parametrize(
    ("labels", "settings", "error", "sentence"),
    [
        (LABELS, {"special_classes": ["2"]}, ConfigError, "balanced and special_classes both say"),
        (LABELS, {"drop_labels": 0.5}, DataError, "training samples of .* have no label; leave data.balanced out"),
        (LABELS[:, None].repeat(2, 1), {}, DataError, "labels at positions, so they cannot be drawn by class"),
    ],
)
def test_what_cannot_be_balanced_is_refused(labels, settings, error, sentence):
    with pytest.raises(error, match=sentence):
        arrays(labels, balanced=True, **settings)


def test_samples_with_labels_at_positions_cannot_be_stratified_and_balanced_ones_not_mixed():
    with pytest.raises(DataError, match="labels at positions, so they cannot be split by class"):
        arrays(LABELS[:, None].repeat(2, 1), stratified=True)
    with pytest.raises(MismatchError, match="because they are drawn from each class equally often"):
        Loader(arrays(balanced=True).train, 8, seed=0, views=Mixup(1.0))
