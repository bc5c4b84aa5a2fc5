"""`instar train`: a model from labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from instar.checks import checked
from instar.config import DataConfig, ModelConfig, RunConfig, validate
from instar.data.dataset import Data
from instar.data.views import View, as_view
from instar.models.build import describe
from instar.models.trained import TrainedRun
from instar.objectives.notation import as_objective
from instar.objectives.objective import Objective, Term
from instar.paths import local_path
from instar.stages.argument_order import refuse_swapped
from instar.stages.arguments import as_data, given_network, run_settings
from instar.stages.components import GivenObjects
from instar.stages.stage import Stage


@checked
def train(
    data: Data | str | Sequence[Any] | DataConfig,
    model: str | ModelConfig | Mapping[str, Any] | nn.Module,
    *,
    out: str | Path,
    objective: str | Objective | Term = "HardLabels()",
    views: str | View = "Identity()",
    num_views: int | None = None,
    seed: int = 0,
    trust: bool = False,
    **settings: Any,
) -> TrainedRun:
    """Train a model from labels, or take up a run that was killed, and return the complete run.

    Args:
        data: from `load_data`, or what it takes.
        model: a family such as "mlp", with arguments as `{"name": ..., "arguments": {...}}`; an architecture such as
            `instar.models.MLP([500, 300])`; or a torch module of yours, which is copied and trained from where it is.
            Its inputs are not standardised then (pixels are 0..1), unless it is an `instar.models.Normalised`; layers
            in eval mode beside others in train mode stay in it.
        out: the run folder; new, or of the same run.
        objective: terms that need no teacher.
        views: augmentation, for example `"Crop(4) + Flip()"`.
        num_views: views per sample, used in turn; None makes a new one each epoch.
        seed: of initial weights, order, dropout and views.
        trust: allow a model class outside `instar.models`.
        settings: fields of `TrainingConfig` (epochs, batch_size, learning_rate, ...), and the other fields of
            `RunConfig`: start, view_seed, correct_prior, judge_test.

    Raises:
        InstarError: in one sentence, for everything that the caller can mend.

    >>> import tempfile
    >>> run = train("digits", "mpl", out=tempfile.mkdtemp() + "/run", epochs=2)
    Traceback (most recent call last):
    instar.errors.ConfigError: model 'mpl' is unknown; did you mean 'mlp'?
    >>> from instar.models import MLP
    >>> run = train("digits", MLP([32]), out=tempfile.mkdtemp() + "/run", epochs=5, learning_rate=0.01)
    >>> run.metrics["error"] < 0.2
    True
    """
    refuse_swapped("train", data=data, model=model)
    data = as_data(data)
    config = validate(
        RunConfig,
        {
            "data": data.config.model_dump(),
            "model": describe(model).model_dump(),
            "objective": str(objective),
            "views": str(views),
            "num_views": num_views,
            **run_settings("train", settings, decided=frozenset({"teachers"})),
            "seed": seed,
        },
    )
    return Stage(
        config,
        local_path(out, "out"),
        GivenObjects(data, given_network(model), objective=as_objective(objective), views=as_view(views)),
        trust=trust,
    ).run()
