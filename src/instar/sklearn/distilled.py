"""What the estimators that learn from a teacher share."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from instar.sklearn.fitting import distil_rows
from instar.sklearn.rows import read_rows
from instar.sklearn.teaching import Taught

PREDICTED_ROWS = 65_536
"""Rows that a student predicts at a time, so that its memory does not grow with their number."""

ENTRIES = ("student_arguments__", "settings__")
"""Beginnings of names that set one entry of a parameter, as grids do."""


class Distilled(Taught):
    """An estimator whose student learns from the predictions of its teacher."""

    def __init__(
        self,
        teacher: Any = None,
        student: Any = "tree",
        *,
        student_arguments: dict[str, Any] | None = None,
        objective: Any = None,
        temperature: float | None = None,
        validation: float | str = "auto",
        transfer: Any = None,
        transfer_rows: int | None = None,
        settings: dict[str, Any] | None = None,
        random_state: Any = None,
        out: str | Path | None = None,
    ) -> None:
        self.teacher = teacher
        self.student = student
        self.student_arguments = student_arguments
        self.objective = objective
        self.temperature = temperature
        self.validation = validation
        self.transfer = transfer
        self.transfer_rows = transfer_rows
        self.settings = settings
        self.random_state = random_state
        self.out = out

    def set_params(self, **params: Any) -> Self:
        """Set parameters by name, also single entries: `student_arguments__leaves=8`, `settings__epochs=30`.

        Raises:
            ValueError: when there is no such parameter.
        """
        entries = {name: value for name, value in params.items() if name.startswith(ENTRIES)}
        super().set_params(**{name: value for name, value in params.items() if name not in entries})
        for name, value in entries.items():
            outer, _, entry = name.partition("__")
            setattr(self, outer, {**(getattr(self, outer) or {}), entry: value})
        return self

    def _distil(self, rows: Any, labels: Any, teacher: Any, reading: dict[str, Any], weights: Any) -> None:
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        self.student_ = distil_rows(
            rows,
            labels,
            teacher,
            self.get_params(deep=False),
            reading=reading,
            weights=weights,
            seed=seed,
        )

    @torch.no_grad()
    def _call_student(self, X: Any) -> NDArray[np.float64]:  # noqa: N803
        """Return the outputs of the student, `[rows, outputs]`."""
        check_is_fitted(self, "student_")
        rows = read_rows(self, X, resets=False)
        found = []
        for start in range(0, len(rows), PREDICTED_ROWS):
            part = rows[start : start + PREDICTED_ROWS]
            inputs = part if self.reads_cells_ else torch.from_numpy(np.asarray(part, np.float32))
            found.append(self.student_(inputs).double().cpu().numpy())
        return np.concatenate(found)

    def rules(self) -> str:
        """Return a student that is a tree, or several, as nested conditions in words.

        Raises:
            MismatchError: when it is none.
        """
        from instar.exporting.to_rules import write_lines
        from instar.models.questions import ask_raw

        check_is_fitted(self, "student_")
        questions = ask_raw(self.student_, (self.n_features_in_,), "float32")
        names = getattr(self, "feature_names_in_", None)
        if names is not None and not self.reads_cells_:  # the cells of a table have their names
            columns = (replace(one, name=str(name)) for one, name in zip(questions.columns, names, strict=True))
            questions = replace(questions, columns=tuple(columns))
        return "\n".join(write_lines(questions, tuple(map(str, getattr(self, "classes_", ())))))
