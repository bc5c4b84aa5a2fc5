"""`DistilledRegressor`: a small regressor that learns from another one."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, RegressorMixin, is_classifier
from torch import Tensor

from instar.analysis.numbers import compare_with_teacher
from instar.data.batch import Batch
from instar.errors import ConfigError, DataError
from instar.inspection.conclusions import Quantity, compare_runs
from instar.sklearn.distilled import Distilled
from instar.sklearn.labels import read_numbers, read_weights
from instar.sklearn.row_teacher import RowTeacher
from instar.sklearn.rows import read_rows
from instar.teachers.boosters import is_booster
from instar.teachers.regressor import Regressor, predicts_numbers


class DistilledRegressor(RegressorMixin, Distilled):  # type: ignore[misc]  # it has no types
    """A regressor that learns from the numbers of another one, as an estimator of scikit-learn.

    Args:
        teacher: regressor. One that is fitted is never fitted again, and copies of this estimator share it; one that is
            not is copied, and fitted to the same rows. A booster of XGBoost or LightGBM is fitted. None: a random
            forest of scikit-learn.
        student: what learns: the name of a model of Instar, such as "tree" or "mlp", or a description.
        student_arguments: arguments of a student by name, such as `{"leaves": 20}`.
        objective: what the student minimises, such as "Huber(2, 'teacher')"; None: the default of `instar.distill`.
        temperature: no effect on numbers; refused.
        validation: share of the rows that is held out to prune a tree or to stop a network; "auto" is 0.1 from 100
            rows on, and 0 for fewer.
        transfer: rows beside these that only the teacher labels, such as "munge"; see `instar.distill`.
        transfer_rows: number of these rows; None: 10 times the rows.
        settings: further arguments of `instar.distill` by name, such as `{"epochs": 30}` of a network.
        random_state: seed, as everywhere in scikit-learn.
        out: run folder, which the verbs of Instar read; None: there is none. It is judged on its validation rows.

    Attributes:
        teacher_: the fitted teacher.
        student_: the fitted student.
        n_features_in_: number of columns.
        feature_names_in_: their names, of a data frame.

    >>> from sklearn.datasets import load_diabetes
    >>> from sklearn.ensemble import RandomForestRegressor
    >>> x, y = load_diabetes(return_X_y=True)
    >>> forest = RandomForestRegressor(random_state=0).fit(x, y)
    >>> tree = DistilledRegressor(forest, student_arguments={"leaves": 8}, random_state=0).fit(x, y)
    >>> bool(tree.score(x, y) > 0.4)
    True
    """

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:  # noqa: N803
        """Fit the teacher, unless it is fitted, and then the student.

        Args:
            X: array of numbers, or data frame of any library with words, dates and missing values, `[rows, columns]`.
            y: numbers, `[rows]`.
            sample_weight: how many rows each one counts as, `[rows]`; None: one.

        Raises:
            ValueError: in one sentence.
        """
        rows = read_rows(self, X, resets=True)
        numbers = read_numbers(self, rows, y)
        if len(np.unique(numbers)) < 2:
            raise DataError(f"y has one number in {len(rows)} sample(s), and a regressor needs at least two.")
        weights = read_weights(sample_weight, rows)
        self.teacher_ = self._fit_teacher(X, numbers, weights)
        teacher = Regressor(self.teacher_)

        def ask(batch: Batch) -> Tensor:
            return teacher.targets(batch).logits()

        known = RowTeacher(teacher, teacher.predict_numbers(X, len(rows)), ask)
        self._distil(rows, numbers, known, {"labels": "numbers"}, weights)
        return self

    def compare_with_teacher(self, X: Any, y: Any) -> dict[str, Quantity]:  # noqa: N803
        """Return R², RMSE and MAE of teacher (`reference`) and student (`method`), with the intervals of differences.

        "rmse_to_teacher" is the distance of their predictions, and "r2_kept" the share of the teacher's R² that the
        student keeps, which is missing where the teacher's R² may be 0.

        Args:
            X: rows that neither has learnt from, `[rows, columns]`.
            y: their numbers, `[rows]`.

        Raises:
            ValueError: when they are no rows of the kind that was learnt from.
        """
        own = torch.from_numpy(self.predict(X))
        numbers = torch.from_numpy(read_numbers(self, own, y)).double()
        theirs = Regressor(self.teacher_).predict_numbers(X, len(own))[:, 0].double()
        found = compare_with_teacher(own, theirs, numbers)
        return {name: compare_runs([teacher], [mine], is_tested=False) for name, (teacher, mine) in found.items()}

    def _refuse_teacher(self, teacher: Any) -> None:
        is_booster_of_classes = is_booster(teacher) and not predicts_numbers(teacher)
        is_estimator_of_classes = isinstance(teacher, BaseEstimator) and is_classifier(teacher)
        if is_booster_of_classes or is_estimator_of_classes or hasattr(teacher, "predict_proba"):
            raise ConfigError(
                f"the classifier {type(teacher).__name__} predicts classes, and the labels are numbers; give a "
                "regressor."
            )

    def _default_teacher(self) -> Any:
        from sklearn.ensemble import RandomForestRegressor

        return RandomForestRegressor()

    def predict(self, X: Any) -> NDArray[np.float64]:  # noqa: N803
        """Return the number of each row, `[rows]`, in the unit of y."""
        return self._call_student(X)[:, 0]
