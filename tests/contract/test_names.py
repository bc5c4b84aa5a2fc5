"""What packages say they export is there, and what can be named in a configuration can be made from its name."""

import importlib
import pkgutil

import pytest

from instar.data import View, parse_views
from instar.data.views import VIEWS, Chain, MixingView
from instar.objectives import TERMS, parse_objective

PACKAGES = [
    "analysis",
    "data",
    "jobs",
    "models",
    "objectives",
    "reporting",
    "students",
    "targets",
    "tasks",
    "teachers",
    "training",
    "trees",
]


@pytest.mark.parametrize("name", ["instar", *(f"instar.{package}" for package in PACKAGES)])
def test_every_exported_name_exists(name):
    package = importlib.import_module(name)
    for exported in package.__all__:
        assert getattr(package, exported) is not None
    assert len(set(package.__all__)) == len(package.__all__)
    assert package.__doc__


def test_no_module_is_shadowed_by_a_function_of_its_name():
    importlib.import_module("instar.cli")
    for found in pkgutil.walk_packages(importlib.import_module("instar").__path__, "instar."):
        if found.name not in ("instar.cli.__main__", "instar.jobs.ray"):
            package, _, name = found.name.rpartition(".")
            module = importlib.import_module(found.name)
            assert getattr(importlib.import_module(package), name) is module, found.name
    instar = importlib.import_module("instar")
    functions = set(instar.__all__) - {"models", "objectives", "specialists", "trees"}
    assert all(callable(getattr(instar, name)) for name in functions)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'distil'"):
        importlib.import_module("instar").distil  # noqa: B018 (asking is what raises)


@pytest.mark.parametrize("name", [name for name in VIEWS if name != "Wrapped"])  # which needs what it wraps
def test_every_view_is_made_by_its_name(name):
    assert name == VIEWS[name].__name__
    assert type(parse_views(name)) is VIEWS[name]
    assert parse_views(str(parse_views(name))) == parse_views(name)


def test_every_view_is_listed():
    found = {*View.__subclasses__(), *MixingView.__subclasses__()} - {Chain, MixingView}
    assert set(VIEWS.values()) == {view for view in found if view.__module__.startswith("instar.")}


@pytest.mark.parametrize("name", TERMS)
def test_every_term_is_made_by_its_name(name):
    ((weight, term),) = parse_objective(name).parts
    assert (weight, type(term)) == (1, TERMS[name])
