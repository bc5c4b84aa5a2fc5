"""Terms that relate the examples of a batch, compared with their authors' code, and loops, in float64."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from instar.data import Batch, load_data
from instar.errors import ConfigError
from instar.models import MLP
from instar.objectives import Correlation, FlowOfSolution, ProbabilisticTransfer, Relational, SimilarityPreserving
from instar.procedures.distill import distill
from instar.procedures.train import train
from instar.targets import DenseTargets

RANDOM = np.random.default_rng(0)
STUDENT, TEACHER = (torch.tensor(RANDOM.standard_normal((6, width, 2))) for width in (3, 5))


def similarity_preserving():
    g_s, g_t = (F.normalize(torch.mm(f, f.t())) for f in (STUDENT.flatten(1), TEACHER.flatten(1)))
    return (g_t - g_s).square().sum() / 36


def probabilistic_transfer():
    rows = []
    for layer in (STUDENT.flatten(1).numpy(), TEACHER.flatten(1).numpy()):
        kernel = np.zeros((6, 6))
        for i in range(6):
            for j in range(6):
                cosine = layer[i] @ layer[j] / np.sqrt((layer[i] @ layer[i]) * (layer[j] @ layer[j]))
                kernel[i, j] = (cosine + 1) / 2
        rows.append(kernel / kernel.sum(1, keepdims=True))
    q, p = rows
    return torch.tensor((p * np.log(p / q)).mean())


def relational():
    def pdist(e):
        squares = e.pow(2).sum(1)
        found = (squares[:, None] + squares[None] - 2 * e @ e.t()).clamp(min=1e-12).sqrt()
        found[range(len(e)), range(len(e))] = 0
        return found / found[found > 0].mean()

    def angle(e):
        norm = F.normalize(e[None] - e[:, None], p=2, dim=2)
        return torch.bmm(norm, norm.transpose(1, 2)).view(-1)

    own, theirs = STUDENT.flatten(1), TEACHER.flatten(1)
    return 25 * F.smooth_l1_loss(pdist(own), pdist(theirs)) + 50 * F.smooth_l1_loss(angle(own), angle(theirs))


@pytest.mark.parametrize(
    ("term", "by_hand"),
    [
        (SimilarityPreserving(), similarity_preserving),
        (ProbabilisticTransfer(), probabilistic_transfer),
        (Relational(), relational),
    ],
    ids=lambda case: getattr(case, "name", ""),
)
def test_the_mean_over_a_batch_is_the_published_loss(term, by_hand):
    torch.testing.assert_close(term.compare(STUDENT, TEACHER).mean(), by_hand(), rtol=1e-5, atol=1e-12)


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_correlation_is_that_of_numpy(temperature):
    student, teacher = RANDOM.standard_normal((2, 6, 5))
    p, q = (np.exp(values / temperature) for values in (teacher, student))
    p, q = (values / values.sum(1, keepdims=True) for values in (p, q))
    over_examples = np.mean([np.corrcoef(p[:, c], q[:, c])[0, 1] for c in range(5)])
    over_classes = np.array([np.corrcoef(p[n], q[n])[0, 1] for n in range(6)])
    wanted = temperature**2 * (2 * (1 - over_classes) + 3 * (1 - over_examples))
    targets, batch = DenseTargets(torch.tensor(teacher)), Batch.of_labels(torch.zeros(6, dtype=torch.int64))
    found = Correlation(2, 3, temperature)(torch.tensor(student), batch, targets).loss
    np.testing.assert_allclose(found, wanted, rtol=1e-5)


def test_flow_matrices_are_those_of_a_loop():
    own, theirs = (
        [torch.tensor(RANDOM.standard_normal(shape)) for shape in ((2, 3, 4, 4), (2, 2, 2, 2), (2, 4, 2, 2))]
        for _ in range(2)
    )
    wanted = np.zeros(2)
    for first in (0, 1):
        matrices = []
        for layers in (own, theirs):
            start, end = layers[first].numpy(), layers[first + 1].numpy()
            if start.shape[2] == 4:
                start = start.reshape(2, 3, 2, 2, 2, 2).max((3, 5))
            found = np.zeros((2, start.shape[1], end.shape[1]))
            for row in range(2):
                for column in range(2):
                    found += start[:, :, None, row, column] * end[:, None, :, row, column] / 4
            matrices.append(found)
        wanted += ((matrices[0] - matrices[1]) ** 2).sum((1, 2))
    term, names = FlowOfSolution({"a": "a", "b": "b", "c": "c"}), "abc"
    batch = Batch.of_labels(torch.zeros(2, dtype=torch.int64))
    found = term.of_layers(dict(zip(names, own, strict=True)), dict(zip(names, theirs, strict=True)), batch)
    np.testing.assert_allclose(found, wanted, rtol=1e-12)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"micro_batches": 2}, "micro-batches split them; set training.micro_batches to 1"),
        ({"batch_size": 1}, "a batch of this run has one sample"),
    ],
)
def test_batches_that_are_split_or_of_one_sample_are_refused(tmp_path, settings, sentence):
    data = load_data("digits", subset=31)
    teacher = train(data, MLP([8]), out=tmp_path / "teacher", epochs=1)
    objective = "SoftTargets(4) + Relational({'hidden1': 'hidden1'})"
    with pytest.raises(ConfigError, match=f"Relational relates the samples of a batch to each other, and {sentence}"):
        distill(data, teacher, MLP([4]), out=tmp_path / "run", objective=objective, epochs=1, **settings)
    assert not (tmp_path / "run").exists()


def test_a_student_learns_the_relations_of_its_teacher(tmp_path):
    data = load_data("digits", subset=200)
    teacher = train(data, MLP([16]), out=tmp_path / "teacher", epochs=2, batch_size=20)
    pairs = "{'hidden1': 'hidden1'}"
    objective = f"SoftTargets(4) + SimilarityPreserving({pairs}) + ProbabilisticTransfer({pairs}) + Relational({pairs})"
    run = distill(
        data, teacher, MLP([8]), out=tmp_path / "run", objective=objective, epochs=4, batch_size=20, log_every=10
    )
    lines = [line for line in run.history() if line["kind"] == "train"]
    for name in ("similarity_preserving", "probabilistic_transfer", "relational"):
        assert 0 < lines[-1][name] < lines[0][name]
