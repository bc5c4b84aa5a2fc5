"""Data with a privileged column: four problems with known answers, and images beside their reductions."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from instar.data.dataset import Data
from instar.models.readers.pixels import Pixels
from instar.seeds import generator

NUM_FEATURES, NUM_RELEVANT, NUM_TRAINING_SAMPLES = 50, 3, 200
REDUCTION = 4
"""Side of the square of pixels that becomes one."""


@dataclass(frozen=True)
class Split:
    """Samples with their privileged column, `[n, ...]` each."""

    privileged: Tensor
    inputs: Tensor
    labels: Tensor


def shuffle_within_classes(labels: Tensor, seed: int) -> Tensor:
    """Return for each sample a random sample of its class, each of them once, int64 `[n]`.

    >>> labels = torch.tensor([0, 1, 0, 1, 1])
    >>> chosen = shuffle_within_classes(labels, 0)
    >>> sorted(chosen.tolist()), torch.equal(labels[chosen], labels)
    ([0, 1, 2, 3, 4], True)
    """
    draws, chosen = generator(seed, "shuffled"), torch.empty_like(labels)
    for number in labels.unique():
        places = (labels == number).nonzero()[:, 0]
        chosen[places] = places[torch.randperm(len(places), generator=draws)]
    return chosen


def draw_problem(name: str, seed: int, test_samples: int) -> tuple[Split, Split]:
    """Return training and test samples of a problem; seeds have directions of their own.

    >>> train, test = draw_problem("relevant features", 0, 400)
    >>> train.privileged.shape, train.inputs.shape, len(test.labels)
    (torch.Size([200, 3]), torch.Size([200, 50]), 400)
    """
    draws = generator(seed, name)
    count = NUM_TRAINING_SAMPLES + test_samples
    direction, x = torch.randn(NUM_FEATURES, generator=draws), torch.randn(count, NUM_FEATURES, generator=draws)
    if name == "clean labels":
        privileged, inputs = (x @ direction)[:, None], x
        labels = privileged[:, 0] + torch.randn(count, generator=draws) > 0
    elif name == "clean features":
        privileged, inputs = x, x + torch.randn(x.shape, generator=draws)
        labels = x @ direction > 0
    else:
        # places of the relevant features, those of all samples or of each, [count, 3]
        rows = 1 if name == "relevant features" else count
        places = torch.rand(rows, NUM_FEATURES, generator=draws).argsort(1)[:, :NUM_RELEVANT].expand(count, -1)
        privileged, inputs = x.gather(1, places), x
        labels = privileged @ direction[:NUM_RELEVANT] > 0
    columns = privileged, inputs, labels.long()
    cut = NUM_TRAINING_SAMPLES
    return Split(*(column[:cut] for column in columns)), Split(*(column[cut:] for column in columns))


def reduce_images(data: Data, samples: int, seed: int) -> tuple[Split, Split]:
    """Return some training samples and all test samples, with images of a fourth of the side as inputs."""
    found = []
    for chosen in (data.train.subset(min(samples, len(data.train)), seed), data.test):
        images = chosen.inputs()
        side = images.shape[-1] // REDUCTION
        found.append(Split(images, Pixels(side, resize="squash")(images), chosen.labels))
    return found[0], found[1]
