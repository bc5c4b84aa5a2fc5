"""Import of a user's class or function that builds networks."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from typing import Any, get_type_hints

from torch import nn

from instar.errors import ConfigError, shortened
from instar.importing import TypedName, import_object

CLASS_PATH = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")
"""Form of `package.module:Name`."""

LIBRARY_PREFIXES = ("transformers:", "timm:")
"""Prefixes of the names of models that libraries make, and no code of the user."""


def refuse_timm(name: str) -> None:
    """Refuse a name of timm, in place of importing an attribute of timm by it.

    Raises:
        ConfigError: says what to give instead.
    """
    if name.startswith("timm:"):
        raise ConfigError(
            f"'{name}' cannot be made by its name; give package.module:function of a function that returns "
            f"timm.create_model('{name.removeprefix('timm:')}', pretrained=True), with the mean, std and size of its "
            "pretrained_cfg in a reader."
        )


def names_a_class(model: object) -> bool:
    """Return whether somebody typed the name of a class outside `instar.models`, which allows its import.

    >>> [names_a_class(model) for model in (TypedName("mine:Net"), "mine:Net", TypedName("mlp"))]
    [True, False, False]
    """
    name = model.get("name") if isinstance(model, Mapping) else model
    return isinstance(name, TypedName) and ":" in name and not name.startswith(LIBRARY_PREFIXES)


def import_model(path: str, *, declared: bool = True) -> Callable[..., Any]:
    """Import the class or function at `package.module:name`, which runs the code of its module.

    Args:
        path: import path.
        declared: require that a function is annotated to return a module, because a run folder may name any function.

    Raises:
        ConfigError: when it cannot be imported, or does not build modules.

    >>> import_model("torch.nn:Flatten")
    <class 'torch.nn.modules.flatten.Flatten'>
    """
    found = import_object(path, "model")
    if isinstance(found, type) and issubclass(found, nn.Module):
        return found
    if not inspect.isfunction(found):
        raise ConfigError(
            f"model '{path}' must be a class of torch.nn.Module or a function that returns one, "
            f"got {shortened(repr(found))}."
        )
    # the folder gives the arguments too, so any other function, such as one that removes files, would do what it says
    if declared and not returns_a_module(found):
        raise ConfigError(
            f"the function '{path}' is not annotated to return a torch.nn.Module, and Instar calls no other function "
            "that a run folder names; annotate it: -> torch.nn.Module."
        )
    return found


def returns_a_module(function: Callable[..., Any]) -> bool:
    """Return whether a function is annotated to return a module.

    >>> def make() -> nn.Linear: ...
    >>> returns_a_module(make), returns_a_module(len)
    (True, False)
    """
    try:
        kind = get_type_hints(function).get("return")
    except Exception:  # annotations are code, which may use undefined names
        return False
    return isinstance(kind, type) and issubclass(kind, nn.Module)
