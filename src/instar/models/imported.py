"""Import of a user's class or function that builds networks."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, get_type_hints

from torch import nn

from instar.errors import ConfigError, shortened
from instar.importing import LIBRARY_PREFIXES, TypedName, import_object

MODULES: Mapping[str, type] = {"torch.nn.Module": nn.Module}
"""Base classes of what the class or function of a model makes, by their names."""


def names_a_class(model: object) -> bool:
    """Return whether somebody typed the name of a class outside `instar.models`, which allows its import.

    >>> [names_a_class(model) for model in (TypedName("mine:Net"), "mine:Net", TypedName("mlp"))]
    [True, False, False]
    """
    name = model.get("name") if isinstance(model, Mapping) else model
    return isinstance(name, TypedName) and ":" in name and not name.startswith(LIBRARY_PREFIXES)


def import_model(
    path: str,
    *,
    declared: bool = True,
    what: str = "model",
    kinds: Mapping[str, type] = MODULES,
    returns: tuple[type, ...] = (),
) -> Callable[..., Any]:
    """Import the class or function at `package.module:name`, which runs the code of its module.

    Args:
        path: import path.
        declared: require that a function is annotated to return a module, because a run folder may name any function.
        what: noun for error messages.
        kinds: base classes of what it makes, by their names.
        returns: further classes that a declared function may return.

    Raises:
        ConfigError: when it cannot be imported, or does not build modules.

    >>> import_model("torch.nn:Flatten")
    <class 'torch.nn.modules.flatten.Flatten'>
    """
    found, names = import_object(path, what), " or ".join(kinds)
    if isinstance(found, type) and issubclass(found, tuple(kinds.values())):
        return found
    if not inspect.isfunction(found):
        raise ConfigError(
            f"{what} '{path}' must be a class of {names} or a function that returns one, got {shortened(repr(found))}."
        )
    # the folder gives the arguments too, so any other function, such as one that removes files, would do what it says
    if declared and not returns_one_of((*kinds.values(), *returns), found):
        raise ConfigError(
            f"the function '{path}' is not annotated to return a {names}, and Instar calls no other function that a "
            f"run folder names; annotate it: -> {list(kinds)[-1]}."
        )
    return found


def returns_one_of(kinds: tuple[type, ...], function: Callable[..., Any]) -> bool:
    """Return whether a function is annotated to return an object of one of several classes.

    >>> def make() -> nn.Linear: ...
    >>> returns_one_of((nn.Module,), make), returns_one_of((nn.Module,), len)
    (True, False)
    """
    try:
        kind = get_type_hints(function).get("return")
    except Exception:  # annotations are code, which may use undefined names
        return False
    return isinstance(kind, type) and issubclass(kind, kinds)
