"""Rebuilds exported models from their files."""

from __future__ import annotations

import hashlib
import json
import tempfile
from pathlib import Path

from torch import nn

from instar.errors import RunError
from instar.exporting.student import EXPORT_FORMAT
from instar.models.causal_lm import TRANSFORMERS_PREFIX, CausalLM
from instar.models.normalised import Normalised
from instar.models.trained import restore_model
from instar.runs.documents import ExportHeader, HubFile, as_document, read_document
from instar.runs.files import read_json, read_tensors

WEIGHTS_FILE = "model.safetensors"
"""File of the weights in a folder for the Hub; its header has all that loading needs."""


def load_export(path: Path, *, trust: bool = False, network: nn.Module | str | None = None) -> Normalised:
    """Return the model of a safetensors file or Hub folder that `instar export` wrote; see `instar.load`."""
    if path.is_dir():
        refuse_changed(path)
        path /= WEIGHTS_FILE
    # format 1 was written before there were checksums
    tensors, header = read_tensors(path, sealed=lambda header: header.get("format") not in (None, 1))
    found = header.get("format")
    if not isinstance(found, int) or not isinstance(header.get("model"), dict):
        raise RunError(f"'{path}' was not written by instar export: its header does not describe a model.")
    if found > EXPORT_FORMAT:
        raise RunError(
            f"'{path}' has export format {found}, and this version of Instar reads up to {EXPORT_FORMAT}; upgrade it."
        )
    described = as_document(header, ExportHeader, path).model
    if described.transformers is None or network is not None:
        return restore_model(tensors, described, str(path), trust=trust, network=network)
    with tempfile.TemporaryDirectory() as folder:  # Transformers builds models from files only
        (Path(folder) / "config.json").write_text(json.dumps(described.transformers))
        described = described.model_copy(update={"name": TRANSFORMERS_PREFIX + folder})
        model = restore_model(tensors, described, str(path), trust=trust)
    if isinstance(model.network, CausalLM):
        model.network.tokenizer_files = described.tokenizer
    return model


def holds_model(folder: Path) -> bool:
    """Return whether a folder holds weights with a configuration, in the layout of the Hub."""
    return (folder / WEIGHTS_FILE).is_file() and (folder / "config.json").is_file()


def is_hub(folder: Path) -> bool:
    """Return whether a folder was written by `instar export --to hub`."""
    if not holds_model(folder):
        return False
    try:
        content = read_json(folder / "config.json")
    except RunError:  # if it is a run, reading it reports the damage
        return False
    return isinstance(content, dict) and content.get("library_name") == "instar"


def refuse_changed(folder: Path) -> None:
    """Compare the checksum of a folder for the Hub.

    Raises:
        RunError: if the weights have changed since the export.
    """
    wanted, found = read_document(folder / "config.json", HubFile).sha256, sha256(folder / WEIGHTS_FILE)
    if wanted != found:
        raise RunError(
            f"'{folder / WEIGHTS_FILE}' is damaged: its SHA-256 is {found[:12]}..., but config.json says {wanted}."
        )


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
