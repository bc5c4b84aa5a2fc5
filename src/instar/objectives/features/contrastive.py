"""Contrast: which of many samples a student's features belong to, by memories of the teacher's, and the reverse."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor

from instar.checks import Count, DropProbability, Temperature, checked
from instar.compute.inputs import Shape
from instar.data.samples import Samples
from instar.errors import MismatchError
from instar.objectives.features.adapters import Adapters
from instar.objectives.features.contrastive_memory import ContrastiveMemory
from instar.objectives.features.feature_term import FeatureTerm
from instar.objectives.values import Need


@checked
@dataclass(frozen=True)
class Contrastive(FeatureTerm):
    """l_n = - sum over both networks of log h(z_n, m_n) + sum over k of log(1 - h(z_n, m_k)) with K negatives k (CRD).

    In nats per example n. h(z, m) = p / (p + K/N) with p = exp(z m / T) / Z is the probability that m belongs to the
    sample of z, and not to one of K that are drawn from the N samples of the training set. z is an embedding of one
    network, W A + b of length 1, where A is the flattened output of a layer, `[batch, features]`; m is a row of the
    memory of the other network, which has one for each sample, `[N, embedding]`. After each step a row becomes
    u m + (1 - u) z of length 1, with momentum u. Each of both Z is estimated once, by the mean of exp(z m / T) over the
    first batch, times N.

    Negatives are drawn with replacement, from the samples of other classes, by (seed, sample, step). So a resumed run
    draws the same ones. The embeddings and both memories are in the checkpoint: 8 N x embedding bytes.

    Z depends on the whole first batch. So batches are not split over micro-batches. Several processes share Z and have
    the same memories.

    Source: Tian et al. 2020, "Contrastive representation distillation", equations 17 to 19, with the defaults of their
    code, in which the weight is 0.8. They draw negatives without replacement, and add 1e-7 to p + K/N.

    Args:
        pairs: one layer of each network, that before the logits, such as `{"pooled": "pooled"}`.
        negatives: K.
        embedding: numbers of an embedding.
        temperature: T.
        momentum: u.
        by_class: False: draw negatives from all other samples, which needs no labels.

    >>> import torch
    >>> sure, unsure = torch.tensor([[9.0, -9.0]]), torch.zeros(1, 2)  # log h / (1 - h) of the positive and K = 1
    >>> Contrastive().compare(sure, sure).round(decimals=4), Contrastive().compare(unsure, unsure).round(decimals=4)
    (tensor([0.0005]), tensor([2.7726]))
    """

    negatives: Count = 16384
    embedding: Count = 128
    temperature: Temperature = 0.07
    momentum: DropProbability = 0.5
    by_class: bool = True

    name = "contrastive"
    relates_examples = True
    spans_processes = True

    @property
    def needs(self) -> frozenset[Need]:
        """A teacher, and labels if negatives are of other classes."""
        return frozenset({Need.TEACHER, Need.LABELS} if self.by_class else {Need.TEACHER})

    def make_adapters(self, student: Sequence[Shape], teacher: Sequence[Shape], samples: Samples) -> Adapters:
        """Return the embeddings and memories of both networks."""
        if len(student) != 1:
            raise MismatchError(
                f"Contrastive compares one layer of each network, got {len(student)} pairs; name the layer before the "
                "logits, such as {'pooled': 'pooled'}."
            )
        widths = (math.prod(student[0]), math.prod(teacher[0]))
        return ContrastiveMemory(
            widths,
            samples,
            negatives=self.negatives,
            embedding=self.embedding,
            temperature=self.temperature,
            momentum=self.momentum,
            by_class=self.by_class,
        )

    def compare(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Return the loss of log-odds `[batch, 1 + K]` of both networks, those of the positive sample first."""
        return discriminate(student) + discriminate(teacher)


def discriminate(log_odds: Tensor) -> Tensor:
    """Return the cross-entropy of telling the first of some samples from the others, `[batch]`."""
    return -F.logsigmoid(log_odds[:, 0]) - F.logsigmoid(-log_odds[:, 1:]).sum(1)
