"""Watches a training: scores on validation samples, plateaus of them, and the end of one that gets no better."""

from __future__ import annotations

import math
from collections.abc import Mapping

from accelerate import Accelerator
from torch import Tensor

from instar.analysis.metrics import perplexity
from instar.config import TrainingConfig
from instar.data.samples import Samples
from instar.errors import NonFiniteError, RunError
from instar.models.normalised import Normalised
from instar.runs.documents import Fields
from instar.runs.files import read_tensors, write_tensors
from instar.runs.run import Run
from instar.tasks.task import Task
from instar.teachers.module import Module
from instar.training.scoring import measure_validation
from instar.training.state import TrainState


class Validation:
    """Scores a model every few epochs; with patience, keeps the best weights by the task's criterion, and ends early.

    Its state is in the run folder, scores in metrics.jsonl and the best weights beside it, so that a run that was
    killed ends as if it had not been.

    Args:
        run: the folder.
        samples: that the model predicts; None: there is no validation.
        config: how often the model is scored, and the patience.
        steps_per_epoch: steps of an epoch.
        done: steps that are done. Scores of later steps, from before a kill, are ignored and measured again.
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
        self._patience, self._least_fall, self._steps_per_epoch = config.patience, config.least_fall, steps_per_epoch
        self._total, self._between = config.epochs * steps_per_epoch, config.evaluate_every * steps_per_epoch
        self._criterion = (samples.source.task if samples is not None else Task()).criterion
        lines = run.history() if config.patience or config.schedule == "plateau" else []
        self._scores: list[float] = []
        self.plateaus = 0
        """The number of scores whose perplexity is not far enough below the best one before them."""
        for line in lines:
            if line.get("kind") == "validation" and line["step"] <= done:
                score = Fields(line, run.metrics_log.path)[self._criterion.name]
                self._note(math.inf if score is None else score)

    def is_due(self, step: int) -> bool:
        """Return whether the model is scored after `step` steps."""
        return self._samples is not None and (step == self._total or step % self._between == 0)

    def begin(self, state: TrainState) -> None:
        """With patience, score the initial weights too, because training may not improve those of another run."""
        if self._patience and not self._scores:
            self.score(0, state)

    def may_end(self, step: int) -> bool:
        """Return whether training may end after `step` steps, whose losses must then have been checked."""
        return self._patience > 0 and self.is_due(step)

    def score(self, step: int, state: TrainState) -> None:
        """Score a model, or the average of its weights, and store weights that are the best so far.

        Raises:
            NonFiniteError: when the criterion decides which weights are best, and is not finite.
        """
        assert self._samples is not None, "a score is due only where there are samples"
        scored = state.average.averaged() if state.average else state.model
        found = measure_validation(Module(scored), self._samples, self._accelerator.device)
        score = found[self._criterion.name]
        is_best = score < min(self._scores, default=float("inf"))
        if self._accelerator.is_main_process:
            if self._patience and is_best:  # before the score, because a resumed run expects the weights of each score
                write_tensors(self._run.best, scored.state_dict(), {"run": self._run.identity})
            self._run.metrics_log.append(
                {"kind": "validation", "step": step, "epoch": step / self._steps_per_epoch} | found
            )
        if self._patience and not math.isfinite(score):
            raise NonFiniteError(f"the {self._criterion.title} on validation is {score} after step {step}.")
        self._note(score)

    def _note(self, score: float) -> None:
        score = score if math.isfinite(score) else math.inf  # as a run that resumes will read it
        if self._scores:
            # least_fall is a fall of the perplexity, whatever the criterion
            best, found = perplexity(min(self._scores)), perplexity(score)
            self.plateaus += found >= best - self._least_fall
        self._scores.append(score)

    @property
    def is_over(self) -> bool:
        """Whether the criterion has not fallen for as many validations as the patience."""
        if not self._patience or not self._scores:
            return False
        return len(self._scores) - 1 - self._scores.index(min(self._scores)) >= self._patience

    def finish(self, state: TrainState) -> None:
        """Load the final weights: with patience the best ones, otherwise their average where one is kept."""
        if state.average:
            state.model.load_state_dict(state.average.values)
        if self._patience:
            self._accelerator.wait_for_everyone()  # the first process may still be writing them
            state.model.load_state_dict(self._best_weights(state.model))

    def _best_weights(self, model: Normalised) -> Mapping[str, Tensor]:
        path = self._run.best
        tensors, header = read_tensors(path, sealed=self._run.sealed)
        shapes, wanted = ({name: tensor.shape for name, tensor in of.items()} for of in (tensors, model.state_dict()))
        if shapes != wanted or (self._run.sealed and header.get("run") != self._run.identity):
            raise RunError(
                f"the best weights '{path}' are of another run; delete the checkpoint too, and the run begins anew."
            )
        return tensors
