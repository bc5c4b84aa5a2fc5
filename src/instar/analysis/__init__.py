"""Statistics of predictions: metrics, intervals and tests, calibration, fidelity, confusions and spoken words."""

from instar.analysis.agreement import divergence, fidelity
from instar.analysis.calibration import expected_calibration_error
from instar.analysis.clustering import cluster_columns
from instar.analysis.covariance import Covariance, SketchedCovariance
from instar.analysis.metrics import all_metrics, nll_of_each, perplexity, quick_metrics
from instar.analysis.scores import UNLABELLED, Scores
from instar.analysis.significance import best_of, mean_interval, paired_interval, wilson_interval
from instar.analysis.student_gain import gain
from instar.analysis.viterbi import spoken_words, word_scores, wrong_words

__all__ = [
    "UNLABELLED",
    "Covariance",
    "Scores",
    "SketchedCovariance",
    "all_metrics",
    "best_of",
    "cluster_columns",
    "divergence",
    "expected_calibration_error",
    "fidelity",
    "gain",
    "mean_interval",
    "nll_of_each",
    "paired_interval",
    "perplexity",
    "quick_metrics",
    "spoken_words",
    "wilson_interval",
    "word_scores",
    "wrong_words",
]
