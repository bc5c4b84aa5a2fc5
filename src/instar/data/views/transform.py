"""Functions from one image to one image, with a text that identifies each."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import reduce
from typing import Any, get_origin, get_type_hints

from instar.content import Content
from instar.errors import ConfigError, shortened
from instar.expressions import ImportedObject


@dataclass(frozen=True, repr=False)
class Transform:
    """A function from one image to one image.

    Args:
        text: what identifies it in a configuration and a target store; equal texts are equal functions.
        function: the function.
    """

    text: str
    function: Callable[..., Any] = field(compare=False)

    def __repr__(self) -> str:
        return self.text

    def __call__(self, image: Any) -> Any:
        """Return the transformed image."""
        return self.function(image)


def as_transform(given: Callable[..., Any]) -> Transform:
    """Return a function or an object with `__call__` as a transform.

    A function of a module is known by its name, any other object by its class and a hash of what it holds.

    Raises:
        ConfigError: when it cannot be called, or shows no content to hash.

    >>> import torch
    >>> as_transform(torch.nn.functional.relu)
    torch.nn.functional:relu
    """
    if isinstance(given, Transform):
        return given
    if isinstance(given, str):
        raise ConfigError(
            f"Wrapped('{given}') is a quoted name; write it without quotes, as in Wrapped(package.module:Name)."
            if ":" in given
            else f"Wrapped('{given}') was made from an object of Python, which no text can make again; give the same "
            "object in views=..."
        )
    if isinstance(given, type) or not callable(given):
        raise ConfigError(f"Wrapped(transform) must be a function or an object with __call__, got {shown_name(given)}.")
    if name := _find_name(given):
        return Transform(name, given)
    content = Content("the view Wrapped")
    content.add(given)
    kind = getattr(given, "__name__", type(given).__name__)
    return Transform(repr(f"{kind} {content.hexdigest()}"), given)


def import_transform(imported: ImportedObject) -> Transform:
    """Return the transform that a text names.

    `package.module:name` is the function or object itself, and `package.module:Name(3)` what a class or a function
    makes.

    Raises:
        ConfigError: when it is no transform, or the text calls a function that is not annotated to make one.
    """
    found = imported.found
    if imported.arguments is not None:
        if not _makes_functions(found):
            raise ConfigError(
                f"'{imported}' must call a class with __call__ or a function that is annotated to return one, "
                f"-> Callable, because views may be read from a run folder; got {shown_name(found)}."
            )
        values, named = imported.arguments
        try:
            found = found(*values, **named)
        except Exception as error:  # it may run any code
            raise ConfigError(f"'{imported}' cannot be made: {shortened(error).rstrip('.')}.") from error
    elif isinstance(found, type):
        raise ConfigError(f"'{imported}' is a class; call it, as in {imported}().")
    if isinstance(found, type) or not callable(found):
        raise ConfigError(f"'{imported}' must be a transform, which can be called; got {shown_name(found)}.")
    return Transform(str(imported), found)


def shown_name(value: object) -> str:
    """Return a short text of an object for an error message."""
    return shortened(repr(value))


def _find_name(given: Callable[..., Any]) -> str | None:
    """Return `package.module:name` of a function that an import finds; None for others."""
    # another script has another __main__, and functions of equal names in it
    if not inspect.isfunction(given) or given.__module__ == "__main__" or "<" in given.__qualname__:
        return None
    try:
        found: object = reduce(getattr, given.__qualname__.split("."), importlib.import_module(given.__module__))
    except (ImportError, AttributeError):
        return None
    return f"{given.__module__}:{given.__qualname__}" if found is given else None


def _makes_functions(maker: Any) -> bool:
    """Return whether a maker is a class with `__call__`, or a function annotated to return what can be called."""
    kind = maker
    if inspect.isfunction(maker):
        try:
            kind = get_type_hints(maker).get("return")
        except Exception:  # annotations are code, which may use undefined names
            return False
        if kind is Callable or get_origin(kind) is Callable:
            return True
    # written in Python, because built-in classes such as operator.methodcaller call whatever their arguments say
    return isinstance(kind, type) and inspect.isfunction(inspect.getattr_static(kind, "__call__", None))
