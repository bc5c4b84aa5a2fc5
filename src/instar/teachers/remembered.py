"""A teacher that is queried once for each sample and view; its targets are kept in memory."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from instar.data.batch import Batch
from instar.data.loader import Loader
from instar.data.samples import Samples
from instar.data.views.identity import Identity
from instar.errors import ConfigError, MismatchError
from instar.targets.targets import Targets
from instar.teachers.teacher import Teacher, drop_positions, query

MAX_ROWS_PER_QUERY = 4096
"""Number of samples of a query of a teacher that answers by row; libraries of trees take long to start a query."""


class Remembered(Teacher):
    """The targets of a teacher for the samples of a loader in each of its views.

    The teacher is queried in order of id, so that targets do not depend on the order of training or on where a run
    resumes. One that answers by row is queried with many samples at a time.

    Args:
        teacher: teacher to query.
        loader: loader of the samples, with a limited number of views.
        advance: function that gets the number of samples of each batch, to show progress.

    Raises:
        ConfigError: when the number of views is unlimited.
    """

    def __init__(self, teacher: Teacher, loader: Loader, advance: Callable[[int], None] = lambda samples: None) -> None:
        if loader.num_views is None:
            raise ConfigError("endless views cannot be remembered; set num_views, or query the teacher online.")
        self.teacher, self.classes = teacher, teacher.classes
        self._origin = loader.origin
        # from id to row, [samples of the source]; a table rather than a search, so that a lookup is one gather
        row_of = torch.full((len(loader.samples.source),), -1, device=loader.device)
        self._targets = []  # by view
        if teacher.answers_by_row and isinstance(loader.views, Identity):
            loader = Loader(loader.samples, MAX_ROWS_PER_QUERY, seed=loader.seed, device=loader.device)
        for view in range(loader.num_views or 1):
            parts, ids = [], []
            for batch in loader.in_order(view, trim=False):  # with all positions, so that batches can be joined
                parts.append(query(teacher, batch))
                ids.append(batch.ids)
                advance(len(batch))
            # from the ids of the batches, because a stream is read in columns
            row_of[torch.cat(ids)] = torch.arange(len(loader.samples), device=loader.device)
            self._targets.append(parts[0].joined(parts[1:]))
        self._row_of = row_of

    without_layers = "keeps predictions alone; query the network online"

    def targets(self, batch: Batch) -> Targets:
        """Return the targets of the batch.

        Raises:
            MismatchError: when the targets of a sample or of the view are not in memory.
        """
        rows = self._row_of.to(batch.ids.device).index_select(0, batch.ids)
        # reading the rows would wait for an accelerator, and a batch of the same origin has no other samples
        is_known = batch.origin is self._origin or not (rows < 0).any()
        if batch.view >= len(self._targets) or not is_known:
            raise MismatchError("the batch has samples or a view for which the teacher was not queried.")
        return drop_positions(self._targets[batch.view].rows(rows), batch)

    def knows(self, samples: Samples) -> bool:
        """Return whether the targets of these samples without augmentation are in memory."""
        as_they_are = self._origin.views == Identity() and samples.source is self._origin.samples.source
        return as_they_are and not bool((self._row_of[samples.ids.to(self._row_of.device)] < 0).any())

    def fingerprint(self) -> str:
        """Return the teacher's fingerprint."""
        return self.teacher.fingerprint()

    def modules(self) -> list[nn.Module]:
        """Return the networks of the teacher."""
        return self.teacher.modules()
