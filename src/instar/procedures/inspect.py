"""`instar inspect`: describes a run folder."""

from __future__ import annotations

import shlex
from pathlib import Path

from torch import nn

from instar.checks import checked
from instar.errors import ConfigError, RunError
from instar.inspection.description import Inspection, describe_run
from instar.paths import given_path
from instar.runs.run import Run
from instar.targets.manifest import MANIFEST_FILE

_RUN_FILES = ("environment.json", "metrics.jsonl", "result.json", "weights.safetensors")  # others have config.json too


@checked
def inspect(run: Run | str | Path, *, trust: bool = False, network: nn.Module | str | None = None) -> Inspection:
    """Describe a complete, incomplete or damaged run folder; every file in it is read.

    Args:
        run: run folder.
        trust: allow a model class outside `instar.models`, to load the weights into it.
        network: network of a run folder that needs it: a module, or the `package.module:name` of a function that
            makes it.

    Raises:
        RunError: if the folder is missing, or holds no run.
        ConfigError: if it is a target store, which `instar targets info` describes.

    >>> import tempfile
    >>> from instar.models import MLP
    >>> from instar.procedures.train import train
    >>> found = inspect(train("digits", MLP([8]), out=tempfile.mkdtemp() + "/run", epochs=1))
    >>> found.state, found.model["parameters"], found.damaged
    ('complete', 610, ())
    """
    folder = run.path if isinstance(run, Run) else given_path(run, "a run folder")
    # told apart by their files and not by opening them: a damaged run folder has to be described too
    if (folder / MANIFEST_FILE).is_file():
        raise ConfigError(f"'{folder}' is a target store; see: instar targets info {shlex.quote(str(folder))}")
    if not any((folder / name).is_file() for name in _RUN_FILES):
        # what export wrote has weights as well, but nothing of the run
        is_export = folder.is_file() or (folder / "model.safetensors").is_file()
        hint = "; instar.load reads what instar export wrote" if is_export else ""
        raise RunError(f"'{folder}' is not a run folder: it has none of its files{hint}.")
    return describe_run(run if isinstance(run, Run) else folder, trust=trust, network=network)
