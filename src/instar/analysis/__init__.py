"""What happened: metrics, calibration, fidelity, gradients, gains, and how sure they are."""

from instar.analysis.calibration import expected_calibration_error
from instar.analysis.fidelity import fidelity
from instar.analysis.gain import gain
from instar.analysis.gradients import GradientTerms
from instar.analysis.metrics import all_metrics, quick_metrics
from instar.analysis.significance import paired_interval, wilson_interval

__all__ = [
    "GradientTerms",
    "all_metrics",
    "expected_calibration_error",
    "fidelity",
    "gain",
    "paired_interval",
    "quick_metrics",
    "wilson_interval",
]
