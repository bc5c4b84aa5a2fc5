"""The teacher of an estimator: fitted ones are never fitted again."""

from __future__ import annotations

from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, clone
from sklearn.exceptions import NotFittedError
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, has_fit_parameter

from instar.errors import ConfigError, MismatchError
from instar.sklearn.rows import find_words


class Taught(BaseEstimator):  # type: ignore[misc]  # it has no types
    """An estimator that learns from another one; its copies share a teacher that is fitted.

    So a search or a cross-validation never fits it again, as the copies of scikit-learn would.
    """

    random_state: Any
    teacher_name: ClassVar[str] = "teacher"
    """Name of the parameter that is the teacher."""

    def _default_teacher(self) -> Any:
        """Return the estimator that teaches where none is given."""
        raise NotImplementedError

    def _refuse_teacher(self, teacher: Any) -> None:
        """Refuse an estimator that cannot teach this one, before it is fitted.

        Raises:
            ConfigError: in one sentence.
        """

    def _fit_teacher(
        self,
        X: Any,  # noqa: N803
        y: Any,
        sample_weight: NDArray[np.floating] | None,
    ) -> Any:
        """Return the fitted teacher; see `fit_teacher`."""
        given = getattr(self, self.teacher_name)
        teacher = self._default_teacher() if given is None else given
        self._refuse_teacher(teacher)
        return fit_teacher(teacher, X, y, sample_weight, self.random_state)

    def _fit_classifier(
        self,
        X: Any,  # noqa: N803
        labels: NDArray[Any],
        sample_weight: NDArray[np.floating] | None,
    ) -> tuple[Any, NDArray[Any] | None]:
        """Return the fitted teacher, and the classes that its numbers stand for; None: its classes are its own.

        One that refuses these classes, as those of XGBoost refuse words, is fitted to their numbers.
        """
        try:
            return self._fit_teacher(X, labels, sample_weight), None
        except ValueError:
            classes, numbers = np.unique(labels, return_inverse=True)
            if is_fitted(getattr(self, self.teacher_name)) or classes.tolist() == list(range(len(classes))):
                raise
            return self._fit_teacher(X, numbers, sample_weight), classes

    def __sklearn_clone__(self) -> Self:
        """Return an unfitted copy."""
        made: Self = super().__sklearn_clone__()
        if is_fitted(getattr(self, self.teacher_name)):
            setattr(made, self.teacher_name, getattr(self, self.teacher_name))
        return made

    def set_params(self, **params: Any) -> Self:
        """Set parameters by name.

        Raises:
            ConfigError: when they are those of a fitted teacher, on which they would have no effect.
        """
        odd = next((name for name in params if name.startswith(f"{self.teacher_name}__")), None)
        if odd and self.teacher_name not in params and is_fitted(getattr(self, self.teacher_name)):
            raise ConfigError(
                f"'{odd}' has no effect, because the {self.teacher_name} is fitted; give one that is not."
            )
        found: Self = super().set_params(**params)
        return found


def is_fitted(teacher: Any) -> bool:
    """Return whether a teacher can predict already; boosters and trees of Instar always can.

    >>> from sklearn.linear_model import LinearRegression
    >>> is_fitted(LinearRegression()), is_fitted(LinearRegression().fit([[0], [1]], [0, 1]))
    (False, True)
    """
    if not hasattr(teacher, "fit"):
        return teacher is not None
    try:
        check_is_fitted(teacher)
    except (NotFittedError, TypeError):
        return False
    return True


def fit_teacher(
    teacher: Any,
    X: Any,  # noqa: N803
    y: Any,
    sample_weight: NDArray[np.floating] | None,
    random_state: Any,
) -> Any:
    """Return a teacher that is fitted: this one if it is, and otherwise a copy that is fitted to these rows.

    Args:
        teacher: estimator.
        X: rows in the form that the caller gave.
        y: labels, `[rows]`.
        sample_weight: weights, `[rows]`; None: there are none.
        random_state: decides the seeds of a copy that has none of its own, as in the ensembles of scikit-learn.

    Raises:
        ConfigError: when it cannot weigh rows.
        MismatchError: when it cannot read words.
    """
    if is_fitted(teacher):
        return teacher
    copied = clone(teacher)
    if random_state is not None:
        draw = check_random_state(random_state)
        unset = [name for name, value in sorted(copied.get_params().items()) if value is None]
        seeds = [name for name in unset if name == "random_state" or name.endswith("__random_state")]
        copied.set_params(**{name: int(draw.randint(2**31 - 1)) for name in seeds})
    if sample_weight is not None and not has_fit_parameter(copied, "sample_weight"):
        raise ConfigError(
            f"the teacher {type(copied).__name__} takes no sample_weight; fit it before, with the weights where it "
            "takes them, and give it fitted."
        )
    try:
        return copied.fit(X, y, **({} if sample_weight is None else {"sample_weight": sample_weight}))
    except (ValueError, TypeError) as error:
        if (column := find_words(X)) is None:
            raise
        raise MismatchError(
            f"the teacher {type(copied).__name__} cannot be fitted: {' '.join(str(error).split()).rstrip('.')}; column "
            f"'{column}' holds no numbers, so give a pipeline that encodes it, such as one with a OneHotEncoder."
        ) from error


def join_classes(known: NDArray[Any], of_teacher: Any) -> NDArray[Any]:
    """Return the sorted classes of labels and of a teacher.

    Raises:
        MismatchError: when some are numbers and others words, or none is of both.

    >>> join_classes(np.array(["no", "yes"]), np.array(["maybe", "no"])).tolist()
    ['maybe', 'no', 'yes']
    """
    theirs = np.asarray(of_teacher)
    are_words = [classes.dtype.kind in "OUS" for classes in (known, theirs)]
    if are_words[0] != are_words[1] or not np.isin(known, theirs).any():
        raise MismatchError(
            f"the classes of the teacher are {list_few(theirs)}, and those of y are {list_few(known)}; give y with the "
            "classes of the teacher, or a teacher that is not fitted, which is then fitted to y."
        )
    found: NDArray[Any] = np.union1d(known, theirs)
    return found


def list_few(classes: NDArray[Any]) -> str:
    """Return the first classes in words."""
    return ", ".join(map(str, classes[:5].tolist())) + (", ..." if len(classes) > 5 else "")
