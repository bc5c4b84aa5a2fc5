"""`DistilledClassifier`: a small classifier that learns from another one."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import ClassifierMixin
from torch import Tensor

from instar.analysis.comparison import Difference, error_over_samples
from instar.data.batch import Batch
from instar.errors import ConfigError, DataError, MismatchError
from instar.sklearn.distilled import Distilled
from instar.sklearn.labels import read_classes, read_weights
from instar.sklearn.row_teacher import RowTeacher
from instar.sklearn.rows import read_rows
from instar.sklearn.teaching import join_classes, list_few
from instar.teachers.classifier import Classifier
from instar.teachers.estimator_inputs import read_features
from instar.teachers.regressor import predicts_numbers


class DistilledClassifier(ClassifierMixin, Distilled):  # type: ignore[misc]  # it has no types
    """A classifier that learns from the probabilities of another one, as an estimator of scikit-learn.

    Args:
        teacher: classifier. One that is fitted is never fitted again, and copies of this estimator share it; one that
            is not is copied, and fitted to the same rows. A booster of XGBoost or LightGBM is fitted. None: a random
            forest of scikit-learn.
        student: what learns: the name of a model of Instar, such as "tree" or "mlp", or a description such as
            `instar.models.Tree(leaves=20)`.
        student_arguments: arguments of a student by name, such as `{"leaves": 20}`.
        objective: what the student minimises, such as "SoftTargets(2) + 0.1 * HardLabels()"; None: the default of
            `instar.distill`.
        temperature: temperature of the default objective; None: that of `instar.distill`.
        validation: share of the rows that is held out to prune a tree or to stop a network; "auto" is 0.1 from 100
            rows on, and 0 for fewer.
        transfer: rows beside these that only the teacher labels, such as "munge"; see `instar.distill`.
        transfer_rows: number of these rows; None: 10 times the rows.
        settings: further arguments of `instar.distill` by name, such as `{"epochs": 30}` of a network.
        random_state: seed, as everywhere in scikit-learn.
        out: run folder, which the verbs of Instar read; None: there is none. It is judged on its validation rows.

    Attributes:
        classes_: the classes of y and of the teacher, sorted.
        teacher_: the fitted teacher. One that was not fitted and refuses these classes, such as XGBoost, predicts their
            numbers in the order of the sorted classes of y.
        student_: the fitted student.
        n_features_in_: number of columns.
        feature_names_in_: their names, of a data frame.

    >>> from sklearn.datasets import load_iris
    >>> from sklearn.ensemble import RandomForestClassifier
    >>> x, y = load_iris(return_X_y=True)
    >>> forest = RandomForestClassifier(random_state=0).fit(x, y)
    >>> tree = DistilledClassifier(forest, student_arguments={"leaves": 4}, random_state=0).fit(x, y)
    >>> bool(tree.score(x, y) > 0.9), tree.student_.network.trees.leaf_count <= 4
    (True, True)
    """

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:  # noqa: N803
        """Fit the teacher, unless it is fitted, and then the student.

        Args:
            X: array of numbers, or data frame of any library with words, dates and missing values, `[rows, columns]`.
            y: classes, `[rows]`.
            sample_weight: how many rows each one counts as, `[rows]`; None: one.

        Raises:
            ValueError: in one sentence.
        """
        rows = read_rows(self, X, resets=True)
        labels = read_classes(self, rows, y)
        weights = read_weights(sample_weight, rows)
        self.teacher_, numbered = self._fit_classifier(X, labels, weights)
        teacher = Classifier(self.teacher_)
        self._teacher_classes = np.asarray(teacher.estimator.classes_) if numbered is None else numbered
        self.classes_ = join_classes(np.unique(labels), self._teacher_classes)
        if len(self.classes_) < 2:
            raise DataError(f"y has one class, {self.classes_.tolist()[0]!r}, and a classifier needs at least two.")
        logits = self._ask(teacher, X, len(rows))
        # by number, because str(1.0) and str(1) are two names of one class
        reading = {"labels": "classes", "classes": tuple(map(str, range(len(self.classes_))))}

        def ask(batch: Batch) -> Tensor:
            return self._ask(teacher, read_features(teacher.estimator, batch, "classifier"), len(batch))

        self._distil(rows, np.searchsorted(self.classes_, labels), RowTeacher(teacher, logits, ask), reading, weights)
        return self

    def _ask(self, teacher: Classifier, X: Any, rows: int) -> Tensor:  # noqa: N803
        """Return the teacher's logits of `classes_`, float32 `[rows, classes]`."""
        columns = np.searchsorted(self.classes_, self._teacher_classes).tolist()
        return teacher.predict_logits(X, rows, columns, len(self.classes_))

    def _refuse_teacher(self, teacher: Any) -> None:
        if predicts_numbers(teacher):
            raise ConfigError(f"the regressor {type(teacher).__name__} predicts no classes, so give a classifier.")

    def _default_teacher(self) -> Any:
        from sklearn.ensemble import RandomForestClassifier

        return RandomForestClassifier()

    def predict_proba(self, X: Any) -> NDArray[np.float64]:  # noqa: N803
        """Return the probability of each class, `[rows, classes]`, in the order of `classes_`."""
        odds = np.ascontiguousarray(self._call_student(X).T)  # sums over few classes are slow along rows
        odds -= odds.max(0)
        np.exp(odds, out=odds)
        odds /= odds.sum(0)
        found: NDArray[np.float64] = odds.T
        return found

    def predict(self, X: Any) -> NDArray[Any]:  # noqa: N803
        """Return the likeliest class of each row, `[rows]`."""
        outputs = self._call_student(X)
        found: NDArray[Any] = self.classes_[outputs.argmax(1)]
        return found

    def compare_with_teacher(self, X: Any, y: Any) -> Difference:  # noqa: N803
        """Return the error rate of the student minus that of the teacher, with its 95% interval over these rows.

        Args:
            X: rows that neither has learnt from, `[rows, columns]`.
            y: their classes, `[rows]`.

        Raises:
            ValueError: when they are no rows of the kind that was learnt from, or of other classes.
        """
        own = self.predict(X)
        labels = read_classes(self, own, y)
        if unknown := set(labels.tolist()) - set(self.classes_.tolist()):
            raise MismatchError(
                f"y has the class {min(unknown, key=str)!r}, which neither student nor teacher knows; expected "
                f"{list_few(self.classes_)}."
            )
        logits = self._ask(Classifier(self.teacher_), X, len(own))
        theirs = self.classes_[logits.numpy().argmax(1)]
        reference, method = (np.asarray(found != labels, np.int64)[None] for found in (theirs, own))
        return error_over_samples(reference, method, np.ones(len(labels), np.int64))
