"""The metrics that several tasks share, each written down once."""

from __future__ import annotations

from instar.analysis.metrics import nll_of_each
from instar.tasks.intervals import StudentT, Wilson
from instar.tasks.metric import Metric

TEACHER_ERROR = Metric(
    "teacher_error",
    "share",
    interval=Wilson(),
    title="Teacher error",
    meaning="Test error of the teacher.",
    has_spread=False,  # students of all seeds usually share a teacher
)
ERRORS = Metric("errors", "count", title="Test errors", meaning="Wrong predictions on the test set.")
ERROR = Metric(
    "error",
    "share",
    interval=Wilson(counted="errors"),
    label="errors",
    line="{errors} of {samples}: {error:.2%} (95%: {error_interval[0]:.2%} to {error_interval[1]:.2%})",
    title="Test error",
    meaning="Wrong predictions as a share of the labelled test samples.",
)
NLL = Metric(
    "nll",
    "nats",
    interval=StudentT(nll_of_each),
    label="nll",
    title="NLL",
    meaning="Mean negative log-likelihood of the right class; lower is better.",
)
ECE = Metric(
    "ece",
    "share",
    label="ece",
    title="ECE",
    meaning=(
        "Expected calibration error, in percentage points: the distance between confidence and accuracy, "
        "averaged over 15 bins of confidence; 0 is perfect."
    ),
    how="15 bins",
)
AGREEMENT = Metric(
    "agreement",
    "share",
    "higher",
    interval=Wilson(),
    label="agreement",
    line="{agreement:.2%} with the teacher",
    title="Agreement",
    meaning="Test samples on which student and teacher agree.",
    how="with the teacher",
)
# no title, so no column: the report shows it in the table of fidelity
KL_TO_TEACHER = Metric("kl_to_teacher", "nats", how="KL(teacher || student)")


def metrics_of_classes(*own: Metric) -> tuple[Metric, ...]:
    """Return the metrics of every task with classes, with those of one task after the NLL."""
    return TEACHER_ERROR, ERRORS, ERROR, NLL, *own, ECE, AGREEMENT, KL_TO_TEACHER
