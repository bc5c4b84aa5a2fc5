"""Clusters of classes that a teacher confuses, planted and found again."""

import pytest
import torch

from instar.analysis.clustering import cluster_columns
from instar.analysis.covariance import Covariance, SketchedCovariance
from instar.errors import ConfigError, DataError

CLASSES, GROUPS, K, INSIDE = 200, 8, 20, 16


def generalist(samples=30_000):
    """Return the group of every class, and predictions that are sure of a class, and confuse it with its group.

    Some classes are more frequent, some are known better, and the last of the k are of any group.
    """
    random = torch.Generator().manual_seed(0)
    group = torch.arange(CLASSES)[torch.randperm(CLASSES, generator=random)] % GROUPS
    members = torch.stack([torch.nonzero(group == i).flatten() for i in range(GROUPS)])
    sureness = 2 + 4 * torch.rand(CLASSES, generator=random)
    frequencies = torch.rand(CLASSES, generator=random).mul(2).exp()
    truth = torch.multinomial(frequencies, samples, replacement=True, generator=random)
    order = torch.rand(samples, members.shape[1], generator=random).argsort(1)[:, : INSIDE - 1]
    others = torch.randint(CLASSES, (samples, K - INSIDE), generator=random)
    ids = torch.cat([truth[:, None], members[group[truth]].gather(1, order), others], 1)
    logits = 1.5 * torch.randn(samples, K, generator=random)
    logits[:, 0] += sureness[truth]
    logits[:, INSIDE:] -= 1
    return group, ids, logits.softmax(1)


@pytest.fixture(scope="module", params=["exact", "sketched"])
def confused(request):
    """Return the group of every class, and the columns of a covariance without variances."""
    group, ids, probs = generalist()
    kinds = {"exact": Covariance, "sketched": SketchedCovariance}
    covariance = kinds[request.param](CLASSES, diagonal=False)
    covariance.add_sparse(ids, probs)
    return group, covariance.columns()


def planted(group):
    return sorted(torch.nonzero(group == i).flatten().tolist() for i in range(GROUPS))


def as_lists(sets):
    return sorted(found.tolist() for found in sets)


@pytest.mark.parametrize("seed", range(5))
def test_planted_confusions_are_found_again(confused, seed):
    group, columns = confused
    assert as_lists(cluster_columns(columns, GROUPS, seed=seed, by_angle=True)) == planted(group)


def test_unscaled_columns_are_enough_for_equally_frequent_classes():
    random = torch.Generator().manual_seed(0)
    group = torch.arange(40) % 4
    covariance = Covariance(40)
    truth = torch.randint(40, (4000,), generator=random)
    members = torch.stack([torch.nonzero(group == i).flatten() for i in range(4)])
    covariance.add_sparse(members[group[truth]], torch.rand(4000, 10, generator=random).softmax(1))
    found = as_lists(cluster_columns(covariance.columns(), 4))
    assert found == sorted(part.tolist() for part in members)


def test_clusters_have_the_given_size_and_overlap(confused):
    group, columns = confused
    sets = cluster_columns(columns, GROUPS, size=40, by_angle=True)
    assert len(sets) == GROUPS
    for found in sets:
        assert found.dtype == torch.int64
        assert found.tolist() == sorted(set(found.tolist()))
        assert len(found) == 40
        assert torch.bincount(group[found]).max() == CLASSES // GROUPS  # the whole group, and others
    assert len(torch.cat(sets).unique()) < 40 * GROUPS


def test_every_class_is_in_a_cluster_if_there_is_room_for_all():
    random = torch.Generator().manual_seed(0)
    huddle = torch.cat([torch.zeros(17, 4), 10 + torch.randn(3, 4, generator=random)])  # nearly all in one cluster
    for size in (5, 6, 20):
        assert len(torch.cat(cluster_columns(huddle, 4, size)).unique()) == 20
    assert len(torch.cat(cluster_columns(huddle, 4, 4)).unique()) == 16


def test_the_nearest_classes_of_a_single_centre_are_those_next_to_the_mean():
    columns = torch.randn(30, 5, generator=torch.Generator().manual_seed(0))
    (found,) = cluster_columns(columns, 1, size=9, passes=200)
    distances = (columns - columns.mean(0)).norm(dim=1)
    assert found.tolist() == distances.argsort()[:9].sort().values.tolist()


def test_clusters_are_a_function_of_the_seed(confused):
    columns = confused[1]
    first, again, other = (cluster_columns(columns, 30, seed=seed, by_angle=True) for seed in (3, 3, 4))
    assert all(a.equal(b) for a, b in zip(first, again, strict=True))
    assert as_lists(first) != as_lists(other)


def test_the_length_of_a_column_does_not_matter_by_angle(confused):
    columns = confused[1]
    scales = 2.0 ** torch.randint(-20, 20, (CLASSES, 1), generator=torch.Generator().manual_seed(0))
    plain, scaled = (cluster_columns(some, GROUPS, size=30, by_angle=True) for some in (columns, columns * scales))
    assert as_lists(plain) == as_lists(scaled)


@pytest.mark.parametrize("by_angle", [False, True])
@pytest.mark.parametrize("clusters", [1, 5, 12])
def test_every_class_is_in_one_cluster_and_no_cluster_is_empty(by_angle, clusters):
    random = torch.randn(12, 3, generator=torch.Generator().manual_seed(0))
    for columns in (random, torch.zeros(12, 3), torch.ones(12, 3), random[torch.arange(12) % 2]):
        before = columns.clone()
        sets = cluster_columns(columns, clusters, by_angle=by_angle)
        assert torch.cat(sets).sort().values.tolist() == list(range(12))
        assert all(len(found) for found in sets)
        assert columns.equal(before)


def test_refusals_say_what_is_wrong():
    columns = torch.eye(4)
    cases = [
        ({"clusters": 0}, r"^clusters must be from 1 to the 4 classes, got 0\.$"),
        ({"clusters": 5}, r"^clusters must be from 1 to the 4 classes, got 5\.$"),
        ({"clusters": 2, "size": 0}, r"^size must be from 1 to the 4 classes, got 0\.$"),
        ({"clusters": 2, "size": 5}, r"^size must be from 1 to the 4 classes, got 5\.$"),
        ({"clusters": 2, "passes": -1}, r"^passes must be at least 0, got -1\.$"),
    ]
    for choices, words in cases:
        with pytest.raises(ConfigError, match=words):
            cluster_columns(columns, **choices)
    columns[1, 2] = torch.nan
    with pytest.raises(DataError, match=r"^columns must be finite, and some hold NaN or infinity\.$"):
        cluster_columns(columns, 2)
