"""Streaming covariances against numpy's, in any chunking, and what they take of the memory."""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

from instar.analysis.covariance import Covariance, SketchedCovariance
from instar.errors import ConfigError, DataError

RANDOM = np.random.default_rng(0)
CLASSES, K = 12, 4


def peaked_rows(samples, classes=CLASSES):
    """Return dense predictions whose means and variances differ by class."""
    return RANDOM.dirichlet(np.linspace(0.05, 0.5, classes), samples).astype(np.float32)


def sparse_rows(samples, classes=CLASSES, k=K):
    """Return ids, their probabilities, and the same as dense rows."""
    ids = np.argsort(RANDOM.random((samples, classes)) ** np.linspace(1, 3, classes))[:, :k]
    probs = RANDOM.dirichlet(np.full(k, 0.3), samples).astype(np.float32)
    dense = np.zeros((samples, classes), np.float32)
    np.put_along_axis(dense, ids, probs, 1)
    return torch.tensor(ids), torch.tensor(probs), dense


def exact(dense):
    return np.cov(dense.astype(np.float64), rowvar=False, bias=True)


def close(found, expected, precision=5e-6):
    np.testing.assert_allclose(found.double().numpy(), expected, rtol=0, atol=precision * np.abs(expected).max())


@pytest.fixture(params=[False, True], ids=["one chunk", "a chunk for each batch"])
def merge(request):
    """Return a function that ends a chunk, as asking for the columns does, or one that does nothing."""
    return lambda covariance: request.param and covariance.columns()


@pytest.mark.parametrize("batch", [1, 7, 500])
def test_dense_rows_in_any_batches_have_the_covariance_of_numpy(batch, merge):
    rows = peaked_rows(500)
    covariance = Covariance(CLASSES)
    for part in torch.tensor(rows).split(batch):
        covariance.add(part)
        merge(covariance)
    close(covariance.columns(), exact(rows))
    assert covariance.count == 500


@pytest.mark.parametrize("batch", [1, 7, 500])
def test_sparse_rows_in_any_batches_have_the_covariance_of_numpy(batch, merge):
    ids, probs, rows = sparse_rows(500)
    covariance = Covariance(CLASSES)
    for some, said in zip(ids.split(batch), probs.split(batch), strict=True):
        covariance.add_sparse(some, said)
        merge(covariance)
    close(covariance.columns(), exact(rows))


@pytest.mark.parametrize("kind", [Covariance, lambda classes: SketchedCovariance(classes, width=8)])
def test_dense_and_sparse_rows_of_any_width_are_mixed(kind):
    ids, probs, rows = sparse_rows(300)
    more_ids, more_probs, more_rows = sparse_rows(200, k=6)
    mixed, dense = kind(CLASSES), kind(CLASSES)
    mixed.add_sparse(ids, probs)
    mixed.add(torch.tensor(rows[:50]))
    mixed.columns()  # a look in between changes nothing
    mixed.add_sparse(more_ids.int(), more_probs)
    mixed.add_sparse(ids[:0], probs[:0])
    everything = np.concatenate([rows, rows[:50], more_rows])
    dense.add(torch.tensor(everything))
    close(mixed.columns(), dense.columns().double().numpy())
    if kind is Covariance:
        close(mixed.columns(), exact(everything))


def test_a_class_that_is_named_twice_counts_as_both():
    once, twice = Covariance(4), Covariance(4)
    once.add_sparse(torch.tensor([[0, 1], [2, 3]]), torch.tensor([[0.75, 0.25], [0.5, 0.5]]))
    ids = torch.tensor([[0, 1, 0], [2, 3, 3]])
    twice.add_sparse(ids, torch.tensor([[0.5, 0.25, 0.25], [0.5, 0.25, 0.25]]))
    close(twice.columns(), once.columns().numpy())


def test_later_changes_of_the_tensors_do_not_matter():
    rows = torch.tensor(peaked_rows(50))
    covariance = Covariance(CLASSES)
    expected = exact(rows.numpy())
    covariance.add(rows)
    rows.zero_()
    close(covariance.columns(), expected)


@pytest.mark.parametrize("is_sparse", [False, True])
def test_without_the_diagonal_only_the_diagonal_is_missing(is_sparse, merge):
    ids, probs, rows = sparse_rows(500)
    expected = exact(rows) * (1 - np.eye(CLASSES))
    for covariance in (Covariance(CLASSES, diagonal=False), SketchedCovariance(CLASSES, 8, diagonal=False)):
        for part in torch.arange(500).split(90):
            if is_sparse:
                covariance.add_sparse(ids[part], probs[part])
            else:
                covariance.add(torch.tensor(rows)[part])
            merge(covariance)
        kept = expected
        if isinstance(covariance, SketchedCovariance):
            kept = expected @ covariance._omega.double().numpy()
        close(covariance.columns(), kept)


