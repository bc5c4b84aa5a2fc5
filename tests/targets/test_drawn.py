"""Classes drawn from the teacher's probabilities: an unbiased estimate of the loss over all classes."""

import pytest
import torch
from scipy import stats

from instar.compute.tiling import use_tile_bytes
from instar.data import Batch
from instar.objectives import SoftTargets
from instar.seeds import Draws
from instar.targets import DenseTargets, Keep, Record, SparseTargets

GENERATOR = torch.Generator().manual_seed(0)
TEACHER, STUDENT = 1.5 * torch.randn(2, 12, generator=GENERATOR, dtype=torch.float64)
TEMPERATURE = 2.0


def answers(rows):
    return DenseTargets(TEACHER.expand(rows, 12))


def drawn(rows, number=4, seed=0, view=0):
    record = Record(Keep("sample", number), "float32", 12, TEMPERATURE)
    return record.decode(record.encode(answers(rows), Draws(seed, torch.arange(rows), view)))


def losses_and_gradients(targets, rows):
    """Return loss `[rows]` and gradient `[rows, classes]` of a student, for each row separately."""
    logits = STUDENT.repeat(rows, 1).requires_grad_()
    loss, _ = targets.cross_entropy(logits, TEMPERATURE)
    loss.sum().backward()
    return loss.detach(), logits.grad


@pytest.mark.parametrize("tile", [1, 1 << 20])
@pytest.mark.parametrize("shape", [(5,), (2, 3)], ids=str)
def test_loss_and_gradient_are_those_of_the_mean_over_draws_and_duplicates_count(shape, tile):
    ids = torch.randint(4, (*shape, 6), generator=torch.Generator().manual_seed(1))  # 6 draws among 4: some stand twice
    targets = SparseTargets(ids, torch.full((*shape, 6), 1 / 6, dtype=torch.float64), torch.zeros(shape), 7, 3.0)
    logits = torch.randn(*shape, 7, dtype=torch.float64, generator=GENERATOR, requires_grad=True)
    weights = torch.linspace(-1, 2, ids[..., 0].numel(), dtype=torch.float64).view(shape)
    log_q = torch.log_softmax(logits / 3.0, -1)
    plain = -sum(log_q.gather(-1, ids[..., [draw]])[..., 0] for draw in range(6)) / 6
    with use_tile_bytes(cached=tile):
        found, _ = targets.cross_entropy(logits, 3.0)
        torch.testing.assert_close(found, plain, rtol=1e-12, atol=0)
        (one,), (other,) = (torch.autograd.grad((weights * loss).sum(), logits) for loss in (found, plain))
        torch.testing.assert_close(one, other, rtol=1e-11, atol=1e-14)
        assert torch.autograd.gradcheck(lambda z: targets.cross_entropy(z, 3.0)[0], logits)


def test_one_class_drawn_every_time_is_a_hard_label():
    targets = SparseTargets(torch.full((1, 5), 3), torch.full((1, 5), 0.2), torch.zeros(1), 12, 1.0)
    logits = STUDENT.float()[None].requires_grad_()
    expected = torch.nn.functional.cross_entropy(logits, torch.tensor([3]))
    found = targets.cross_entropy(logits, 1.0)[0].sum()
    torch.testing.assert_close(found, expected)
    (one,), (other,) = (torch.autograd.grad(loss, logits) for loss in (found, expected))
    torch.testing.assert_close(one, other)


def largest_renormalised(number):
    """Return targets of the largest classes alone, renormalised."""
    p = torch.softmax(TEACHER / TEMPERATURE, -1).topk(number)
    return SparseTargets(p.indices[None], (p.values / p.values.sum())[None], torch.zeros(1), 12, TEMPERATURE)


