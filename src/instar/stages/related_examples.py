"""Whether batches stay whole and large enough for terms that relate their examples to each other."""

from __future__ import annotations

from accelerate import Accelerator

from instar.config import TrainingConfig
from instar.data.loader import Loader
from instar.errors import ConfigError
from instar.objectives.features.feature_term import FeatureTerm
from instar.objectives.objective import Objective
from instar.stages.rehearsal import least_part


def refuse_split_batches(
    objective: Objective, loader: Loader, config: TrainingConfig, accelerator: Accelerator
) -> None:
    """Refuse to split batches, and batches of one sample, for a term that relates the examples of a batch.

    Raises:
        ConfigError: names the term, and the setting to change.
    """
    number = accelerator.num_processes
    for term in (term for _, term in objective.parts if term.relates_examples):
        relates = f"{type(term).__name__} relates the samples of a batch to each other, and"
        if config.micro_batches > 1:
            raise ConfigError(f"{relates} micro-batches split them; set training.micro_batches to 1.")
        if number > 1:
            if isinstance(term, FeatureTerm) and term.spans_processes:
                continue  # each process has a sample, so no batch has less than two
            raise ConfigError(f"{relates} {number} processes share them; train in one process.")
        if least_part(loader, config, accelerator) < 2:
            raise ConfigError(
                f"{relates} a batch of this run has one sample (batch_size {loader.batch_size}, "
                f"{len(loader.samples)} samples); choose another training.batch_size."
            )
