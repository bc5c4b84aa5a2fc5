"""What happened: metrics, calibration, fidelity, and how sure they are."""

from instar.analysis.calibration import expected_calibration_error
from instar.analysis.fidelity import fidelity
from instar.analysis.metrics import all_metrics, quick_metrics
from instar.analysis.significance import paired_interval, wilson_interval

__all__ = [
    "all_metrics",
    "expected_calibration_error",
    "fidelity",
    "paired_interval",
    "quick_metrics",
    "wilson_interval",
]
