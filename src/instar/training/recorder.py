"""The losses of each step, on the device until a line of metrics is written, and the search for the first NaN."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from accelerate import Accelerator
from torch import Tensor

from instar.errors import NonFiniteError
from instar.runs.run import Run
from instar.training.checkpoint import describe_checkpoint

MAX_LOSS = 1e30
"""A larger sum of losses counts as infinite: the logarithm of 0 is stored as the lowest float32."""


class Recorder:
    """Collects the terms of the loss, and writes their means over examples to metrics.jsonl.

    Numbers of several steps are read together, because reading from an accelerator makes it wait.

    Args:
        run: run that owns metrics.jsonl.
        steps_per_epoch: steps per epoch.
        explain: returns why the loss of a step is not finite, and what to do; called for the first such step.
    """

    def __init__(self, run: Run, steps_per_epoch: int, explain: Callable[[int], str]) -> None:
        self.run, self.steps_per_epoch, self._explain = run, steps_per_epoch, explain
        self._names: list[str] = []
        self._parts: list[Tensor] = []  # of the current step
        self._sums: list[Tensor] = []  # of each step since the last line of metrics, [terms]
        self._counts: list[int] = []
        self._measured: list[tuple[int, dict[str, Tensor]]] = []

    def add(self, sums: dict[str, Tensor]) -> None:
        """Add the sums over the examples of one part of a step."""
        self._names = list(sums)
        self._parts.append(torch.stack(list(sums.values())))

    def end_step(self, count: int) -> None:
        """End a step of `count` examples in all parts and processes."""
        # the usual single part is not copied
        self._sums.append(self._parts[0] if len(self._parts) == 1 else torch.stack(self._parts).sum(0))
        self._counts.append(count)
        self._parts = []

    def measure(self, step: int, numbers: dict[str, Tensor]) -> None:
        """Add the measurements of the gradient of a step, which are the same in every process."""
        self._measured.append((step, numbers))

    def flush(self, step: int, learning_rate: float, seconds: float, accelerator: Accelerator) -> dict[str, float]:
        """Write one line for the steps since the last line, up to `step`; return its means.

        Steps whose gradient was measured have lines of their own, before this one.

        Raises:
            NonFiniteError: names the first step and the term that was NaN or infinite, and the last good checkpoint.
        """
        values: Tensor = accelerator.reduce(torch.stack(self._sums))  # [steps, terms]
        # step by step and before anything is written, so that the error names the first bad step; NaN < x is False
        for row, good in enumerate((values.abs() < MAX_LOSS).tolist()):
            if not all(good):
                self._refuse(good, values[row].tolist(), step - len(self._sums) + 1 + row)
        total = sum(self._counts)
        sums = values.sum(0).tolist()
        # a mask may leave no example in all of these steps
        means = {name: value / max(1, total) for name, value in zip(self._names, sums, strict=True)}
        if accelerator.is_main_process:
            self._write_measured()
            line = {"kind": "train", "step": step, "epoch": step / self.steps_per_epoch, **means}
            self.run.metrics_log.append(
                line | {"learning_rate": learning_rate, "examples": total, "seconds": round(seconds, 3)}
            )
        self._sums, self._counts, self._measured = [], [], []
        return means

    def _write_measured(self) -> None:
        if not self._measured:
            return
        # one transfer for all numbers of all steps
        values = torch.stack([torch.stack(list(numbers.values())) for _, numbers in self._measured]).tolist()
        for (step, numbers), row in zip(self._measured, values, strict=True):
            found = dict(zip(numbers, row, strict=True))  # a NaN is written as null: a term of 0 has no angle
            self.run.metrics_log.append(
                {"kind": "gradients", "step": step, "epoch": step / self.steps_per_epoch} | found
            )

    def _refuse(self, good: list[bool], values: list[float], step: int) -> None:
        terms = [(name, value) for name, value, ok in zip(self._names, values, good, strict=True) if not ok]
        # the sum is bad whenever a term is; its name says nothing, unless all terms are finite and only it overflows
        name, value = next((pair for pair in terms if pair[0] != "loss"), terms[0])
        word = "NaN" if math.isnan(value) else "infinite"
        checkpoint = describe_checkpoint(self.run)
        raise NonFiniteError(f"term '{name}' is {word} at step {step}; {checkpoint} {self._explain(step)}")
