"""`instar train`: trains a model on labels."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from instar.checks import checked
from instar.data.views.view import View
from instar.errors import ConfigError
from instar.models.trained import TrainedRun
from instar.objectives.objective import Objective, Term
from instar.paths import local_path
from instar.runs.run import Run
from instar.stages.arguments import DataLike, ModelLike
from instar.stages.configuration import configure


@checked
def train(
    data: DataLike | None = None,
    model: ModelLike | None = None,
    *,
    out: str | Path,
    objective: str | Objective | Term | None = None,
    views: str | View | None = None,
    num_views: int | None = None,
    start: str | Path | Run | None = None,
    seed: int | None = None,
    config: str | Path | Mapping[str, Any] | None = None,
    settings: Mapping[str, Any] | None = None,
    network: nn.Module | str | None = None,
    trust: bool = False,
    show: bool = True,
    **named: Any,
) -> TrainedRun:
    """Train a model on labels, or resume a killed run, and return the complete run.

    Args:
        data: result of `load_data`, or its argument; None takes the data of `config`.
        model: family such as "mlp", with arguments as `{"name": ..., "arguments": {...}}`; architecture such as
            `instar.models.MLP([500, 300])`; or your own torch module, which is copied and trained further. Instar does
            not standardise the inputs of a module (pixels are 0..1), unless it is an `instar.models.Normalised`, and
            keeps layers in eval mode if others are in train mode. None takes the model of `config`.
        out: run folder; new, or of the same run.
        objective: weighted sum of terms without a teacher.
        views: augmentation, for example `"Crop(4) + Flip()"`.
        num_views: views per sample, used in turn; None makes a new one each epoch.
        start: run folder with the initial weights; its last layer is adapted to the classes.
        seed: seed of initial weights, data order, dropout and views.
        config: YAML file of settings, or its content; arguments override it.
        settings: any settings by dotted name, such as `{"data.subset": 100}`; they override everything else.
        network: network of the run in `start`, if it needs one: a module, or the `package.module:name` of a function
            that makes it.
        trust: allow model classes outside `instar.models`.
        show: show progress on stderr.
        named: fields of `TrainingConfig` (epochs, batch_size, learning_rate, ...), and the other fields of
            `RunConfig`: view_seed, correct_prior, judge_test.

    Raises:
        InstarError: in one sentence, for each mistake that the caller can correct.

    >>> import tempfile
    >>> run = train("digits", "mpl", out=tempfile.mkdtemp() + "/run", epochs=2)
    Traceback (most recent call last):
    instar.errors.ConfigError: model 'mpl' is unknown; did you mean 'mlp'?
    >>> from instar.models import MLP
    >>> run = train("digits", MLP([32]), out=tempfile.mkdtemp() + "/run", epochs=5, learning_rate=0.01)
    >>> run.metrics["error"] < 0.2
    True
    """
    given = configure(
        "train",
        {"data": data, "model": model},
        config,
        named,
        settings,
        trust=trust,
        refused=("teachers",),  # a stage with teachers queries them, whatever its verb is called
        objective=objective,
        views=views,
        num_views=num_views,
        start=start,
        seed=seed,
    )
    # start= may also stand in the file or in settings, so only the merged configuration can tell
    if network is not None and given.config.start_folder is None:
        raise ConfigError("network= needs start=, because it is the network of that run folder; leave it out.")
    return given.stage(local_path(out, "out"), network=network, trust=trust, show=show).run()
