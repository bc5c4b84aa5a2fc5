"""Prototypes: centres of the examples, with the best logits or numbers of those that are nearest to them."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import torch

from instar.models.nearest import Nearest
from instar.objectives.objective import Objective
from instar.seeds import derive
from instar.students.examples import Examples
from instar.students.fitted import FittedStudent
from instar.students.leaf_values import add, gather_sums, refuse_without_aim, smooth, solve
from instar.students.student import Lesson


class NearestStudent(FittedStudent):
    """Finds prototypes by k-means in each class, and gives each the logits of the least loss of its cell.

    The class of an example is the likeliest of its best logits, which the targets give. A cell is all examples, of any
    class, whose nearest prototype it is, so its logits v_k are exact: argmin_v of the sum of their losses.

    Where labels are numbers, k-means looks at all examples alike, and v_k is the number with the least loss.

    Source: Hastie, Tibshirani and Friedman 2009, "The elements of statistical learning", section 13.2.1, for k-means
    in each class; there a prototype votes for its class alone.
    """

    noun = "a model of prototypes"

    def refuse_objective(self, objective: Objective) -> None:
        """Refuse an objective with a term that is no mean of targets."""
        refuse_without_aim(objective, self.noun)

    def fit(self, network: Any, examples: Examples, lesson: Lesson) -> int:
        """Find prototypes and their logits."""
        from sklearn.cluster import KMeans
        from sklearn.exceptions import ConvergenceWarning

        assert isinstance(network, Nearest), "the catalogue gives each family its student"
        sums, rows = gather_sums(lesson.objective, examples), examples.rows
        told = add(one.strengths for one in sums) > 0  # an example without a label or a target says nothing
        classes = np.where(told, solve(sums).argmax(1), -1)  # of numbers, all are one
        counts, centres = examples.samples.numpy(), []
        for one in range(examples.classes):
            is_own = classes == one
            own = rows[is_own]
            if len(own):
                count = min(network.most_prototypes, len(own))
                seed = derive(lesson.seed, "nearest", one) % 2**32
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", ConvergenceWarning)  # fewer different rows than prototypes
                    # until no row changes its cell: the default bound depends on the rows, and not on their weights
                    found = KMeans(count, n_init=1, tol=0, random_state=seed).fit(own, sample_weight=counts[is_own])
                    centres.append(found.cluster_centers_)
        prototypes = torch.from_numpy(np.unique(np.concatenate(centres).astype(np.float32), axis=0))
        network.fill({"centres": prototypes, "logits": torch.zeros(len(prototypes), examples.classes)})
        cells = network.find_nearest(torch.from_numpy(rows).to(network.centres.device)).cpu().numpy()
        by_cell = [one.within(cells, len(prototypes)) for one in sums]
        whole = [one.within(np.zeros(len(rows), np.int64), 1) for one in sums]
        best = solve(smooth(by_cell, whole, network.smoothing, examples.weight))
        network.fill({"logits": torch.from_numpy(examples.to_unit(best)).float()})
        return 1
