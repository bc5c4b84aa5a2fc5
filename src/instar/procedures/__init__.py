"""The verbs: sequences of stages, each from run folders to a run folder."""

from instar.procedures import specialists
from instar.procedures.born_again import Lineage, born_again
from instar.procedures.compare import Compared, compare
from instar.procedures.correct_bias import correct_bias
from instar.procedures.demo import DemoSummary, demo
from instar.procedures.distill import distill
from instar.procedures.ensemble import ensemble
from instar.procedures.evaluate import evaluate
from instar.procedures.exporting import export, load
from instar.procedures.inspect import inspect
from instar.procedures.label import label
from instar.procedures.report import report
from instar.procedures.stage import Stage, TrainedRun
from instar.procedures.target_stores import merge_targets, targets_info, verify_targets
from instar.procedures.train import train
from instar.procedures.tune import tune

__all__ = [
    "Compared",
    "DemoSummary",
    "Lineage",
    "Stage",
    "TrainedRun",
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
    "merge_targets",
    "report",
    "specialists",
    "targets_info",
    "train",
    "tune",
    "verify_targets",
]
