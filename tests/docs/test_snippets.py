"""Every piece of Python in the documentation compiles, its names exist, and its calls fit the signatures."""

import ast
import importlib
import inspect
import re
from typing import Any

import pytest
from tests.docs.pages import HISTORY, PAGES, blocks, inline, read

from instar.config import DataConfig, RunConfig, TrainingConfig

SETTINGS = RunConfig.model_fields.keys() | TrainingConfig.model_fields.keys() | DataConfig.model_fields.keys()


class Checker(ast.NodeVisitor):
    """Follow the names that come from Instar."""

    def __init__(self) -> None:
        self.names: dict[str, Any] = {}

    def visit_Import(self, node: ast.Import) -> None:
        for name in node.names:
            if name.name.partition(".")[0] == "instar":
                importlib.import_module(name.name)
                self.names["instar"] = importlib.import_module("instar")

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        if node.module and node.module.partition(".")[0] == "instar":
            module = importlib.import_module(node.module)
            for name in node.names:
                assert hasattr(module, name.name), f"{node.module} has no '{name.name}'"
                self.names[name.asname or name.name] = getattr(module, name.name)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        self.find(node)
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        function = self.find(node.func)
        if callable(function):
            self.bind(function, node)
        self.generic_visit(node)

    def find(self, node: ast.expr) -> Any:
        """Return what a name of Instar stands for; None for others, and for what lies in an object."""
        if isinstance(node, ast.Name):
            return self.names.get(node.id)
        owner = self.find(node.value) if isinstance(node, ast.Attribute) else None
        if not (inspect.ismodule(owner) or inspect.isclass(owner)):
            return None
        assert hasattr(owner, node.attr), f"{owner.__name__} has no '{node.attr}'"
        return getattr(owner, node.attr)

    def bind(self, function: Any, node: ast.Call) -> None:
        """Refuse arguments that the function does not take, and names that stand in the place of another argument."""
        starred = [given for given in node.args if isinstance(given, ast.Starred)]
        if starred:
            return
        signature = inspect.signature(function)
        given = {keyword.arg: keyword.value for keyword in node.keywords if keyword.arg is not None}
        is_whole = len(given) == len(node.keywords)
        bound = (signature.bind if is_whole else signature.bind_partial)(*node.args, **given).arguments
        kinds = {name: parameter.kind for name, parameter in signature.parameters.items()}
        for name, value in bound.items():
            if kinds[name] is inspect.Parameter.VAR_KEYWORD:
                assert value.keys() <= SETTINGS, f"{function.__name__} has no {sorted(value.keys() - SETTINGS)}"
            elif isinstance(value, ast.Name) and value.id in kinds:
                assert value.id == name, f"{function.__name__} takes '{name}' where '{value.id}' is given"


def check(code: str, *, whole: bool = True) -> None:
    tree = ast.parse(code)
    compile(tree, "snippet", "exec")
    checker = Checker()
    if not whole:
        checker.names["instar"] = importlib.import_module("instar")
    checker.visit(tree)


@pytest.mark.parametrize("page", PAGES)
def test_blocks_of_python_fit_the_package(page):
    for code in blocks(read(page), "python"):
        check(code)


@pytest.mark.parametrize("page", [page for page in PAGES if page not in HISTORY])
def test_names_and_calls_between_backticks_fit_the_package(page):
    for code in inline(read(page)):
        if re.match(r"instar\.(?!json)", code):
            check(code, whole=False)


@pytest.mark.parametrize(
    ("code", "problem"),
    [
        ("import instar\ninstar.distil(1)", "has no 'distil'"),
        ("from instar.objectives import SoftTarget", "has no 'SoftTarget'"),
        ("from instar.models import MLP\nMLP([3], widht=2)", "widht"),
        ("import instar\ninstar.train(data)", "missing a required argument"),
        ("import instar\ninstar.train(data, model, out='a', epocs=3)", "epocs"),
        ("import instar\ninstar.train(model, data, out='a')", "takes 'data' where 'model' is given"),
    ],
)
def test_a_wrong_snippet_is_found(code, problem):
    with pytest.raises((AssertionError, TypeError), match=problem):
        check(code)
