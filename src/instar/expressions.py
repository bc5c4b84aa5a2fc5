"""A parser for weighted sums such as `SoftTargets(4) + 0.1 * HardLabels()` that executes no code of the text.

It reads objectives and views from the command line and from run folders. It allows calls of given names with literals
or such calls as arguments, sums, and products with a number.
"""

from __future__ import annotations

import ast
import warnings
from collections.abc import Callable, Mapping
from typing import Any

from instar.errors import ConfigError, InstarError, nearest

MAX_EXPRESSION_CHARACTERS = 2000
"""Longest expression that is parsed."""


def parse(text: str, names: Mapping[str, Callable[..., Any]], what: str) -> Any:
    """Build the object that `text` describes, with the constructors in `names`.

    Args:
        text: an expression such as `"2 * A(3) + B"`; a name without parentheses is called without arguments.
        names: constructors that the text may call, by name.
        what: noun for error messages, such as "objective".

    Raises:
        ConfigError: when the text has another form or an unknown name; suggests the nearest known name.

    >>> parse("2 * int(3) + float(int(4))", {"int": int, "float": float}, "number")
    10.0
    """
    if not isinstance(text, str):
        raise ConfigError(f"{what} must be a text such as '{example(names)}', got {text!r}.")
    try:
        if len(text) > MAX_EXPRESSION_CHARACTERS:  # the parser's memory and recursion grow with the text
            raise ValueError
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Python warns about some texts that it then refuses
            tree = ast.parse(text.strip(), mode="eval")
        return _build(tree.body, names, what, text)
    except InstarError:
        raise
    # not Python, a null byte, a lone surrogate, nested too deeply, or too long
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise ConfigError(f"{what} '{text}' cannot be read; an example is {example(names)}.") from None


def example(names: Mapping[str, Callable[..., Any]]) -> str:
    """Return a sample expression for an error message."""
    return " + ".join(f"{name}()" for name in list(names)[:2])


def _build(node: ast.expr, names: Mapping[str, Callable[..., Any]], what: str, text: str) -> Any:
    match node:
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return _combined("+", _build(left, names, what, text), _build(right, names, what, text), what, text)
        case ast.BinOp(left=left, op=ast.Mult(), right=right):
            return _combined("*", _literal(left, what, text), _build(right, names, what, text), what, text)
        case ast.Name(id=name):
            return _call(name, [], {}, names, what)
        case ast.Call(func=ast.Name(id=name), args=arguments, keywords=keywords) if all(k.arg for k in keywords):
            values = [_argument(argument, names, what, text) for argument in arguments]
            named = {str(keyword.arg): _argument(keyword.value, names, what, text) for keyword in keywords}
            return _call(name, values, named, names, what)
    raise ConfigError(f"{what} '{text}' cannot be read at '{ast.unparse(node)}'; an example is {example(names)}.")


def _combined(sign: str, left: Any, right: Any, what: str, text: str) -> Any:
    try:
        return left + right if sign == "+" else left * right
    except TypeError:
        raise ConfigError(f"{what} '{text}' cannot be made: '{left} {sign} {right}' has no meaning.") from None


def _argument(node: ast.expr, names: Mapping[str, Callable[..., Any]], what: str, text: str) -> Any:
    match node:
        case ast.Call(func=ast.Name()):
            return _build(node, names, what, text)
        case ast.Name(id=name) if name in names:  # other names, such as True, are literals or errors
            return _call(name, [], {}, names, what)
    return _literal(node, what, text)


def _literal(node: ast.expr, what: str, text: str) -> Any:
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError, OverflowError):  # TypeError: a literal whose keys cannot be hashed
        raise ConfigError(f"{what} '{text}' needs a number or a literal, got '{ast.unparse(node)}'.") from None


def _call(
    name: str, values: list[Any], named: dict[str, Any], names: Mapping[str, Callable[..., Any]], what: str
) -> Any:
    if name not in names:
        raise ConfigError(f"{what} '{name}' is unknown; {nearest(name, names)}")
    try:
        return names[name](*values, **named)
    except InstarError:
        raise
    except (TypeError, AttributeError, ValueError, OverflowError) as error:  # arguments of the wrong type or value
        raise ConfigError(f"{what} '{name}' cannot be made: {error}.") from None
