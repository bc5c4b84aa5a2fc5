"""Combines several runs into one run folder without weights of its own, which is a teacher like any other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from torch import nn

from instar.checks import checked
from instar.config import DataConfig, RunConfig, default_settings, validate
from instar.data.dataset import Data
from instar.models.trained import lend_network
from instar.paths import local_path
from instar.runs.run import Run
from instar.stages.argument_order import refuse_swapped
from instar.stages.finish import finish_run
from instar.stages.run_data import read_run_data, refuse_other_reading
from instar.teachers.ensemble import Ensemble
from instar.teachers.run_folders import ENSEMBLE, refuse_nesting
from instar.teachers.teacher import Teacher


@checked
def ensemble(
    members: Sequence[str | Path | Run],
    data: Data | str | Sequence[Any] | DataConfig | None = None,
    *,
    out: str | Path,
    combine: Literal["geometric", "arithmetic"] = "arithmetic",
    network: nn.Module | str | None = None,
    trust: bool = False,
) -> Run:
    """Combine complete runs, evaluate their ensemble, and return its run folder.

    The folder is a teacher: `distill` it into one model, `evaluate` it, or make it a member of another ensemble.

    Args:
        members: complete run folders.
        data: data whose test and validation samples are predicted; None takes the data of the first member.
        out: run folder; new, or of the same ensemble.
        combine: "arithmetic", the mean of probabilities, or "geometric", the mean of logits.
        network: network of the members that need it: a module, or the `package.module:name` of a function that makes
            it.
        trust: allow members whose model is a class outside `instar.models`.

    Raises:
        InstarError: in one sentence, for each mistake that the caller can correct.

    >>> import tempfile
    >>> from instar.models import MLP
    >>> from instar.procedures.train import train
    >>> folder = tempfile.mkdtemp()
    >>> runs = [train("digits", MLP([16]), epochs=2, seed=seed, out=f"{folder}/{seed}") for seed in range(2)]
    >>> both = ensemble(runs, out=f"{folder}/both")
    >>> both.result["parameters"] == 2 * runs[0].result["parameters"]
    True
    """
    refuse_swapped("ensemble", members=members, data=data)
    runs = [lend_network(member if isinstance(member, Run) else Run(member), network) for member in members]
    # a member that is this folder itself, or an ensemble with it, would predict by asking itself for ever
    with refuse_nesting(local_path(out, "out")):
        together = Ensemble(runs, combine, trust=trust)
    settings = {"model": {"name": ENSEMBLE}, "combine": combine}
    return make_teacher_run(runs, together, data, out, settings, trust=trust)


def make_teacher_run(
    members: Sequence[Run],
    together: Teacher,
    data: Data | str | Sequence[Any] | DataConfig | None,
    out: str | Path,
    settings: Mapping[str, Any],
    facts: Mapping[str, Any] | None = None,
    *,
    trust: bool,
) -> Run:
    """Evaluate a combination of complete runs, and return its run folder.

    Args:
        members: runs; the first one gives the data if `data` is None.
        together: the combination as one teacher.
        data: data whose test and validation samples are predicted.
        out: run folder.
        settings: settings that say how the members are combined.
        facts: further entries of the result.
        trust: allow the import of a function that returns the data.
    """
    found = read_run_data(members[0], data, splits=("train", "test"), trust=trust)
    # the first member gave the data; for the others a sample must be the same input, and a class the same number
    for member in members[1:]:
        refuse_other_reading(member, found)
    values: dict[str, Any] = {
        "data": found.config.model_dump(),
        "teachers": [str(run.path) for run in members],
        "objective": "",  # nothing was minimised here
    }
    config = validate(RunConfig, values | dict(settings))
    # by what the members are, so that a folder whose members were trained anew is not taken for this one
    fingerprints = {"data": found.fingerprints(), "teacher": together.fingerprint()}
    with Run.held(out, config.model_dump(mode="json"), fingerprints, default_settings()) as run:
        if not run.complete:
            parameters = sum(member.result["parameters"] for member in members)
            # the members were trained in folders of their own
            finish_run(run, together, found, {"parameters": parameters, "seconds": 0.0} | dict(facts or {}))
    return run
