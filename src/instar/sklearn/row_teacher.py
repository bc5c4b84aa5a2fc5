"""What a fitted estimator predicts for the rows that a caller holds, as a teacher."""

from __future__ import annotations

import torch
from torch import Tensor

from instar.data.batch import Batch
from instar.data.samples import Samples
from instar.targets.targets import DenseTargets
from instar.teachers.classifier import Classifier
from instar.teachers.estimator_inputs import read_features
from instar.teachers.teacher import Teacher


class RowTeacher(Teacher):
    """Queries an estimator once for all rows, in the form that the caller gave them, and later only for new ones.

    Args:
        estimator: the fitted classifier.
        logits: what it predicts for the rows, in the order of their ids, float32 `[rows, classes]`.
        columns: number of each of its classes among those of the data.
    """

    def __init__(self, estimator: Classifier, logits: Tensor, columns: list[int]) -> None:
        self.estimator, self.logits, self.columns = estimator, logits, columns

    def targets(self, batch: Batch) -> DenseTargets:
        """Return the logits of a batch; rows that were made after those of the caller are queried now."""
        ids = torch.tensor(batch.host_ids)
        is_known = ids < len(self.logits)
        found = self.logits[ids.where(is_known, 0)]
        if not is_known.all():
            new = batch.rows((~is_known).nonzero().flatten().to(batch.ids.device))
            inputs = read_features(self.estimator.estimator, new, "classifier")
            found[~is_known] = self.estimator.predict_logits(inputs, len(new), self.columns, found.shape[1])
        return DenseTargets(found.to(batch.ids.device))

    def knows(self, samples: Samples) -> bool:
        """Return True: it predicts any row."""
        return True

    def fingerprint(self) -> str:
        """Return a hash of everything that the predictions depend on."""
        return self.estimator.fingerprint()
