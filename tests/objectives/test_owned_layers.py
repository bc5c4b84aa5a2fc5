"""Terms that own layers and memories, compared with hand-written references in float64."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from instar.data import Batch, Samples, Source
from instar.errors import ConfigError, MismatchError
from instar.objectives import Contrastive, ReviewDistillation, VariationalInformation

RANDOM = np.random.default_rng(0)


def tensor(*shape):
    return torch.tensor(RANDOM.standard_normal(shape))


def samples(labels):
    labels = torch.tensor(labels)
    return Samples.all_of(Source("some", torch.zeros(len(labels), 1), labels, ("a", "b", "c")))


SAMPLES = samples([2, 0, 1, 0, 2, 2, 1])


def as_batch(ids, step=0, seed=0):
    ids = torch.tensor(ids)
    return Batch(ids, 0, ids, SAMPLES.labels[ids], step=step, seed=seed)


@pytest.mark.parametrize("images", [True, False])
def test_variational_information_is_the_density_of_a_gaussian(images):
    student, teacher = (tensor(4, 3, 2, 5), tensor(4, 6, 2, 5)) if images else (tensor(4, 5, 3), tensor(4, 5, 6))
    term = VariationalInformation({"a": "x"})
    torch.manual_seed(0)
    owned = term.make_adapters([tuple(student.shape[1:])], [tuple(teacher.shape[1:])], SAMPLES).double()
    gaussian = owned.adapters[0]
    variance = torch.nn.functional.softplus(gaussian.scale) + 1e-5
    torch.testing.assert_close(variance, torch.full_like(variance, 5.0), rtol=1e-6, atol=0)
    assert variance.numel() == 6
    with torch.no_grad():
        gaussian.scale.add_(tensor(*gaussian.scale.shape))
    found = term.of_layers({"a": student}, {"x": teacher}, as_batch([0, 1, 2, 3]), owned)
    first, second, third = (gaussian.mean[place].weight.detach().numpy().reshape(6, -1) for place in (0, 2, 4))
    scale = gaussian.scale.detach().numpy().flatten()
    wanted = np.zeros(4)
    for row in range(4):
        own, theirs = (layer[row].numpy() for layer in (student, teacher))
        if not images:
            own, theirs = own.T, theirs.T
        own, theirs = own.reshape(3, -1), theirs.reshape(6, -1)
        mean = third @ np.maximum(second @ np.maximum(first @ own, 0), 0)
        for channel in range(6):
            v = math.log(1 + math.exp(scale[channel])) + 1e-5
            squares = (theirs[channel] - mean[channel]) ** 2
            wanted[row] += (0.5 * (math.log(v) + squares / v)).sum() / theirs.size
    np.testing.assert_allclose(found.detach(), wanted, rtol=1e-12)


@pytest.mark.parametrize("variance", [1e-3, 0.5, 800.0])
def test_the_initial_variance_is_that_of_the_argument(variance):
    gaussian = VariationalInformation({"a": "x"}, initial_variance=variance).make_adapter((2,), (3,))
    torch.testing.assert_close(gaussian(torch.zeros(1, 2))[1], torch.full((3,), variance), rtol=1e-4, atol=0)
    with pytest.raises(ConfigError, match="initial_variance must be above 1e-05, got 1e-06"):
        VariationalInformation(initial_variance=1e-6)


def contrast_by_hand(own, theirs, of_student, of_teacher, rows, log_constants):
    """Return the loss of each example with memories that are copied row by row, and log Z of both networks."""
    temperature, (number, negatives) = 0.07, (len(of_student), rows.shape[1] - 1)
    losses, constants = 0, []
    for place, (embedded, memory) in enumerate(((own, of_teacher), (theirs, of_student))):
        powers = torch.exp(torch.bmm(memory[rows], embedded[:, :, None])[:, :, 0] / temperature)
        constant = powers.mean().detach() * number if log_constants is None else log_constants[place].exp()
        p, noise = powers / constant, negatives / number
        losses = losses - torch.log(p[:, 0] / (p[:, 0] + noise)) - torch.log(noise / (p[:, 1:] + noise)).sum(1)
        constants.append(constant.log())
    return losses, torch.stack(constants)


def test_contrast_is_that_of_a_loop_over_steps():
    term = Contrastive({"a": "x"}, negatives=20, embedding=5)
    torch.manual_seed(0)
    memory = term.make_adapters([(3, 2)], [(4,)], SAMPLES).double()
    banks, constants = [one.clone() for one in memory.memories], None
    for step, ids in enumerate(([4, 1, 6], [1, 0], [5, 2, 3, 4])):
        student, teacher, batch = tensor(len(ids), 3, 2), tensor(len(ids), 4), as_batch(ids, step)
        found = term.of_layers({"a": student}, {"x": teacher}, batch, memory)
        own, theirs = (
            F.normalize(layer.flatten(1) @ linear.weight.t() + linear.bias)
            for layer, linear in zip((student, teacher), memory.embeddings, strict=True)
        )
        rows = memory.rows_of(batch)
        wanted, constants = contrast_by_hand(own, theirs, *banks, rows, constants)
        torch.testing.assert_close(found, wanted, rtol=1e-10, atol=0)
        parameters = list(memory.embeddings.parameters())
        gradients = (torch.autograd.grad(one.sum(), parameters) for one in (found, wanted))
        for mine, by_hand in zip(*gradients, strict=True):
            torch.testing.assert_close(mine, by_hand, rtol=1e-10, atol=1e-12)
        again = term.of_layers({"a": student}, {"x": teacher}, batch, memory)
        assert torch.equal(found, again)  # nothing changes before the update
        memory.update()
        for bank, embedded in zip(banks, (own, theirs), strict=True):
            bank[rows[:, 0]] = F.normalize(0.5 * bank[rows[:, 0]] + 0.5 * embedded).detach()
    for bank, kept in zip(banks, memory.memories, strict=True):
        torch.testing.assert_close(bank, kept)


def test_negatives_are_samples_of_other_classes_that_seed_and_step_choose():
    torch.manual_seed(0)
    memory = Contrastive({"a": "x"}, negatives=3000).make_adapters([(2,)], [(2,)], SAMPLES)
    ids = memory.known[memory.at.argsort()]  # of each row
    batch = as_batch([0, 1, 6])
    rows = memory.rows_of(batch)
    assert ids[rows[:, 0]].tolist() == [0, 1, 6]
    for row, label in zip(ids[rows[:, 1:]], (2, 0, 1), strict=True):
        allowed = (SAMPLES.labels != label).nonzero().flatten()
        counts = row.bincount(minlength=7)
        assert counts[SAMPLES.labels == label].sum() == 0
        torch.testing.assert_close(
            counts[allowed] / 3000, torch.full((len(allowed),), 1 / len(allowed)), atol=0.03, rtol=0
        )
    assert torch.equal(rows[1:2], memory.rows_of(as_batch([1])))
    for other in (as_batch([0, 1, 6], step=1), as_batch([0, 1, 6], seed=1)):
        assert not torch.equal(rows, memory.rows_of(other))


def test_negatives_of_all_other_samples_need_no_labels():
    hidden = SAMPLES.drop_labels(1.0, 0)
    term = Contrastive({"a": "x"}, negatives=500, by_class=False)
    memory = term.make_adapters([(2,)], [(2,)], hidden)
    rows = memory.rows_of(as_batch([3, 5]))
    assert rows[:, 0].tolist() == [3, 5]
    for row, own in zip(rows, (3, 5), strict=True):
        assert set(row[1:].tolist()) == set(range(7)) - {own}
    assert len(term.needs) == 1


@pytest.mark.parametrize(
    ("labels", "shapes", "sentence"),
    [
        ([0, 1, -1], [(2,)], "needs a label of every sample, and 1 of 3 have none; use Contrastive"),
        ([[0, 1], [1, 0]], [(2,)], "needs one class for each sample, and labels are at positions; use Hints"),
        ([1, 1, 1], [(2,)], "draws negatives of other classes, and all samples are of one"),
        ([0, 1, 2], [(2,), (2,)], "compares one layer of each network, got 2 pairs; name the layer before the logits"),
    ],
)
def test_samples_and_pairs_that_have_no_contrast_are_refused(labels, shapes, sentence):
    with pytest.raises(MismatchError, match=sentence):
        Contrastive({"a": "x", "b": "y"}).make_adapters(shapes, shapes, samples(labels))


def fuse_by_hand(layers, wanted, state):
    """Return the fused layers of a student, from the weights of `Reviews` by name."""

    def normalise(values):
        mean, variance = values.mean((0, 2, 3), keepdims=True), values.var((0, 2, 3), keepdims=True, unbiased=False)
        return (values - mean) / (variance + 1e-5).sqrt()

    def nearest(values, size):
        rows, columns = (
            [place * old // new for place in range(new)] for old, new in zip(values.shape[2:], size, strict=True)
        )
        return values[:, :, rows][:, :, :, columns]

    found, deeper = [], None
    for place in reversed(range(len(layers))):
        name = f"fusions.{place}"
        fused = normalise(F.conv2d(layers[place], state[f"{name}.project.0.weight"]))
        if deeper is not None:
            deeper = nearest(deeper, fused.shape[2:])
            maps = torch.einsum(
                "oi,bihw->bohw", state[f"{name}.attend.weight"][:, :, 0, 0], torch.cat([fused, deeper], 1)
            )
            maps = 1 / (1 + torch.exp(-maps - state[f"{name}.attend.bias"][:, None, None]))
            fused = fused * maps[:, 0:1] + deeper * maps[:, 1:2]
        deeper = nearest(fused, wanted[place].shape[2:])
        found.insert(0, normalise(F.conv2d(deeper, state[f"{name}.predict.0.weight"], padding=1)))
    return found


def context_loss(student, teacher):
    """Return the loss of each example, pooled place by place."""
    losses = []
    for own, theirs in zip(student.detach().numpy(), teacher.numpy(), strict=True):
        difference, height = own - theirs, own.shape[1]
        total, weights = (difference**2).mean(), [1.0]
        for size in (4, 2, 1):
            if size < height:
                weights.append(weights[-1] / 2)
                step = height // size
                pooled = difference.reshape(len(difference), size, step, size, step).mean((2, 4))
                total += weights[-1] * (pooled**2).mean()
        losses.append(total / sum(weights))
    return np.array(losses)


def test_reviews_are_fused_from_deep_to_shallow_and_compared_in_all_sizes():
    student = [tensor(3, 2, 8, 8), tensor(3, 4, 4, 4), tensor(3, 6)]
    teacher = [tensor(3, 5, 8, 8), tensor(3, 3, 8, 8), tensor(3, 7)]
    names = ("abc", "xyz")
    term = ReviewDistillation(dict(zip(*names, strict=True)))
    torch.manual_seed(0)
    shapes = [[tuple(layer.shape[1:]) for layer in layers] for layers in (student, teacher)]
    reviews = term.make_adapters(*shapes, SAMPLES).double()
    own, theirs = (dict(zip(name, layers, strict=True)) for name, layers in zip(names, (student, teacher), strict=True))
    found = term.of_layers(own, theirs, as_batch([0, 1, 2]), reviews)
    wanted = [*teacher[:2], teacher[2][:, :, None, None]]
    fused = fuse_by_hand([*student[:2], student[2][:, :, None, None]], wanted, reviews.state_dict())
    by_hand = sum(context_loss(one, other) for one, other in zip(fused, wanted, strict=True))
    np.testing.assert_allclose(found.detach(), by_hand, rtol=1e-9)
    assert not any(name.startswith("fusions.2.attend") for name in reviews.state_dict())


def test_reviews_of_layers_that_are_no_images_are_refused():
    with pytest.raises(MismatchError, match=r"'b' with the teacher's 'y': it needs images .* got \[5, 6\] and \[3\]"):
        ReviewDistillation({"a": "x", "b": "y"}).make_adapters([(2,), (5, 6)], [(2,), (3,)], SAMPLES)
