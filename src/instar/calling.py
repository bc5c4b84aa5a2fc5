"""Functions and classes of the user's that Instar calls: whose they are, and whether arguments fit them."""

from __future__ import annotations

import inspect
import site
import sysconfig
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from instar.checks import example_of
from instar.errors import ConfigError, nearest


def is_installed(thing: Callable[..., Any]) -> bool:
    """Return whether a function or class is part of Python, of Instar or of an installed package.

    >>> is_installed(inspect.getfile), is_installed(print)
    (True, True)
    """
    try:
        file = Path(inspect.getfile(thing)).resolve()
    except (TypeError, OSError):  # compiled code
        return True
    named = [sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    folders = [*named, *site.getsitepackages(), site.getusersitepackages(), str(Path(__file__).parent)]
    return not file.is_file() or any(file.is_relative_to(Path(folder).resolve()) for folder in folders)


def parameters_of(function: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    """Return the parameters of a function or class by name; none for compiled code without a signature."""
    try:
        return inspect.signature(function).parameters
    except (TypeError, ValueError):
        return {}


def refuse_arguments(function: Callable[..., Any], what: str, given: Mapping[str, Any], *, flag: str) -> None:
    """Refuse arguments that a function does not have, or that it lacks.

    Args:
        function: function or class.
        what: noun and name for error messages, such as "model 'mlp'".
        given: arguments by name.
        flag: what stands before `name=value` on the command line, such as "--arg ".

    Raises:
        ConfigError: names the argument.

    >>> refuse_arguments(parameters_of, "data 'mine:load'", {"funktion": 1}, flag="--arg ")
    Traceback (most recent call last):
    instar.errors.ConfigError: data 'mine:load' has no argument 'funktion'; did you mean 'function'?
    """
    parameters = parameters_of(function)
    # compared with the signature, because the TypeError of a call suggests no other name
    unknown = [argument for argument in given if argument not in parameters]
    if unknown and not any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        raise ConfigError(f"{what} has no argument '{unknown[0]}'; {nearest(unknown[0], parameters)}")
    for argument, parameter in parameters.items():
        is_single = parameter.kind not in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL)
        if is_single and parameter.default is parameter.empty and argument not in given:
            raise ConfigError(
                f"{what} needs the argument '{argument}', such as {flag}{argument}={_example(function, argument)}."
            )


def _example(function: Callable[..., Any], argument: str) -> str:
    try:
        return example_of(inspect.signature(function, eval_str=True).parameters[argument].annotation)
    except Exception:  # annotations are code, which may use undefined names
        return example_of(None)
