"""`instar evaluate`: how good a model, a teacher or an ensemble is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import nn

from instar.config import DataConfig, validate
from instar.data import Data, load_data
from instar.errors import ConfigError
from instar.procedures.stage import with_network
from instar.run import Run
from instar.teachers import Stored, as_teacher
from instar.training import judge


def evaluate(
    subject: Any,
    data: Data | str | Sequence[Any] | DataConfig | None = None,
    *,
    split: str = "test",
    teacher: Any = None,
    trust: bool = False,
    network: nn.Module | str | None = None,
) -> dict[str, Any]:
    """Return the metrics of anything that answers with logits: a run, a target store, a module, an ensemble, ...

    Args:
        subject: what is evaluated.
        data: from `load_data`, or what it takes; None takes those that the run or the store was made from.
        split: "train", "validation" or "test".
        teacher: adds agreement with it, and the KL divergence to it.
        trust: allow model classes outside `instar.models`.
        network: the network of a run folder that needs it, a module or the `package.module:name` of what makes it.

    Returns:
        errors, error, error_interval, nll, ece, class_errors; perplexity of a text; words, word_errors and word_error
        of recorded words; agreement, kl_to_teacher, teacher_error and gain where there is a teacher.

    Raises:
        ConfigError: when there are no data.
        MismatchError: when the classes of subject, data and teacher differ.

    >>> from torch import nn
    >>> metrics = evaluate(nn.Sequential(nn.Flatten(), nn.Linear(64, 10)), "digits")
    >>> metrics["samples"]
    597
    """
    subject = with_network(subject, network, trust=trust)
    answering = as_teacher(subject, trust=trust)
    if data is None:
        if isinstance(answering, Stored):
            data = validate(DataConfig, answering.store.manifest.data)
        elif isinstance(subject, str | Path | Run):
            data = validate(DataConfig, (subject if isinstance(subject, Run) else Run(subject)).config["data"])
        else:
            raise ConfigError(f"evaluating a {type(subject).__name__} needs data; only a run folder knows its own.")
    found = data if isinstance(data, Data) else load_data(data)
    samples = found.split(split)
    followed = None if teacher is None else as_teacher(teacher, trust=trust)
    return judge(answering, samples, teacher=followed, keep=False).metrics()
