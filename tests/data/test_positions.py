"""Samples with positions: masks, ragged lengths, and streams that are read in columns."""

from dataclasses import replace
from itertools import pairwise

import pytest
import torch

from instar.data import UNLABELLED, Loader, Samples, Source
from instar.errors import DataError
from instar.tasks import NextToken, Words

CLASSES = ("a", "b", "c")


def stream(windows, positions=4, lengths=None):
    """A source whose token at position p of window w is (positions w + p)."""
    inputs = torch.arange(windows * positions).view(windows, positions)
    return Source("stream", inputs, inputs % 3, CLASSES, lengths=lengths, task=NextToken(is_stream=True))


def ragged(lengths):
    longest = max(lengths)
    inputs = torch.arange(len(lengths) * longest * 2).float().view(len(lengths), longest, 2)
    labels = torch.arange(longest).expand(len(lengths), -1) % 3
    return Source("ragged", inputs, labels, CLASSES, lengths=torch.tensor(lengths))


@pytest.mark.parametrize(("windows", "batch_size"), [(12, 3), (13, 3), (14, 3), (5, 5), (9, 1)])
def test_every_row_of_a_batch_goes_on_where_the_one_before_ended(windows, batch_size):
    loader = Loader(Samples.all_of(stream(windows)), batch_size, seed=3)
    batches = [loader.batch(step) for step in range(2 * loader.steps_per_epoch)]
    assert loader.steps_per_epoch == windows // batch_size
    for step, (before, after) in enumerate(pairwise(batches), start=1):
        assert len(after) == batch_size
        if step % loader.steps_per_epoch:
            assert (after.inputs[:, 0] == before.inputs[:, -1] + 1).all()
        else:
            assert torch.equal(after.ids, batches[0].ids)
    read = torch.cat([batch.ids for batch in batches[: loader.steps_per_epoch]])
    assert read.unique().numel() == windows - windows % batch_size


@pytest.mark.parametrize(("windows", "batch_size"), [(12, 3), (13, 3), (14, 5), (3, 8), (9, 1)])
def test_reading_in_order_leaves_no_window_out(windows, batch_size):
    batches = list(Loader(Samples.all_of(stream(windows)), batch_size, seed=0).in_order())
    assert torch.cat([batch.ids for batch in batches]).sort().values.tolist() == list(range(windows))
    for before, after in pairwise(batches):
        assert torch.isin(after.ids - 1, before.ids).all()
        assert after.host_ids == after.ids.tolist()


def test_a_part_of_a_stream_is_read_alike():
    loader = Loader(Samples.all_of(stream(20)), 3, seed=0)
    read = [batch.ids.tolist() for batch in loader.in_order(start=5, stop=13)]
    assert read == [[5, 8, 11], [6, 9, 12], [7, 10]]


def test_a_stream_that_is_too_short_for_a_batch_is_refused():
    with pytest.raises(DataError, match=r"'stream' has 3 windows, fewer than a batch \(4\); lower batch_size"):
        Loader(Samples.all_of(stream(3)), 4, seed=0).batch(0)


def test_a_share_of_a_stream_is_its_end_and_a_subset_its_beginning():
    samples = Samples.all_of(stream(10))
    rest, share = samples.split(0.3, seed=0)
    assert (rest.ids.tolist(), share.ids.tolist()) == (list(range(7)), [7, 8, 9])
    assert samples.subset(4, seed=0).ids.tolist() == samples.keep_fraction(0.4, seed=1).ids.tolist() == [0, 1, 2, 3]


def test_positions_that_no_sample_of_a_batch_has_are_left_out():
    lengths = [2, 5, 1, 3]
    loader = Loader(Samples.all_of(ragged(lengths)), 2, seed=0)
    for step in range(4):
        batch = loader.batch(step)
        own = torch.tensor(lengths)[batch.ids]
        assert batch.mask.sum(1).tolist() == own.tolist()
        assert batch.mask.shape == batch.labels.shape == batch.inputs.shape[:2] == (2, own.max())
        assert batch.count() == own.sum()
        for row, length in enumerate(own.tolist()):
            assert batch.mask[row, :length].all()


@pytest.mark.parametrize("trim", [True, False])
def test_where_valid_examples_are_is_known_on_the_host(trim):
    lengths, samples = [2, 5, 1, 3, 3, 3], Samples.all_of(ragged([2, 5, 1, 3, 3, 3]))
    batches, far = (list(Loader(samples, 2, seed=0, device=on).in_order(trim=trim)) for on in ("cpu", "meta"))
    for start, batch, elsewhere in zip((0, 2, 4), batches, far, strict=True):  # "meta" holds no numbers to read
        if trim and start == 4:
            assert batch.valid() is elsewhere.valid() is None
            continue
        wanted = batch.mask.flatten().nonzero().flatten()
        assert torch.equal(batch.valid(), wanted)
        assert torch.equal(replace(batch, origin=None).valid(), wanted)
        assert elsewhere.valid().device.type == "meta"
        assert len(elsewhere.valid()) == elsewhere.count() == sum(lengths[start : start + 2])


def test_examples_are_positions_with_ids_of_their_own():
    loader = Loader(Samples.all_of(ragged([2, 5, 1, 3])), 4, seed=0)
    trimmed = next(loader.in_order(start=2, stop=4))
    found = trimmed.examples()
    assert found.ids.tolist() == [10, 11, 12, 15, 16, 17]
    assert found.mask.tolist() == [True, False, False, True, True, True]
    assert found.labels.tolist() == [0, 1, 2, 0, 1, 2]
    assert found.count() == trimmed.count() == 4
    assert found.examples() is found


def test_lengths_belong_to_the_content():
    whole, cut = ragged([3, 3]), ragged([3, 2])
    assert whole.fingerprint() != cut.fingerprint()
    assert whole.positions == 3
    with pytest.raises(
        DataError, match="lengths of 'x' must be one number per sample, and samples must have positions"
    ):
        Source("x", torch.zeros(2, 3), torch.zeros(2, dtype=torch.int64), CLASSES, lengths=torch.ones(2))


@pytest.mark.parametrize(("shape", "states"), [((2, 3), 2), ((2,), 3)])
def test_states_are_those_of_whole_words_at_positions(shape, states):
    with pytest.raises(DataError, match=f"classes of 'x' must be {states} states per word, with labels at positions"):
        Source("x", torch.zeros(2, 3), torch.zeros(shape, dtype=torch.int64), tuple("abc"), task=Words(states))


def test_a_label_outside_the_classes_is_named_by_its_sample():
    labels = torch.tensor([[0, 1], [UNLABELLED, 7]])
    with pytest.raises(DataError, match="found 7 at sample 1"):
        Source("x", torch.zeros(2, 2), labels, CLASSES)


def test_classes_of_whole_samples_are_asked_for_in_vain():
    with pytest.raises(DataError, match="'ragged' have labels at positions, so they cannot be chosen by class"):
        Samples.all_of(ragged([1, 2])).omit_classes(["a"])
