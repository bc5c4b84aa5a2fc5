"""`instar.load`: a model that takes raw inputs, from a run folder or from what was exported."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from instar.documents import ExportHeader, HubFile, as_document, read_document
from instar.errors import RunError
from instar.files import read_json, read_tensors
from instar.models import Normalised, load_model, restore_model
from instar.models.causal_lm import PREFIX
from instar.paths import given_path
from instar.procedures.exporting.student import FORMAT
from instar.run import Run

WEIGHTS = "model.safetensors"
"""The file of weights in a folder for the Hub; the header says all that loading needs."""


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
    if not isinstance(source, Run) and not path.is_file() and not is_hub(path):
        source = Run(path)
    if isinstance(source, Run):
        source.result  # noqa: B018 (refuses a run that is not complete)
        network = getattr(source, "network", None) if network is None else network
        return load_model(source, trust=trust, network=network)
    if path.is_dir():
        refuse_changed(path)
        path /= WEIGHTS
    tensors, header = read_tensors(path, sealed=lambda header: header.get("format") not in (None, 1))
    return _built(tensors, header, path, trust, network)


def is_hub(folder: Path) -> bool:
    """Return whether a folder was written by `instar export --to hub`."""
    if not (folder / WEIGHTS).is_file() or not (folder / "config.json").is_file():
        return False
    try:
        content = read_json(folder / "config.json")
    except RunError:  # whoever then takes it for a run is told
        return False
    return isinstance(content, dict) and content.get("library_name") == "instar"


def refuse_changed(folder: Path) -> None:
    """Compare the checksum of a folder for the Hub.

    Raises:
        RunError: when the weights are not those that were written.
    """
    wanted, found = read_document(folder / "config.json", HubFile).sha256, sha256(folder / WEIGHTS)
    if wanted != found:
        raise RunError(
            f"'{folder / WEIGHTS}' is damaged: its SHA-256 is {found[:12]}..., and config.json has {wanted}."
        )


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _built(
    tensors: dict[str, Tensor], header: Mapping[str, Any], path: Path, trust: bool, network: nn.Module | str | None
) -> Normalised:
    found = header.get("format")
    if not isinstance(found, int) or not isinstance(header.get("model"), dict):
        raise RunError(f"'{path}' was not written by instar export: its header does not say what its model is.")
    if found > FORMAT:
        raise RunError(f"'{path}' is of export format {found}, and this version of Instar reads up to {FORMAT}.")
    described = as_document(header, ExportHeader, path).model
    if described.transformers is None or network is not None:
        return restore_model(tensors, described, str(path), trust=trust, network=network)
    with tempfile.TemporaryDirectory() as folder:  # Transformers makes a model of a file alone
        (Path(folder) / "config.json").write_text(json.dumps(described.transformers))
        return restore_model(tensors, described.model_copy(update={"name": PREFIX + folder}), str(path), trust=trust)
