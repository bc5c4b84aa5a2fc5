"""What happened: metrics, calibration, fidelity, gradients, gains and how sure they are; which classes are confused."""

from instar.analysis.calibration import expected_calibration_error
from instar.analysis.clustering import cluster_columns
from instar.analysis.covariance import Covariance, SketchedCovariance
from instar.analysis.fidelity import fidelity
from instar.analysis.gain import gain
from instar.analysis.gradients import GradientTerms
from instar.analysis.metrics import all_metrics, quick_metrics
from instar.analysis.significance import paired_interval, wilson_interval

__all__ = [
    "Covariance",
    "GradientTerms",
    "SketchedCovariance",
    "all_metrics",
    "cluster_columns",
    "expected_calibration_error",
    "fidelity",
    "gain",
    "paired_interval",
    "quick_metrics",
    "wilson_interval",
]
