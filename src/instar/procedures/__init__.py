"""The verbs: sequences of stages, each from run folders to a run folder."""

from instar.procedures import specialists
from instar.procedures.born_again import Lineage, born_again
from instar.procedures.correct_bias import correct_bias
from instar.procedures.demo import DemoSummary, demo
from instar.procedures.distill import distill
from instar.procedures.ensemble import ensemble
from instar.procedures.evaluate import evaluate
from instar.procedures.label import label
from instar.procedures.report import report
from instar.procedures.stage import Stage, TrainedRun
from instar.procedures.target_stores import merge_targets, targets_info, verify_targets
from instar.procedures.train import train

__all__ = [
    "DemoSummary",
    "Lineage",
    "Stage",
    "TrainedRun",
    "born_again",
    "correct_bias",
    "demo",
    "distill",
    "ensemble",
    "evaluate",
    "label",
    "merge_targets",
    "report",
    "specialists",
    "targets_info",
    "train",
    "verify_targets",
]
