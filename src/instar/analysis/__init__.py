"""What happened: metrics, calibration, fidelity, gradients, gains and how sure they are; what is confused, or said."""

from instar.analysis.agreement import divergence, fidelity
from instar.analysis.calibration import expected_calibration_error
from instar.analysis.clustering import cluster_columns
from instar.analysis.covariance import Covariance, SketchedCovariance
from instar.analysis.gradients import GradientTerms
from instar.analysis.metrics import all_metrics, quick_metrics
from instar.analysis.scores import Scores
from instar.analysis.significance import paired_interval, wilson_interval
from instar.analysis.student_gain import gain
from instar.analysis.viterbi import spoken_words, word_scores, wrong_words

__all__ = [
    "Covariance",
    "GradientTerms",
    "Scores",
    "SketchedCovariance",
    "all_metrics",
    "cluster_columns",
    "divergence",
    "expected_calibration_error",
    "fidelity",
    "gain",
    "paired_interval",
    "quick_metrics",
    "spoken_words",
    "wilson_interval",
    "word_scores",
    "wrong_words",
]
