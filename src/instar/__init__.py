"""Instar: knowledge distillation, from models you already have to one that is smaller or better.

The names below are imported when they are first used, so that `instar --help` does not wait for torch.
"""

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from instar import models, objectives
    from instar.data import load_data
    from instar.errors import InstarError
    from instar.procedures import (
        born_again,
        compare,
        correct_bias,
        demo,
        distill,
        ensemble,
        evaluate,
        export,
        inspect,
        label,
        load,
        merge_targets,
        report,
        specialists,
        targets_info,
        train,
        tune,
        verify_targets,
    )
    from instar.run import Run
    from instar.targets import TargetStore
    from instar.teachers import Classifier, Ensemble, Module, Specialists, Teacher

__all__ = [
    "Classifier",
    "Ensemble",
    "InstarError",
    "Module",
    "Run",
    "Specialists",
    "TargetStore",
    "Teacher",
    "born_again",
    "compare",
    "correct_bias",
    "demo",
    "distill",
    "ensemble",
    "evaluate",
    "export",
    "inspect",
    "label",
    "load",
    "load_data",
    "merge_targets",
    "models",
    "objectives",
    "report",
    "specialists",
    "targets_info",
    "train",
    "tune",
    "verify_targets",
]

__version__ = "0.1.0"

_HOME = {
    "Classifier": "instar.teachers",
    "Ensemble": "instar.teachers",
    "InstarError": "instar.errors",
    "Module": "instar.teachers",
    "Run": "instar.run",
    "Specialists": "instar.teachers",
    "TargetStore": "instar.targets",
    "Teacher": "instar.teachers",
    "born_again": "instar.procedures",
    "compare": "instar.procedures",
    "correct_bias": "instar.procedures",
    "demo": "instar.procedures",
    "distill": "instar.procedures",
    "ensemble": "instar.procedures",
    "evaluate": "instar.procedures",
    "export": "instar.procedures",
    "inspect": "instar.procedures",
    "label": "instar.procedures",
    "load": "instar.procedures",
    "load_data": "instar.data",
    "merge_targets": "instar.procedures",
    "report": "instar.procedures",
    "specialists": "instar.procedures",
    "targets_info": "instar.procedures",
    "train": "instar.procedures",
    "tune": "instar.procedures",
    "verify_targets": "instar.procedures",
}


class _Package(ModuleType):
    """A package in which a public name means one thing, whatever is imported when.

    `instar.report` is a function, and there is a package `instar.report` too. When that is imported, Python would lay
    it over the function. `import instar.report` and `from instar.report import ...` work all the same.
    """

    def __setattr__(self, name: str, value: object) -> None:
        if not (name in _HOME and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package


def __getattr__(name: str) -> Any:
    if name in ("models", "objectives"):
        return import_module(f"instar.{name}")
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'instar' has no attribute '{name}'")
