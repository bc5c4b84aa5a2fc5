"""A teacher that is queried once: memory holds its targets by (id, view)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from instar.data.loader import Batch, Loader
from instar.data.samples import Samples
from instar.data.views import Identity
from instar.errors import ConfigError, MismatchError
from instar.targets.targets import Targets
from instar.teachers.teacher import Teacher, drop_positions, query


class Remembered(Teacher):
    """The targets of a teacher for the samples of a loader in each of its views.

    The teacher is queried in order of id, so that targets do not depend on the order of training or on where a run
    resumes.

    Args:
        teacher: the teacher.
        loader: its samples and views are remembered.
        advance: called after every batch with the number of samples, to show progress.

    Raises:
        ConfigError: when the views are endless.
    """

    def __init__(self, teacher: Teacher, loader: Loader, advance: Callable[[int], None] = lambda samples: None) -> None:
        if loader.num_views is None:
            raise ConfigError("endless views cannot be remembered; set num_views, or ask the teacher online.")
        self.teacher, self.classes = teacher, teacher.classes
        self._origin = loader.origin
        position = torch.full((len(loader.samples.source),), -1, device=loader.device)
        self._answers = []
        for view in range(loader.num_views):
            parts, asked = [], []
            for batch in loader.in_order(view, trim=False):
                parts.append(query(teacher, batch))
                asked.append(batch.ids)
                advance(len(batch))
            position[torch.cat(asked)] = torch.arange(len(loader.samples), device=loader.device)
            self._answers.append(parts[0].joined(parts[1:]))
        self._position = position

    def targets(self, batch: Batch) -> Targets:
        """Return the targets of the batch.

        Raises:
            MismatchError: when a sample or the view was not remembered.
        """
        rows = self._position.to(batch.ids.device).index_select(0, batch.ids)
        # reading the rows would wait for an accelerator, and a batch of the same origin has no other samples
        is_known = batch.origin is self._origin or not (rows < 0).any()
        if batch.view >= len(self._answers) or not is_known:
            raise MismatchError("the batch holds samples or a view that the remembered teacher was never asked about.")
        return drop_positions(self._answers[batch.view].rows(rows), batch)

    def knows(self, samples: Samples) -> bool:
        """Return whether these samples were remembered without views."""
        as_they_are = self._origin.views == Identity() and samples.source is self._origin.samples.source
        return as_they_are and not bool((self._position[samples.ids.to(self._position.device)] < 0).any())

    def fingerprint(self) -> str:
        """Return the teacher's fingerprint."""
        return self.teacher.fingerprint()

    def modules(self) -> list[nn.Module]:
        """Return the networks of the teacher."""
        return self.teacher.modules()