def test_means_over_draws_are_loss_and_gradient_of_all_classes_and_the_largest_renormalised_are_not():
    loss, gradient = losses_and_gradients(answers(1), 1)
    expected = torch.cat([loss, gradient[0]])
    seeds, rows = 200, 20
    draws = [losses_and_gradients(drawn(rows, seed=seed), rows) for seed in range(seeds)]
    found = torch.cat([torch.cat([loss[:, None], gradient], 1) for loss, gradient in draws])
    error = found.std(0) / (seeds * rows) ** 0.5
    assert ((found.mean(0) - expected).abs() <= 4 * error).all()
    loss, gradient = losses_and_gradients(largest_renormalised(4), 1)
    biased = (torch.cat([loss, gradient[0]]) - expected).abs() / error
    assert biased[0] > 4
    assert (biased[1:] > 4).sum() > 6  # of 12 classes


def test_the_error_of_the_mean_falls_with_the_root_of_the_number_of_draws():
    spread = [losses_and_gradients(drawn(4000, number), 4000)[0].std().item() for number in (1, 4, 16)]
    assert spread[0] / spread[1] == pytest.approx(2, rel=0.1)
    assert spread[1] / spread[2] == pytest.approx(2, rel=0.1)


def test_draws_follow_the_probabilities():
    counts = torch.bincount(drawn(5000, number=4).ids.flatten(), minlength=12)
    expected = 20000 * torch.softmax(TEACHER / TEMPERATURE, -1)
    assert stats.chisquare(counts.numpy(), expected.numpy()).pvalue > 0.001
    at_1 = 20000 * torch.softmax(TEACHER, -1)  # another temperature would be noticed
    assert stats.chisquare(counts.numpy(), at_1.numpy()).pvalue < 1e-9


def test_draws_of_an_example_are_independent():
    ids = drawn(5000, number=2).ids  # sorted, so a pair of equals tells
    p = torch.softmax(TEACHER / TEMPERATURE, -1)
    expected = float(p.square().sum())
    found = (ids[:, 0] == ids[:, 1]).double().mean().item()
    assert abs(found - expected) <= 4 * (expected * (1 - expected) / 5000) ** 0.5


def test_classes_without_probability_are_not_drawn():
    logits = torch.full((2000, 6), -torch.inf)
    logits[:, [1, 4]] = torch.tensor([0.0, 1.0])
    record = Record(Keep("sample", 8), "float32", 6, 1.0)
    found = record.decode(record.encode(DenseTargets(logits), Draws(0, torch.arange(2000), 0)))
    assert set(found.ids.flatten().tolist()) == {1, 4}
    torch.testing.assert_close(found.entropy[0].item(), 0.5822, rtol=0, atol=1e-4)  # of 1 / (1 + e)


def test_draws_are_a_function_of_seed_id_and_view():
    values = torch.zeros(1, 1, 50).expand(10, 3, 50)  # equals, so that a difference is one of the draws
    record = Record(Keep("sample", 5), "float16", 50, 1.0)

    def ids(index, seed=7, view=2):
        return record.decode(record.encode(DenseTargets(values[index]), Draws(seed, index, view))).ids

    whole = ids(torch.arange(10))
    for index in (torch.tensor([4]), torch.tensor([9, 0, 4]), torch.arange(3, 8)):
        assert torch.equal(ids(index), whole[index])
    assert torch.equal(whole, whole.sort(-1).values)
    everything = torch.cat([ids(torch.arange(10), seed, view) for seed in (7, 8) for view in (2, 3)])
    assert len({tuple(row) for row in everything.flatten(0, 1).tolist()}) == 4 * 10 * 3


def test_entropy_is_that_of_all_classes():
    p = torch.softmax(TEACHER / TEMPERATURE, -1)
    torch.testing.assert_close(drawn(1).entropy.double(), -(p * p.log()).sum()[None])


def test_the_recorded_kl_of_drawn_classes_is_right_on_average():
    logits = torch.randn(1, 12, generator=torch.Generator().manual_seed(0)).expand(20000, 12)
    record = Record(Keep("sample", 4), "float32", 12, 1.0)
    targets = record.decode(record.encode(DenseTargets(logits), Draws(0, torch.arange(20000), 0)))
    found = SoftTargets(1)(logits, Batch.of_labels(torch.zeros(20000, dtype=torch.long)), targets)
    divergence = found.beside["kl_to_teacher"]
    assert divergence.min() < 0
    assert abs(divergence.mean()) < 4 * divergence.std() / 20000**0.5
