"""What a fitted estimator predicts for the rows that a caller holds, as a teacher."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from instar.data.batch import Batch
from instar.data.samples import Samples
from instar.targets.targets import DenseTargets
from instar.teachers.teacher import Teacher


class RowTeacher(Teacher):
    """Has the predictions of an estimator for all rows of a caller, and queries it for new ones.

    Args:
        teacher: the estimator as a teacher.
        outputs: what it predicts for the rows, in the order of their ids, float32 `[rows, outputs]`.
        ask: returns the same for batches of rows that were made after those of the caller.
    """

    def __init__(self, teacher: Teacher, outputs: Tensor, ask: Callable[[Batch], Tensor]) -> None:
        self.teacher, self.outputs, self.ask = teacher, outputs, ask

    def targets(self, batch: Batch) -> DenseTargets:
        """Return the outputs for a batch."""
        ids = torch.tensor(batch.host_ids)
        is_known = ids < len(self.outputs)
        found = self.outputs[ids.where(is_known, 0)]
        if not is_known.all():
            found[~is_known] = self.ask(batch.rows((~is_known).nonzero().flatten().to(batch.ids.device))).cpu()
        return DenseTargets(found.to(batch.ids.device))

    def knows(self, samples: Samples) -> bool:
        """Return True: it predicts any row."""
        return True

    def describe_kind(self) -> str:
        """Return that of the estimator."""
        return self.teacher.describe_kind()

    def fingerprint(self) -> str:
        """Return a hash of everything that the predictions depend on."""
        return self.teacher.fingerprint()
