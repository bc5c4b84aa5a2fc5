"""Watches a training: scores on validation samples, and the end of one that gets no better."""

from __future__ import annotations

import math

from accelerate import Accelerator

from instar.config import TrainingConfig
from instar.data import Samples
from instar.errors import NonFiniteError
from instar.models import Normalised
from instar.run import Run, read_tensors, write_tensors
from instar.teachers import Module
from instar.training.evaluate import validate
from instar.training.optimise import WeightAverage


class Validation:
    """Scores a model every few epochs; with patience, keeps the weights with the lowest NLL and says when to end.

    What it knows is in the run folder, the scores in metrics.jsonl and the best weights beside it, so that a run that
    was killed ends where it would have.

    Args:
        run: the folder.
        samples: those that are asked about; none: there is nothing to watch.
        config: how often, and how patient.
        steps_per_epoch: steps of an epoch.
        done: steps before this. Scores of later ones are of a run that was killed, and will be found again.
        accelerator: device and processes.
    """

    def __init__(
        self,
        run: Run,
        samples: Samples | None,
        config: TrainingConfig,
        steps_per_epoch: int,
        done: int,
        accelerator: Accelerator,
    ) -> None:
        self._run, self._samples, self._accelerator = run, samples, accelerator
        self._patience, self._steps_per_epoch = config.patience, steps_per_epoch
        self._total, self._between = config.epochs * steps_per_epoch, config.evaluate_every * steps_per_epoch
        lines = run.history() if config.patience else []
        self._scores = [line["nll"] for line in lines if line["kind"] == "validation" and line["step"] <= done]

    def is_due(self, step: int) -> bool:
        """Whether the model is to be scored after `step` steps."""
        return self._samples is not None and (step == self._total or step % self._between == 0)

    def may_end(self, step: int) -> bool:
        """Whether training may end after `step` steps, so that their losses must have been looked at before."""
        return self._patience > 0 and self.is_due(step)

    def score(self, step: int, model: Normalised, average: WeightAverage | None) -> None:
        """Score a model, or the average of its weights, and keep those where they are the best so far.

        Raises:
            NonFiniteError: when the NLL is to say which weights are best, and is no number.
        """
        assert self._samples is not None, "a score is due only where there are samples"
        scored = average.averaged() if average else model
        found = validate(Module(scored), self._samples, self._accelerator.device)
        if self._accelerator.is_main_process:
            self._run.append({"kind": "validation", "step": step, "epoch": step / self._steps_per_epoch} | found)
        if self._patience:
            if not math.isfinite(found["nll"]):
                raise NonFiniteError(f"the NLL on validation is {found['nll']} after step {step}.")
            if found["nll"] < min(self._scores, default=float("inf")) and self._accelerator.is_main_process:
                write_tensors(self._run.best, scored.state_dict())
            self._scores.append(found["nll"])

    @property
    def is_over(self) -> bool:
        """Whether the NLL has not fallen for too long."""
        if not self._scores:
            return False
        return len(self._scores) - 1 - self._scores.index(min(self._scores)) >= self._patience

    def restore(self, model: Normalised) -> None:
        """Give the model its best weights, where they were kept."""
        if self._patience:
            self._accelerator.wait_for_everyone()
            tensors, _ = read_tensors(self._run.best)
            model.load_state_dict(tensors)
