"""Validation during training: scores, their plateaus, and early stopping."""

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
    """Scores a model every few epochs; with patience, stores the best weights by the task's criterion, and ends early.

    Its state is in the run folder: the scores in metrics.jsonl, and the best weights beside it. So a killed run resumes
    to the same end.

    Args:
        run: run folder.
        samples: validation samples; None: there is no validation.
        config: settings, among them how often the model is scored, and the patience.
        steps_per_epoch: steps per epoch.
        done: number of steps taken. Scores of later steps, from before a kill, are ignored and measured again.
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
        """Number of scores whose perplexity is not below the best one before them by more than `least_fall`."""
        for line in lines:
            if line.get("kind") == "validation" and line["step"] <= done:
                score = Fields(line, run.metrics_log.path)[self._criterion.name]
                self._add(math.inf if score is None else score)  # JSON has neither infinity nor NaN

    def is_due(self, step: int) -> bool:
        """Return whether the model is scored after `step` steps."""
        return self._samples is not None and (step == self._total or step % self._between == 0)

    def begin(self, state: TrainState) -> None:
        """With patience, score the initial weights too, because training may not improve those of another run."""
        if self._patience and not self._scores:  # a resumed run has the score of step 0 already
            self.score(0, state)

    def may_end(self, step: int) -> bool:
        """Return whether training may end after `step` steps, whose losses must then have been checked."""
        return self._patience > 0 and self.is_due(step)

    def score(self, step: int, state: TrainState) -> None:
        """Score a model, or the average of its weights, and store weights that are the best so far.

        Raises:
            NonFiniteError: when the criterion decides which weights are best, and is not finite.
        """
        assert self._samples is not None, "a score is due only if there are samples"
        scored = state.average.averaged() if state.average else state.model
        found = measure_validation(Module(scored), self._samples, self._accelerator.device)
        score = found[self._criterion.name]
        is_best = score < min(self._scores, default=float("inf"))
        if self._accelerator.is_main_process:
            # before the line, because a resumed run takes the best of its scores to be the weights in this file
            if self._patience and is_best:
                write_tensors(self._run.best, scored.state_dict(), {"run": self._run.identity})
            self._run.metrics_log.append(
                {"kind": "validation", "step": step, "epoch": step / self._steps_per_epoch} | found
            )
        # without patience an infinite score is only recorded: a student may give a class no probability
        if self._patience and not math.isfinite(score):
            name = self._criterion.title or self._criterion.name
            raise NonFiniteError(f"the {name} on validation is {score} after step {step}.")
        self._add(score)

    def _add(self, score: float) -> None:
        score = score if math.isfinite(score) else math.inf  # as a resumed run will read it
        if self._scores:
            # `least_fall` is in units of perplexity for every criterion
            best, found = perplexity(min(self._scores)), perplexity(score)
            self.plateaus += found >= best - self._least_fall
        self._scores.append(score)

    @property
    def is_over(self) -> bool:
        """Whether the criterion has not fallen for as many validations as the patience."""
        if not self._patience or not self._scores:
            return False
        # validations since the first of the lowest scores; an equal score is no improvement
        return len(self._scores) - 1 - self._scores.index(min(self._scores)) >= self._patience

    def finish(self, state: TrainState) -> None:
        """Load the final weights: with patience the best ones, otherwise their moving average if there is one."""
        if self._patience:
            self._accelerator.wait_for_everyone()  # the first process may still be writing them
            state.model.load_state_dict(self._best_weights(state.model))
        elif state.average:
            state.model.load_state_dict(state.average.values)

    def _best_weights(self, model: Normalised) -> Mapping[str, Tensor]:
        path = self._run.best
        tensors, header = read_tensors(path, sealed=self._run.sealed)
        # an intact file of another run would be loaded without an error if the networks are alike
        shapes, wanted = ({name: tensor.shape for name, tensor in of.items()} for of in (tensors, model.state_dict()))
        if shapes != wanted or (self._run.sealed and header.get("run") != self._run.identity):
            raise RunError(
                f"the best weights '{path}' are of another run; delete them and the checkpoint to restart the run."
            )
        return tensors
