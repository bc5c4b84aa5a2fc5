"""Fitted classifiers in files: skops, XGBoost, LightGBM, trees of Instar, and pickles for those who trust them."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from instar.errors import ConfigError, shortened
from instar.paths import given_path
from instar.runs.run import EXPORT_HINT
from instar.teachers.fitted_trees import FittedTrees
from instar.trees.files import read_trees

_SAFE_FORMATS = (
    "skops.io.dump(model, 'model.skops'), save_model('model.json') of XGBoost, and booster_.save_model('model.txt') of "
    "LightGBM write files that run no code"
)


def names_a_model_file(path: str | Path) -> bool:
    """Return whether a path has the suffix of a file of a fitted classifier, and is no folder.

    >>> [names_a_model_file(path) for path in ("model.skops", "model.ubj", "forest.pkl", "runs/a")]
    [True, True, True, False]
    """
    return Path(path).suffix.lower() in _READERS and not os.path.isdir(path)


def read_model_file(path: str | Path, *, trust: bool) -> Any:
    """Return the fitted classifier in a file.

    Args:
        path: `.skops`; `.json` or `.ubj` of XGBoost; `.txt` of LightGBM; `.safetensors` of trees of Instar; or
            `.pkl`, `.pickle` or `.joblib`.
        trust: allow pickles, which run code, and types that skops does not know to be safe.

    Raises:
        ConfigError: when there is no such file, it holds something else, its library is missing, or it is not trusted.
    """
    file = given_path(path, "the teacher")
    if not file.is_file():
        raise ConfigError(f"there is no file '{file}', which should hold the teacher.")
    return _READERS[file.suffix.lower()](file, trust)


def _read_skops(file: Path, trust: bool) -> Any:
    try:
        import skops.io
    except ImportError:
        raise ConfigError(f"'{file}' needs the extra: pip install 'instar[skops]'.") from None
    unknown: list[str] = _read(lambda: skops.io.get_untrusted_types(file=file), file, "a model of skops")
    if unknown and not trust:
        raise ConfigError(
            f"'{file}' holds types that skops does not know to be safe: {', '.join(unknown)}; if you trust its origin, "
            "allow them with --trust (trust=True)."
        )
    return _read(lambda: skops.io.load(file, trusted=unknown), file, "a model of skops")


def _read_xgboost(file: Path, trust: bool) -> Any:
    try:
        import xgboost
    except ImportError:
        raise ConfigError(f"'{file}' is read by XGBoost: pip install xgboost.") from None
    return _read(lambda: xgboost.Booster(model_file=os.fspath(file)), file, "a model of XGBoost")


def _read_lightgbm(file: Path, trust: bool) -> Any:
    try:
        import lightgbm
    except ImportError:
        raise ConfigError(f"'{file}' is read by LightGBM: pip install lightgbm.") from None
    with file.open("rb") as opened:
        begins = opened.read(5)
    if begins.strip() != b"tree":  # which spares the user what the library prints about any other text
        raise ConfigError(f"'{file}' is not a model of LightGBM, which begins with the line 'tree'.")
    return _read(lambda: lightgbm.Booster(model_file=os.fspath(file)), file, "a model of LightGBM")


def _read_pickle(file: Path, trust: bool) -> Any:
    if not trust:
        raise ConfigError(
            f"'{file}' is a pickle, and opening it runs any code that its author put there. {_SAFE_FORMATS}; if you "
            "trust its origin, allow it with --trust (trust=True)."
        )
    import joblib

    return _read(lambda: joblib.load(file), file, "a pickle of a model")


def _read_trees(file: Path, trust: bool) -> Any:
    # the suffix is that of exported networks too
    advice = f" If it is an exported model: {EXPORT_HINT}"
    return _read(lambda: FittedTrees(read_trees(file)), file, "trees of Instar", advice)


_READERS: dict[str, Callable[[Path, bool], Any]] = {
    ".skops": _read_skops,
    ".json": _read_xgboost,
    ".ubj": _read_xgboost,
    ".txt": _read_lightgbm,
    ".safetensors": _read_trees,
    ".pkl": _read_pickle,
    ".pickle": _read_pickle,
    ".joblib": _read_pickle,
}


def _read(load: Callable[[], Any], file: Path, what: str, advice: str = "") -> Any:
    try:
        return load()
    except Exception as error:  # libraries raise a dozen classes, and a pickle any
        raise ConfigError(f"'{file}' cannot be read as {what}: {shortened(error).rstrip('.')}.{advice}") from None
