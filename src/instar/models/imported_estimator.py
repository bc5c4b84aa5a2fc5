"""Estimators of other libraries by the name of their class, and the name of a given one."""

from __future__ import annotations

import importlib
import inspect
import json
from collections.abc import Mapping
from typing import Any

from instar.errors import ConfigError, nearest, shortened
from instar.importing import import_object, require_trust

LIBRARIES = ("sklearn", "xgboost", "lightgbm")
"""Packages whose classes are imported without trust."""


def import_estimator(name: str, parameters: Mapping[str, Any], seed: int, *, trust: bool) -> Any:
    """Return a new estimator.

    Args:
        name: `sklearn.ensemble.RandomForestClassifier`, or `package.module:Name`.
        parameters: parameters by name.
        seed: its `random_state`, unless it is among the parameters.
        trust: allow the import of a class outside `LIBRARIES`.

    Raises:
        ConfigError: when it is not trusted, cannot be imported, is no estimator, or has no such parameter.

    >>> import_estimator("sklearn.linear_model.Ridge", {"alpha": 2.0}, 0, trust=False)
    Ridge(alpha=2.0, random_state=0)
    """
    module, _, kind = name.rpartition(":" if ":" in name else ".")
    if module.split(".")[0] not in LIBRARIES:
        require_trust(name, "estimator", trust=trust)
    found: Any = import_object(f"{module}:{kind}", "estimator") if module else None
    is_class = inspect.isclass(found)
    if not is_class or not all(callable(getattr(found, method, None)) for method in ("fit", "predict", "get_params")):
        raise ConfigError(
            f"'{name}' is no class of estimators; name one by --arg name=..., such as "
            "sklearn.ensemble.HistGradientBoostingClassifier."
        )
    try:
        known = found().get_params(deep=False)
        takes_any = any(one.kind is one.VAR_KEYWORD for one in inspect.signature(found).parameters.values())
        unknown = [one for one in parameters if one not in known and not takes_any]
        if not unknown:
            seeded = {"random_state": seed % 2**31} if "random_state" in known else {}
            return found(**{**seeded, **parameters})
    except Exception as error:  # of the library or of the user
        raise ConfigError(f"the estimator '{name}' cannot be made: {shortened(error).rstrip('.')}.") from None
    raise ConfigError(f"the estimator '{name}' has no parameter '{unknown[0]}'; {nearest(unknown[0], known)}")


def is_estimator_object(thing: object) -> bool:
    """Return whether a thing is an object with the methods of an estimator."""
    return not inspect.isclass(thing) and all(
        callable(getattr(thing, method, None)) for method in ("fit", "predict", "get_params")
    )


def describe_estimator(estimator: Any) -> dict[str, Any]:
    """Return the name of an estimator's class and its parameters that are not those of a new one, as JSON values.

    Raises:
        ConfigError: when other processes cannot import the class, or a parameter is no JSON value.
    """
    kind, what = type(estimator), type(estimator).__name__
    if kind.__module__ == "__main__":
        raise ConfigError(f"{what} is defined in __main__, where no later command finds it; put it into a module.")
    usual = kind().get_params(deep=False)
    given = {}
    for name, one in estimator.get_params(deep=False).items():
        value = one.item() if getattr(one, "ndim", 1) == 0 else one
        if value is usual.get(name) or (type(value) is type(usual.get(name)) and repr(value) == repr(usual[name])):
            continue
        try:
            is_json = json.loads(json.dumps(value, allow_nan=False)) == value
        except (TypeError, ValueError):
            is_json = False
        if not is_json:
            raise ConfigError(
                f"the parameter '{name}' of {what} ({shortened(value, 60)}) cannot be written to a run folder; give "
                "the class of an estimator that sets it, as package.module:Name."
            )
        given[name] = value
    return {"name": _public_name(kind), **given}


def _public_name(kind: type) -> str:
    parts = kind.__module__.split(".")
    for end in range(1, len(parts) + 1):
        module = ".".join(parts[:end])
        if not any(part.startswith("_") for part in parts[:end]) and (
            getattr(importlib.import_module(module), kind.__name__, None) is kind
        ):
            return f"{module}.{kind.__name__}" if parts[0] in LIBRARIES else f"{module}:{kind.__name__}"
    return f"{kind.__module__}:{kind.__qualname__}"
