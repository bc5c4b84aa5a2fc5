"""One distillation of the rows of an estimator: in memory where nobody wants the run folder, and otherwise in one."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from instar.data.dataset import load_data
from instar.data.tables.faults import find_faults
from instar.errors import ConfigError
from instar.models.build import describe_model
from instar.models.normalised import Normalised
from instar.paths import local_path
from instar.procedures.distill import plan_distillation
from instar.stages.arguments import distillation_objective
from instar.stages.transfer_rows import choose_transfer_rows
from instar.students.catalogue import student_of
from instar.students.fitted import FittedStudent
from instar.teachers.teacher import Teacher

MIN_ROWS_TO_PRUNE = 100
"""Rows from which on a tenth is held out where the caller names no share."""


def choose_share(validation: float | str, rows: int) -> float:
    """Return the share of rows that is held out.

    Raises:
        ConfigError: when it is neither "auto" nor a share.

    >>> choose_share("auto", 50), choose_share("auto", 500), choose_share(0.2, 50)
    (0.0, 0.1, 0.2)
    """
    if validation == "auto":
        return 0.1 if rows >= MIN_ROWS_TO_PRUNE else 0.0
    if isinstance(validation, bool) or not isinstance(validation, int | float) or not 0 <= validation < 1:
        raise ConfigError(f"validation must be 'auto' or a share of at least 0 and below 1, got {validation!r}.")
    return float(validation)


def distil_rows(
    rows: Any,
    labels: Any,
    teacher: Teacher,
    wanted: Mapping[str, Any],
    *,
    reading: Mapping[str, Any],
    weights: Any,
    seed: int,
) -> Normalised:
    """Return a student that has learnt from a teacher and the labels of rows.

    Args:
        rows: array of floats, or data frame of pandas, `[rows, columns]`.
        labels: their labels, `[rows]`.
        teacher: knows the rows by their numbers.
        wanted: parameters of the estimator by name.
        reading: settings of `load_data` that say what labels are.
        weights: how many samples each row counts as, `[rows]`; None: one.
        seed: seed of the run.

    Raises:
        InstarError: in one sentence.
    """
    student, out = _describe_student(wanted["student"], wanted["student_arguments"]), wanted["out"]
    share = choose_share(wanted["validation"], len(rows))
    is_fitted = isinstance(student_of(_name_of(student)), FittedStudent)
    if weights is not None and not is_fitted:
        weights = weights / weights.mean()  # so that the steps of a network have their usual size
    # estimators are judged by their callers; a run folder has one row as its test set, and is judged on validation
    data = load_data(
        {"train": (rows, labels), "test": (rows[:1], labels[:1])},
        weights=None if weights is None else {"train": weights},
        validation=share,
        **reading,
    )
    for sentence in find_faults(data.train, {}):
        told, is_of_columns, _ = sentence.partition(" with data.leave_out")  # a setting that is not known here
        if is_of_columns:
            warnings.warn(told, stacklevel=4)
    data, _ = choose_transfer_rows(data, wanted["transfer"], wanted["transfer_rows"], trust=False)
    if out is not None and share == 0:
        raise ConfigError("a run folder is judged on held-out rows; give a validation share above 0, or no out.")
    with tempfile.TemporaryDirectory(prefix="instar-") as scratch:
        stage = plan_distillation(
            data,
            teacher,
            student,
            Path(scratch) / "run" if out is None else local_path(out, "out"),
            {"judge_test": share == 0, **(wanted["settings"] or {})},
            show=False,
            objective=distillation_objective(wanted["objective"], wanted["temperature"]),
            seed=seed,
        )
        return stage.fit() if out is None and is_fitted else stage.run().model


def _describe_student(student: Any, arguments: Mapping[str, Any] | None) -> Any:
    if not arguments:
        return student
    if not isinstance(student, str):
        raise ConfigError(f"student_arguments are for a student by name, got {type(student).__name__}.")
    return {"name": student, "arguments": dict(arguments)}


def _name_of(student: Any) -> str:
    if isinstance(student, str | Mapping):
        return str(student if isinstance(student, str) else student["name"])
    return describe_model(student).name
