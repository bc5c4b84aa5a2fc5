"""Instar: knowledge distillation, from models you already have to one that is smaller or better.

The names below are imported when they are first used, so that `instar --help` does not wait for torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from instar import models, objectives
    from instar.data import load_data
    from instar.errors import InstarError
    from instar.procedures import specialists
    from instar.procedures.born_again import born_again
    from instar.procedures.compare import compare
    from instar.procedures.correct_bias import correct_bias
    from instar.procedures.demo import demo
    from instar.procedures.distill import distill
    from instar.procedures.ensemble import ensemble
    from instar.procedures.evaluate import evaluate
    from instar.procedures.export import export
    from instar.procedures.inspect import inspect
    from instar.procedures.label import label
    from instar.procedures.load import load
    from instar.procedures.report import report
    from instar.procedures.target_stores import merge_targets, targets_info, verify_targets
    from instar.procedures.train import train
    from instar.procedures.tune import tune
    from instar.runs.run import Run
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
    "Run": "instar.runs.run",
    "Specialists": "instar.teachers",
    "TargetStore": "instar.targets",
    "Teacher": "instar.teachers",
    "born_again": "instar.procedures.born_again",
    "compare": "instar.procedures.compare",
    "correct_bias": "instar.procedures.correct_bias",
    "demo": "instar.procedures.demo",
    "distill": "instar.procedures.distill",
    "ensemble": "instar.procedures.ensemble",
    "evaluate": "instar.procedures.evaluate",
    "export": "instar.procedures.export",
    "inspect": "instar.procedures.inspect",
    "label": "instar.procedures.label",
    "load": "instar.procedures.load",
    "load_data": "instar.data",
    "merge_targets": "instar.procedures.target_stores",
    "report": "instar.procedures.report",
    "targets_info": "instar.procedures.target_stores",
    "train": "instar.procedures.train",
    "tune": "instar.procedures.tune",
    "verify_targets": "instar.procedures.target_stores",
}

_MODULES = {name: f"instar.{name}" for name in ("models", "objectives")} | {
    "specialists": "instar.procedures.specialists"
}


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(_MODULES[name])
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'instar' has no attribute '{name}'")
