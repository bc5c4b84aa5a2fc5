"""A parser for weighted sums such as `SoftTargets(4) + 0.1 * HardLabels()` that executes no code of the text.

It reads objectives, views and readers from the command line and from run folders. It allows calls of given names with
literals or such calls as arguments, sums, and products with a number. A user's own class is named
`package.module:Name`, and is imported only if the text is trusted.
"""

from __future__ import annotations

import ast
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any

from instar.errors import ConfigError, InstarError, nearest, shortened
from instar.importing import change_modules, import_object, require_trust, without_modules

MAX_EXPRESSION_CHARACTERS = 2000
"""Longest expression that is parsed."""

_COLON = "\N{MODIFIER LETTER TRIANGULAR COLON}"
"""A letter for Python's parser, which stands for the colon of `package.module:Name`."""


@dataclass(frozen=True)
class ImportedObject:
    """What an argument `package.module:Name` or `package.module:Name(3)` names.

    Args:
        name: `package.module:Name`.
        found: the object of that name.
        arguments: literals that the text calls it with, by position and by name; None: the text does not call it.
    """

    name: str
    found: Any
    arguments: tuple[list[Any], dict[str, Any]] | None

    def __str__(self) -> str:
        if self.arguments is None:
            return self.name
        values, named = self.arguments
        written = [*map(repr, values), *(f"{name}={value!r}" for name, value in named.items())]
        return f"{self.name}({', '.join(written)})"


def parse(
    text: str,
    names: Mapping[str, Callable[..., Any]],
    what: str,
    *,
    kind: type | None = None,
    trust: bool = False,
    adopt: Callable[[ImportedObject], Any] | None = None,
    factors: Mapping[str, Callable[..., Any]] | None = None,
) -> Any:
    """Build the object that `text` describes, with the constructors in `names`.

    Args:
        text: an expression such as `"2 * A(3) + B"`; a name without parentheses is called without arguments.
        names: constructors that the text may call, by name.
        what: noun for error messages, such as "objective".
        kind: base class of the user's own classes, `package.module:Name`; None: there are none.
        trust: allow such a class to be imported, which runs the code of its module.
        adopt: makes an argument of an imported object that is no class of `kind`; None: there are no such arguments.
        factors: constructors of factors of a product that are no numbers, by name; None: there are none.

    Raises:
        ConfigError: when the text has another form or an unknown name; suggests the nearest known name.

    >>> parse("2 * int(3) + float(int(4))", {"int": int, "float": float}, "number")
    10.0
    >>> parse("fractions:Fraction(1, 3)", {}, "number", kind=object)
    Traceback (most recent call last):
    instar.errors.ConfigError: number 'fractions:Fraction' is not part of Instar, so loading it runs code from outside \
Instar; allow this with --trust (trust=True).
    """
    if not isinstance(text, str):
        raise ConfigError(f"{what} must be a text such as '{example(names)}', got {text!r}.")
    try:
        if len(text) > MAX_EXPRESSION_CHARACTERS:  # the parser's memory and recursion grow with the text
            raise ValueError
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Python warns about some texts that it then refuses
            tree = ast.parse(change_modules(text.strip(), lambda module: module[:-1] + _COLON), mode="eval")
        return _Parser(text, names, what, kind, trust, adopt, factors or {}).build(tree.body)
    except InstarError:
        raise
    # not Python, a null byte, a lone surrogate, nested too deeply, or too long
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise ConfigError(f"{what} '{text}' cannot be read; an example is {example(names)}.") from None


def example(names: Mapping[str, Callable[..., Any]]) -> str:
    """Return a sample expression for an error message."""
    return " + ".join(f"{name}()" for name in list(names)[:2])


def write(part: object) -> str:
    """Return the text of a dataclass, which `parse` reads as an equal object; outside Instar, with its module.

    >>> from dataclasses import make_dataclass
    >>> write(make_dataclass("Blur", [("pixels", int, 2)], namespace={"__module__": "mine"})())
    'mine:Blur(pixels=2)'
    """
    plain = repr(part)
    if not is_dataclass(part) or isinstance(part, type):
        return plain
    kind = type(part)
    module = "" if kind.__module__.startswith("instar.") else f"{kind.__module__}:"
    values = ", ".join(f"{field.name}={write(getattr(part, field.name))}" for field in fields(part) if field.repr)
    written = f"{module}{kind.__qualname__}({values})"
    if without_modules(written) == plain:
        return written
    return f"{module}{plain}" if plain.startswith(f"{kind.__qualname__}(") else plain  # a class may have its own text


