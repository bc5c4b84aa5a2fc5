"""Files of trees: safetensors with the arrays, and JSON in its header with the rest; nothing in them runs.

features, left, right   int32 [nodes]
thresholds              float64 [nodes]
values                  float64 [nodes, outputs]
missing_left            bool [nodes]
roots                   int32 [trees]
base                    float64 [outputs]
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch

from instar.errors import MismatchError, RunError
from instar.paths import given_path, local_path
from instar.runs.files import read_tensors, write_tensors
from instar.trees.arrays import TreeArrays

TREES_FORMAT = 1
"""Version of the file; a newer one is refused."""

ARRAY_NAMES = ("features", "thresholds", "left", "right", "values", "roots", "base", "missing_left")
SETTING_NAMES = ("columns", "combine", "meaning", "allows_missing", "feature_names", "classes")


def write_trees(trees: TreeArrays, path: str | os.PathLike[str]) -> Path:
    """Write trees to one file, atomically, and return its path.

    Raises:
        ConfigError: when the path is no local path.
    """
    file = local_path(path, "the file of trees")
    arrays = {name: torch.from_numpy(getattr(trees, name)) for name in ARRAY_NAMES}
    settings = {name: getattr(trees, name) for name in SETTING_NAMES}
    file.parent.mkdir(parents=True, exist_ok=True)
    write_tensors(file, arrays, {"trees": {"format": TREES_FORMAT, **settings}})
    return file


def read_trees(path: str | os.PathLike[str]) -> TreeArrays:
    """Read trees that `write_trees` wrote, and check every index.

    Raises:
        RunError: when the file is missing, was changed since, is from a newer version, or holds no trees.
    """
    file = given_path(path, "the file of trees")
    tensors, header = read_tensors(file, sealed=True)
    settings: Any = header.get("trees")
    if not isinstance(settings, dict) or set(tensors) != set(ARRAY_NAMES):
        raise RunError(f"'{file}' holds no trees; give a file that instar wrote as trees.")
    found = settings.get("format")
    if not isinstance(found, int) or found > TREES_FORMAT:
        raise RunError(
            f"'{file}' has trees of format {found}, and this version of Instar reads up to {TREES_FORMAT}; upgrade it."
        )
    if set(settings) != {"format", *SETTING_NAMES}:
        raise RunError(f"'{file}' is damaged: its trees have the settings {', '.join(sorted(settings))}.")
    try:
        arrays: dict[str, Any] = {name: tensor.numpy() for name, tensor in tensors.items()}
        return TreeArrays(**arrays, **{name: settings[name] for name in SETTING_NAMES})
    except (MismatchError, TypeError) as error:
        raise RunError(f"'{file}' is damaged: {error}") from None
