"""Attention transfer, compared with its formula in NumPy and float64, and with the authors' code."""

import numpy as np
import torch
import torch.nn.functional as F

from instar.data import Batch
from instar.objectives import AttentionTransfer

BATCH = Batch.of_labels(torch.zeros(4, dtype=torch.int64))
RANDOM = np.random.default_rng(0)
STUDENT = [RANDOM.standard_normal((4, 3, 6, 5)), RANDOM.standard_normal((4, 2, 3, 3))]
TEACHER = [RANDOM.standard_normal((4, 7, 6, 5)), RANDOM.standard_normal((4, 2, 3, 3))]


def tensors(arrays, names):
    return {name: torch.tensor(array) for name, array in zip(names, arrays, strict=True)}


def by_hand(student, teacher):
    """Return the loss of one pair per example, place by place."""
    losses = []
    for own, theirs in zip(student, teacher, strict=True):
        maps = []
        for features in (own, theirs):
            channels, height, width = features.shape
            energy = np.zeros((height, width))
            for row in range(height):
                for column in range(width):
                    energy[row, column] = sum(features[c, row, column] ** 2 for c in range(channels)) / channels
            maps.append(energy / np.sqrt((energy**2).sum()))
        losses.append(((maps[0] - maps[1]) ** 2).sum() / maps[0].size)
    return np.array(losses)


def test_is_the_formula_in_float64():
    found = AttentionTransfer({"a": "x", "b": "y"}).of_layers(tensors(STUDENT, "ab"), tensors(TEACHER, "xy"), BATCH)
    wanted = sum(by_hand(own, theirs) for own, theirs in zip(STUDENT, TEACHER, strict=True))
    np.testing.assert_allclose(found, wanted, rtol=1e-12)


def test_its_mean_is_the_loss_of_the_authors_code():
    def at(x):
        return F.normalize(x.pow(2).mean(1).view(x.size(0), -1))

    own, theirs = tensors(STUDENT, "ab"), tensors(TEACHER, "xy")
    wanted = sum((at(own[s]) - at(theirs[t])).pow(2).mean() for s, t in ("ax", "by"))
    found = AttentionTransfer({"a": "x", "b": "y"}).of_layers(own, theirs, BATCH).mean()
    torch.testing.assert_close(found, wanted)


def test_scale_and_number_of_channels_do_not_matter():
    own = torch.tensor(STUDENT[0])
    same = AttentionTransfer().compare(own, 100 * torch.cat([own, -own], dim=1))
    torch.testing.assert_close(same, torch.zeros_like(same), atol=1e-12, rtol=0)
