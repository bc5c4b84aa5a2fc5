"""The memories of a contrastive term: embeddings of all training samples by both networks, and draws from them."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from instar.analysis.scores import UNLABELLED
from instar.compute.processes import gather_rows
from instar.data.batch import Batch
from instar.data.samples import Samples
from instar.errors import MismatchError
from instar.objectives.features.adapters import Adapters, Compared


class ContrastiveMemory(Adapters):
    """Embeddings of two networks, and what they were when each sample of the training set was seen last.

    Rows are in the order of the classes, so that the samples of all other classes are two ranges of rows.

    Args:
        widths: features of the student and of the teacher.
        samples: the training set.
        negatives: draws for each sample.
        embedding: numbers of an embedding.
        temperature: what products of embeddings are divided by.
        momentum: share of a row that stays when its sample is seen again.
        by_class: whether negatives are of other classes, or all other samples.

    Raises:
        MismatchError: when samples have no label or labels at positions, or all are of one class.
    """

    of_student: Tensor
    of_teacher: Tensor
    log_constants: Tensor
    is_estimated: Tensor
    known: Tensor
    at: Tensor
    counts: Tensor
    starts: Tensor
    group_of_row: Tensor

    def __init__(
        self,
        widths: tuple[int, int],
        samples: Samples,
        *,
        negatives: int,
        embedding: int,
        temperature: float,
        momentum: float,
        by_class: bool,
    ) -> None:
        super().__init__()
        self.negatives, self.temperature, self.momentum = negatives, temperature, momentum
        self.embeddings = nn.ModuleList(nn.Linear(width, embedding) for width in widths)
        number = len(samples)
        bound = math.sqrt(3 / embedding)  # so that a row has a length of about 1
        for name in ("of_student", "of_teacher"):
            self.register_buffer(name, torch.empty(number, embedding).uniform_(-bound, bound))
        self.register_buffer("log_constants", torch.zeros(2))
        self.register_buffer("is_estimated", torch.tensor(False))
        # not in the checkpoint, because they follow from the samples
        groups = find_classes(samples) if by_class else torch.arange(number)
        order = groups.argsort(stable=True)
        known, at = samples.ids[order].sort()
        counts = groups.bincount()
        for name, values in {"known": known, "at": at, "counts": counts, "starts": counts.cumsum(0) - counts}.items():
            self.register_buffer(name, values, persistent=False)
        self.register_buffer("group_of_row", groups[order], persistent=False)
        self._has_constants = False  # a copy of `is_estimated` that can be read without waiting for an accelerator
        self._found: tuple[Tensor, list[Tensor], Tensor] | None = None

    @property
    def memories(self) -> tuple[Tensor, Tensor]:
        """The rows of the student and of the teacher, `[samples, embedding]`."""
        return self.of_student, self.of_teacher

    def rows_of(self, batch: Batch) -> Tensor:
        """Return the rows of the samples of a batch, and of their negatives, int64 `[batch, 1 + negatives]`."""
        rows = self.at[torch.searchsorted(self.known, batch.ids)]
        group = self.group_of_row[rows]
        start, count = self.starts[group], self.counts[group]
        drawn = batch.draws("contrastive").table_below(len(self.known) - count, self.negatives, "negatives")
        drawn += count[:, None] * (drawn >= start[:, None])  # those from the own class on are the rows after it
        return torch.cat([rows[:, None], drawn], dim=1)

    def forward(self, student: list[Tensor], teacher: list[Tensor], batch: Batch) -> Compared:
        """Return log h / (1 - h) of the positive and of each negative, for both networks."""
        rows = self.rows_of(batch)
        own, theirs = (
            F.normalize(embed(layers[0].flatten(1)), dim=1)
            for embed, layers in zip(self.embeddings, (student, teacher), strict=True)
        )
        # products with all rows, of which the drawn ones are taken: to copy 16,384 rows for each sample takes 10 times
        # as long, and 500 MB for a batch of 64
        scores = [
            (of / self.temperature @ memory.t()).gather(1, rows)
            for of, memory in ((own, self.of_teacher), (theirs, self.of_student))
        ]
        constants = self._constants(scores)
        self._found = (rows[:, 0], [own.detach(), theirs.detach()], constants)
        noise = math.log(self.negatives / len(self.known))
        of_student, of_teacher = (score - (noise + constant) for score, constant in zip(scores, constants, strict=True))
        return [of_student], [of_teacher]

    @torch.no_grad()
    def update(self) -> None:
        """Move the rows of the last batch towards its embeddings, and keep the first estimate of Z."""
        if self._found is None:
            return
        rows, found, constants = self._found
        rows, found = gather_rows(rows), [gather_rows(one) for one in found]
        for memory, embedded in zip(self.memories, found, strict=True):
            mixed = self.momentum * memory[rows] + (1 - self.momentum) * embedded
            memory.index_copy_(0, rows, F.normalize(mixed, dim=1))
        self.log_constants.copy_(constants)
        self.is_estimated.fill_(True)
        self._found = None

    @torch.no_grad()
    def _constants(self, scores: list[Tensor]) -> Tensor:
        """Return log Z of both networks, `[2]`."""
        self._has_constants = self._has_constants or bool(self.is_estimated)
        if self._has_constants:
            return self.log_constants.clone()
        sums = gather_rows(torch.stack([score.logsumexp((0, 1)) for score in scores])[None]).logsumexp(0)
        count = int(gather_rows(torch.tensor([scores[0].numel()], device=sums.device)).sum())
        return sums + math.log(len(self.known) / max(1, count))


def find_classes(samples: Samples) -> Tensor:
    """Return the class of each sample, int64 `[samples]`.

    Raises:
        MismatchError: when there is not one class for each, or only one in all.
    """
    instead = "use Contrastive(by_class=False), which draws negatives from all other samples"
    if samples.source.labels.dim() != 1:  # asked before they are read, because those of a text may not fit in memory
        raise MismatchError("Contrastive needs one class for each sample, and labels are at positions; use Hints.")
    labels = samples.labels
    if missing := int((labels == UNLABELLED).sum()):
        raise MismatchError(
            f"Contrastive needs a label of every sample, and {missing} of {len(labels)} have none; {instead}."
        )
    if len(labels.unique()) < 2:
        raise MismatchError(f"Contrastive draws negatives of other classes, and all samples are of one; {instead}.")
    return labels