@dataclass(frozen=True)
class _Parser:
    text: str
    names: Mapping[str, Callable[..., Any]]
    what: str
    kind: type | None
    trust: bool
    adopt: Callable[[ImportedObject], Any] | None
    factors: Mapping[str, Callable[..., Any]]

    def build(self, node: ast.expr) -> Any:
        """Return the object of a sum, a product, a name or a call."""
        match node:
            case ast.BinOp(left=left, op=ast.Add(), right=right):
                return self.combine("+", self.build(left), self.build(right))
            case ast.BinOp(left=left, op=ast.Mult(), right=right):
                return self.combine("*", self.read_factor(left), self.build(right))
            case ast.Call(func=function, args=arguments, keywords=keywords) if all(k.arg for k in keywords):
                if name := self.name_of(function):
                    values = [self.read_argument(argument) for argument in arguments]
                    named = {str(keyword.arg): self.read_argument(keyword.value) for keyword in keywords}
                    return self.call(name, values, named)
            case _ if name := self.name_of(node):
                return self.call(name, [], {})
        shown = ast.unparse(node).replace(_COLON, ":")
        raise ConfigError(
            f"{self.what} '{self.text}' cannot be read at '{shown}'; an example is {example(self.names)}."
        )

    def name_of(self, node: ast.expr) -> str | None:
        """Return the name that a node stands for: one word, or `package.module:Name`."""
        words: list[str] = []
        while isinstance(node, ast.Attribute):
            words.append(node.attr)
            node = node.value
        if not isinstance(node, ast.Name):
            return None
        name = ".".join([node.id, *reversed(words)])
        return name.replace(_COLON, ":") if not words or _COLON in name else None

    def combine(self, sign: str, left: Any, right: Any) -> Any:
        """Return a sum or a product."""
        try:
            return left + right if sign == "+" else left * right
        except TypeError:
            raise ConfigError(
                f"{self.what} '{self.text}' cannot be made: '{left} {sign} {right}' has no meaning."
            ) from None

    def read_argument(self, node: ast.expr) -> Any:
        """Return the value of an argument: a call, a known name, or a literal."""
        if self.adopt is not None and (imported := self.read_imported(node)):
            return self.adopt(imported)
        called = node.func if isinstance(node, ast.Call) else None
        if called is not None and self.name_of(called):
            return self.build(node)
        name = self.name_of(node)
        if name and (name in self.names or ":" in name):  # other names, such as True, are literals or errors
            return self.call(name, [], {})
        return self.read_literal(node)

    def read_imported(self, node: ast.expr) -> ImportedObject | None:
        """Return what an argument `package.module:Name` names; None for a class of `kind`, or another argument."""
        keywords = node.keywords if isinstance(node, ast.Call) else []
        name = self.name_of(node.func if isinstance(node, ast.Call) else node)
        if name is None or ":" not in name or not all(keyword.arg for keyword in keywords):
            return None
        require_trust(name, self.what, trust=self.trust)
        found = import_object(name, self.what)
        if self.kind is not None and isinstance(found, type) and issubclass(found, self.kind):
            return None
        if not isinstance(node, ast.Call):
            return ImportedObject(name, found, None)
        named = {str(keyword.arg): self.read_literal(keyword.value) for keyword in keywords}
        return ImportedObject(name, found, ([self.read_literal(argument) for argument in node.args], named))

    def read_factor(self, node: ast.expr) -> Any:
        """Return the first factor of a product: a call of one of `factors`, or a literal."""
        name = self.name_of(node.func) if isinstance(node, ast.Call) else None
        if isinstance(node, ast.Call) and name in self.factors and all(keyword.arg for keyword in node.keywords):
            known = replace(self, names=self.factors, kind=None)
            named = {str(keyword.arg): self.read_literal(keyword.value) for keyword in node.keywords}
            return known.call(str(name), [self.read_literal(argument) for argument in node.args], named)
        return self.read_literal(node)

    def read_literal(self, node: ast.expr) -> Any:
        """Return the value of a literal."""
        try:
            return ast.literal_eval(node)
        except (ValueError, TypeError, OverflowError):  # TypeError: a literal whose keys cannot be hashed
            shown = ast.unparse(node).replace(_COLON, ":")
            raise ConfigError(f"{self.what} '{self.text}' needs a number or a literal, got '{shown}'.") from None

    def call(self, name: str, values: list[Any], named: dict[str, Any]) -> Any:
        """Return what the constructor of a name makes."""
        constructor = self.names[name] if name in self.names else self.import_class(name)
        try:
            return constructor(*values, **named)
        except InstarError:
            raise
        except Exception as error:
            # arguments of the wrong type or value; a class of the user's may raise anything
            is_expected = isinstance(error, TypeError | AttributeError | ValueError | OverflowError)
            if name in self.names and not is_expected:
                raise
            raise ConfigError(f"{self.what} '{name}' cannot be made: {error}.") from None

    def import_class(self, name: str) -> Callable[..., Any]:
        """Return the user's own class at `package.module:Name`."""
        if ":" not in name or self.kind is None:
            raise ConfigError(f"{self.what} '{name}' is unknown; {nearest(name, self.names)}")
        require_trust(name, self.what, trust=self.trust)
        found = import_object(name, self.what)
        # a run folder may name any function and its arguments, so only parts are called; a dataclass tells two apart
        is_part = isinstance(found, type) and issubclass(found, self.kind) and is_dataclass(found)
        if not (is_part and found.__dataclass_params__.frozen):
            raise ConfigError(
                f"{self.what} '{name}' must be a dataclass that is frozen and derives from Instar's "
                f"{self.kind.__name__}, got {shortened(repr(found))}."
            )
        constructor: Callable[..., Any] = found
        return constructor
