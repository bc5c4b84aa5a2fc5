"""`instar.load`: a model that takes raw inputs, from a run folder or an export."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from instar.checks import checked
from instar.exporting.loading import is_hub, load_export
from instar.models.normalised import Normalised
from instar.models.trained import load_model
from instar.paths import given_path
from instar.runs.run import Run


@checked
def load(source: Run | str | Path, *, trust: bool = False, network: nn.Module | str | None = None) -> Normalised:
    """Return a trained model in eval mode, which takes raw inputs and returns logits.

    Args:
        source: complete run or its folder; or a safetensors file or Hub folder that `instar export` wrote.
        trust: allow a model class outside `instar.models`.
        network: network of the same shape, for a model that was given as a Python object; it is copied.

    Raises:
        RunError: if the source is none of these, not complete, damaged, or from a newer version.
        ConfigError: if the class is not trusted.

    >>> load("nowhere")
    Traceback (most recent call last):
    instar.errors.RunError: 'nowhere' is not a run folder: it has no config.json.
    """
    path = source.path if isinstance(source, Run) else given_path(source, "source")
    # an export is known by what it is, a file or a folder of the Hub; everything else has to be a run folder
    if not isinstance(source, Run) and (path.is_file() or is_hub(path)):
        return load_export(path, trust=trust, network=network)
    run = source if isinstance(source, Run) else Run(path)
    run.require_complete()  # weights are written before the result, so they alone do not say that it ended
    return load_model(run, trust=trust, network=network)
