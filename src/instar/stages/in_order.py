"""Stages that need each other's runs, such as generations and phases: trained one after another, and resumed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from instar.data.dataset import load_data
from instar.errors import NonFiniteError
from instar.models.trained import TrainedRun
from instar.stages.stage import Stage


def run_in_order(part: str, stages: Iterable[Stage], first: int = 0) -> Iterator[TrainedRun]:
    """Train stages one after another, and yield each complete run before the next one begins.

    A complete run is opened and not trained again, so a killed sequence resumes inside the stage that it had reached.

    Args:
        part: what a stage is called in errors, such as "generation".
        stages: the stages in order.
        first: number of the first stage.

    Raises:
        NonFiniteError: if a stage diverges; names it, and says which are kept.
    """
    for number, stage in enumerate(stages, first):
        try:
            run = stage.run()
        except NonFiniteError as error:
            # the sentence counts complete runs only: this one has a checkpoint at most
            kept = f"{part}s {first} to {number - 1} are kept" if number > first else "there is none to keep"
            raise NonFiniteError(f"{part} {number} diverged, and {kept}: {error}") from None
        yield run


def load_once(stage: Stage) -> Stage:
    """Return a stage that holds its data, so that all stages that are made from it share them."""
    data = stage.given.data or load_data(stage.config.data, trust=stage.trust)
    return replace(stage, given=replace(stage.given, data=data))
