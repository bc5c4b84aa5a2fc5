"""Instar: knowledge distillation, from models you already have to one that is smaller or better.

The names below are imported when they are first used, so that `instar --help` does not wait for torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from instar import models, objectives, trees
    from instar.data import load_data
    from instar.errors import InstarError
    from instar.procedures import specialists
    from instar.procedures.born_again import born_again
    from instar.procedures.born_again_tree import born_again_tree
    from instar.procedures.compare import compare
    from instar.procedures.correct_bias import correct_bias
    from instar.procedures.demo import demo
    from instar.procedures.distill import distill
    from instar.procedures.ensemble import ensemble
    from instar.procedures.evaluate import evaluate
    from instar.procedures.export import export
    from instar.procedures.inspect import inspect
    from instar.procedures.label import label
    from instar.procedures.layers import layers
    from instar.procedures.load import load
    from instar.procedures.predict import predict, predict_proba
    from instar.procedures.report import report
    from instar.procedures.synthesise import synthesise
    from instar.procedures.target_stores import merge_targets, targets_info, verify_targets
    from instar.procedures.train import train
    from instar.procedures.tune import tune
    from instar.procedures.verify_data import verify_data
    from instar.procedures.verify_loss import verify_loss
    from instar.runs.run import Run
    from instar.targets import TargetStore
    from instar.teachers import Classifier, Ensemble, ForeignTeacher, GivenPredictions, Module, Specialists, Teacher

__all__ = [
    "Classifier",
    "Ensemble",
    "ForeignTeacher",
    "GivenPredictions",
    "InstarError",
    "Module",
    "Run",
    "Specialists",
    "TargetStore",
    "Teacher",
    "born_again",
    "born_again_tree",
    "compare",
    "correct_bias",
    "demo",
    "distill",
    "ensemble",
    "evaluate",
    "export",
    "inspect",
    "label",
    "layers",
    "load",
    "load_data",
    "merge_targets",
    "models",
    "objectives",
    "predict",
    "predict_proba",
    "report",
    "specialists",
    "synthesise",
    "targets_info",
    "train",
    "trees",
    "tune",
    "verify_data",
    "verify_loss",
    "verify_targets",
]

__version__ = "0.1.0"

_NAMES = {
    "data": ("load_data",),
    "errors": ("InstarError",),
    "procedures.predict": ("predict", "predict_proba"),
    "procedures.target_stores": ("merge_targets", "targets_info", "verify_targets"),
    "runs.run": ("Run",),
    "targets": ("TargetStore",),
    "teachers": ("Classifier", "Ensemble", "ForeignTeacher", "GivenPredictions", "Module", "Specialists", "Teacher"),
}
"""The public names by the module that has them; every other verb is in a module of its name in `procedures`."""


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'instar' has no attribute '{name}'")
    if name in ("models", "objectives", "trees"):
        return import_module(f"instar.{name}")
    if name == "specialists":
        return import_module("instar.procedures.specialists")
    home = next((module for module, names in _NAMES.items() if name in names), f"procedures.{name}")
    return getattr(import_module(f"instar.{home}"), name)
