"""Samples of a source: splits and selections keep their ids, and depend on the seed alone."""

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from instar.data import UNLABELLED, Samples, Source
from instar.errors import DataError

few = settings(deadline=None, derandomize=True, max_examples=30)
CLASSES = ("cat", "dog", "horse")


def samples(number: int = 30) -> Samples:
    inputs = torch.arange(number, dtype=torch.uint8)[:, None].repeat(1, 4)
    return Samples.all_of(Source("animals", inputs, torch.arange(number) % 3, CLASSES))


def rows_agree(found: Samples) -> bool:
    """Inputs and labels are those of the ids."""
    return torch.equal(found.inputs()[:, 0].long(), found.ids) and torch.equal(found.labels, found.ids % 3)


@few
@given(st.integers(2, 120), st.floats(0.05, 0.95), st.integers(0, 1000))
def test_a_split_is_disjoint_and_complete(number: int, share: float, seed: int) -> None:
    count = round(share * number)
    if count in (0, number):
        with pytest.raises(DataError, match=r"no samples of 'animals' are left after the selection\."):
            samples(number).split(share, seed)
        return
    rest, part = samples(number).split(share, seed)
    assert sorted([*rest.ids.tolist(), *part.ids.tolist()]) == list(range(number))
    assert len(part) == count
    assert rest.ids.tolist() == sorted(rest.ids.tolist())
    assert part.ids.tolist() == sorted(part.ids.tolist())
    assert rows_agree(rest)
    assert rows_agree(part)


def test_the_split_follows_its_seed() -> None:
    chosen = [samples().split(0.3, seed)[1].ids.tolist() for seed in (0, 0, 1)]
    assert chosen[0] == chosen[1] != chosen[2]


def test_a_split_of_a_split_keeps_the_ids_of_the_source() -> None:
    rest, part = samples().split(0.5, seed=0)[0].split(0.4, seed=1)
    assert rows_agree(rest)
    assert rows_agree(part)
    assert not set(rest.ids.tolist()) & set(part.ids.tolist())


@pytest.mark.parametrize("select", [lambda s, seed: s.subset(7, seed), lambda s, seed: s.keep_fraction(0.25, seed)])
def test_random_selections_are_seeded_and_in_order(select: Callable[[Samples, int], Samples]) -> None:
    found = [select(samples(), seed) for seed in (0, 0, 1)]
    ids = [chosen.ids.tolist() for chosen in found]
    assert ids[0] == ids[1] != ids[2]
    assert ids[0] == sorted(set(ids[0]))
    assert all(rows_agree(chosen) for chosen in found)


@pytest.mark.parametrize(("share", "count"), [(1.0, 30), (0.5, 15), (0.25, 8), (0.001, 1)])
def test_keep_fraction_keeps_its_share_and_at_least_one(share: float, count: int) -> None:
    assert len(samples().keep_fraction(share, seed=0)) == count


def test_a_subset_cannot_be_larger_than_the_samples() -> None:
    assert len(samples().subset(30, seed=0)) == 30
    with pytest.raises(DataError, match=r"'subset' must be at most the 30 samples of 'animals', got 31\."):
        samples().subset(31, seed=0)


def test_classes_are_omitted_and_kept_by_name() -> None:
    assert set(samples().omit_classes(["dog"]).labels.tolist()) == {0, 2}
    assert set(samples().keep_classes(["dog"]).labels.tolist()) == {1}
    assert len(samples().omit_classes(["dog", "cat"])) == len(samples().keep_classes(["horse"])) == 10
    assert samples().omit_classes(["dog"]).num_classes == 3
    assert rows_agree(samples().omit_classes(["dog"]))


def test_unlabelled_samples_belong_to_no_class() -> None:
    hidden = samples().drop_labels(0.5, seed=0)
    kept, omitted = hidden.keep_classes(["dog"]), hidden.omit_classes(["dog"])
    assert set(kept.labels.tolist()) == {1}
    assert UNLABELLED in omitted.labels.tolist()
    assert len(kept) + len(omitted) == 30


def test_a_misspelt_class_gets_the_nearest_name() -> None:
    with pytest.raises(DataError, match=r"class 'hors' is not in 'animals'; did you mean 'horse'\?"):
        samples().omit_classes(["cat", "hors"])
    with pytest.raises(DataError, match=r"class '7' is not in 'animals'; known are: cat, dog, horse\."):
        samples().keep_classes(["7"])


def test_omitting_every_class_leaves_nothing() -> None:
    with pytest.raises(DataError, match=r"no samples of 'animals' are left after the selection\."):
        samples().omit_classes(list(CLASSES))


@pytest.mark.parametrize(("share", "count"), [(0.0, 0), (0.5, 15), (1.0, 30)])
def test_dropped_labels_are_hidden_and_the_rest_stays(share: float, count: int) -> None:
    whole = samples()
    found = whole.drop_labels(share, seed=0)
    hidden = found.labels == UNLABELLED
    assert int(hidden.sum()) == count
    assert torch.equal(found.ids, whole.ids)
    assert torch.equal(found.labels[~hidden], whole.labels[~hidden])
    assert rows_agree(whole)  # the samples they came from are unchanged


def test_which_labels_are_dropped_follows_the_seed() -> None:
    hidden = [(samples().drop_labels(0.5, seed).labels == UNLABELLED).tolist() for seed in (0, 0, 1)]
    assert hidden[0] == hidden[1] != hidden[2]


@pytest.mark.parametrize("positions", [torch.tensor([3, 1]), torch.arange(30) < 2])
def test_select_takes_indices_or_a_mask(positions: torch.Tensor) -> None:
    found = samples().select(positions)
    assert len(found) == 2
    assert rows_agree(found)