def test_a_million_rows_lose_no_digits_to_float32():
    """Two answers in turn, so the covariance is known; a sum of squares in float32 stops growing at 2^24."""
    covariance = Covariance(3)
    rows = torch.tensor([[0.9, 0.06, 0.04], [0.9, 0.05, 0.05]]).repeat(2000, 1)
    for _ in range(250):
        covariance.add(rows)
    close(covariance.columns(), exact(rows[:2].numpy()), 1e-5)
    sparse = Covariance(3)
    for _ in range(250):
        sparse.add_sparse(torch.arange(3).expand(4000, 3), rows)
    close(sparse.columns(), exact(rows[:2].numpy()), 1e-5)


def test_a_drift_of_the_predictions_between_chunks_is_part_of_the_covariance():
    rows = np.concatenate([peaked_rows(100_000, 5), np.roll(peaked_rows(300_000, 5), 2, 1)])
    covariance = Covariance(5)
    covariance.add(torch.tensor(rows))
    close(covariance.columns(), exact(rows))


@pytest.mark.parametrize("is_sparse", [False, True])
def test_a_sketch_is_the_covariance_times_its_matrix_and_keeps_distances(is_sparse):
    ids, probs, rows = sparse_rows(2000, 60, 9)
    whole, sketch = Covariance(60), SketchedCovariance(60, width=512)
    for covariance in (whole, sketch):
        for part in torch.arange(2000).split(300):
            if is_sparse:
                covariance.add_sparse(ids[part], probs[part])
            else:
                covariance.add(torch.tensor(rows)[part])
    close(sketch.columns(), exact(rows) @ sketch._omega.double().numpy(), 1e-5)
    exact_distances, distances = torch.pdist(whole.columns()), torch.pdist(sketch.columns())
    ratios = distances.square() / exact_distances.square()
    assert abs(ratios.mean() - 1) < 0.03
    assert ratios.std() < 1.2 * (2 / 512) ** 0.5


def test_a_sketch_is_a_function_of_its_seed():
    rows = torch.tensor(peaked_rows(100))
    found = []
    for seed in (0, 0, 1):
        sketch = SketchedCovariance(CLASSES, 5, seed)
        sketch.add(rows)
        found.append(sketch.columns())
    assert found[0].shape == (CLASSES, 5)
    assert found[0].equal(found[1])
    assert not found[0].equal(found[2])


def peak_of(kind, samples):
    """Return the bytes by which a process grows, beside what it had before there was an accumulator."""

    def memory(field):
        lines = Path("/proc/self/status").read_text().splitlines()
        return 1024 * int(next(line for line in lines if line.startswith(field)).split()[1])

    torch.set_num_threads(1)
    few = kind(50)
    few.add_sparse(torch.arange(4)[None], torch.full((1, 4), 0.25))
    few.columns()  # so that code is loaded
    before = memory("VmRSS")
    covariance = kind(3000)
    for _ in range(samples // 1000):
        covariance.add_sparse(torch.randint(3000, (1000, 50)), torch.rand(1000, 50))
    covariance.add(torch.rand(500, 3000))
    covariance.columns()
    return memory("VmHWM") - before


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")
def test_memory_holds_little_more_than_the_columns():
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), max_tasks_per_child=1) as pool:
        whole, sketch = (pool.submit(peak_of, kind, 40_000) for kind in (Covariance, SketchedCovariance))
        assert whole.result() < 4 * 4 * 3000**2
        assert sketch.result() < 4 * 3000**2  # with the rows of this test, which are 6 MB


def test_refusals_say_what_is_wrong():
    covariance = Covariance(3)
    broken = torch.tensor([[0.5, float("nan"), 0.5]])
    cases = [
        (covariance.columns, "a covariance needs predictions, and none were added."),
        (lambda: covariance.add(broken), "predictions must be finite, and some are NaN or infinite."),
        (lambda: covariance.add_sparse(torch.tensor([[0, 1, 2]]), broken), "predictions must be finite"),
        (lambda: covariance.add(torch.zeros(2, 4)), r"predictions must be \[batch, 3\], got \[2, 4\]\."),
        (
            lambda: covariance.add_sparse(torch.zeros(2, 1).long(), torch.zeros(2, 2)),
            r"ids and predictions must both be \[batch, k\], k at least 1, got \[2, 1\] and \[2, 2\]\.",
        ),
        (
            lambda: covariance.add_sparse(torch.tensor([[0, 3]]), torch.zeros(1, 2)),
            "ids must be those of 3 classes, from 0, got 0 to 3.",
        ),
        (
            lambda: covariance.add_sparse(torch.tensor([[-1, 2]]), torch.zeros(1, 2)),
            "ids must be those of 3 classes, from 0, got -1 to 2.",
        ),
    ]
    for work, words in cases:
        with pytest.raises(DataError, match=words):
            work()
    assert covariance.count == 0
    with pytest.raises(ConfigError, match=r"^width must be at least 1, got 0\.$"):
        SketchedCovariance(3, width=0)
    with pytest.raises(ConfigError, match=r"^a covariance needs at least 1 class, got 0\.$"):
        Covariance(0)
