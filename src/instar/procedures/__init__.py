"""The verbs: sequences of stages, each from run folders to a run folder."""

from instar.procedures.correct_bias import correct_bias
from instar.procedures.demo import DemoSummary, demo
from instar.procedures.distill import distill
from instar.procedures.evaluate import evaluate
from instar.procedures.report import report
from instar.procedures.stage import Stage, TrainedRun
from instar.procedures.train import train

__all__ = ["DemoSummary", "Stage", "TrainedRun", "correct_bias", "demo", "distill", "evaluate", "report", "train"]
