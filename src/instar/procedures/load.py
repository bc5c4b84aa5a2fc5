"""`instar.load`: a model that takes raw inputs, from a run folder or from what was exported."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from instar.checks import checked
from instar.exporting.loading import is_hub, load_export
from instar.models import Normalised, load_model
from instar.paths import given_path
from instar.runs.run import Run


@checked
def load(source: Run | str | Path, *, trust: bool = False, network: nn.Module | str | None = None) -> Normalised:
    """Return a trained model in eval mode, which takes inputs as the data hold them and returns logits.

    Args:
        source: a complete run or its folder; or what `instar export` wrote to safetensors, or as a folder for the Hub.
        trust: allow a model class outside `instar.models` to be imported.
        network: a network of the right shape, for a model that was given as a Python object; it is copied.

    Raises:
        RunError: when it is none of these, not complete, damaged, or from a newer version.
        ConfigError: when the class is not trusted.

    >>> load("nowhere")
    Traceback (most recent call last):
    instar.errors.RunError: 'nowhere' is not a run folder: it has no config.json.
    """
    path = source.path if isinstance(source, Run) else given_path(source, "source")
    if not isinstance(source, Run) and (path.is_file() or is_hub(path)):
        return load_export(path, trust=trust, network=network)
    run = source if isinstance(source, Run) else Run(path)
    run.require_complete()
    return load_model(run, trust=trust, network=network)
