"""A fitted classifier as a teacher: of scikit-learn, such as a forest or a pipeline, of XGBoost or of LightGBM."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from instar.content import Content
from instar.data.batch import Batch
from instar.data.opening import join_names
from instar.errors import ConfigError, MismatchError, say
from instar.targets.targets import DenseTargets
from instar.teachers.boosters import as_classifier, find_margins, holds_trees
from instar.teachers.estimator_inputs import name_estimator, predict_rows, read_features
from instar.teachers.teacher import Teacher

MAX_ROUNDING = 1e-5
"""Largest difference of a probability of 1 from 1 through rounding."""


class Classifier(Teacher):
    """v = log(max(p, floor)), with p = `predict_proba` of the flattened inputs, in their original precision.

    The boosted trees of XGBoost and LightGBM have logits of their own, the margins; v is these, and has no floor.

    Images are flattened in the order of axes of the arrays that the user gave; images of files have channels first. The
    classifier's classes are matched with those of the data by name or, if they are no names, by number. A class that
    the classifier does not know has p = 0.

    Args:
        estimator: fitted estimator with `predict_proba` and `classes_`, a `Booster` of XGBoost or LightGBM, or
            `TreeArrays`.
        floor: smallest probability; the 0 of a forest means "rarer than one tree in a hundred".
        classes: names of its classes 0, 1, 2, ..., which a booster does not know; (): its own.

    Raises:
        ConfigError: when the estimator is not fitted, has no probabilities or several outputs, floor is not in (0, 1),
            or the estimator has other classes than are named.

    >>> from sklearn.tree import DecisionTreeClassifier
    >>> from instar.data import Loader, load_data
    >>> train = load_data("digits").train
    >>> tree = DecisionTreeClassifier(random_state=0).fit(train.inputs().flatten(1).numpy(), train.labels.numpy())
    >>> batch = Loader(train, 4, seed=0).batch(0)
    >>> bool((Classifier(tree).targets(batch).logits().argmax(1) == batch.labels).all())
    True
    """

    answers_by_row = True

    def __init__(self, estimator: Any, floor: float = 1e-6, classes: Sequence[str] = ()) -> None:
        self._tells_order = True  # once
        estimator = as_classifier(estimator)
        name = type(estimator).__name__
        if not hasattr(estimator, "predict_proba"):
            raise ConfigError(
                f"a classifier needs predict_proba to teach, and {name} has none; {_instead_of(estimator)}."
            )
        if not hasattr(estimator, "classes_"):
            raise ConfigError(f"the classifier {name} is not fitted; call its fit first.")
        if any(np.ndim(one) for one in estimator.classes_):  # a list of arrays: one array of classes per output
            count = len(estimator.classes_)
            raise ConfigError(f"the classifier {name} has {count} outputs; fit it to the one to distil.")
        if not 0 < floor < 1:
            raise ConfigError(f"Classifier(floor) must be above 0 and below 1, got {floor}.")
        if classes and list(map(_name, estimator.classes_)) != list(map(str, range(len(classes)))):
            raise ConfigError(
                f"Classifier(classes) names the classes 0 to {len(classes) - 1} of an estimator that has only numbers, "
                f"and {name} has the classes {_few(estimator.classes_)}."
            )
        self.estimator, self.floor, self._names = estimator, floor, tuple(classes)
        self._margins = find_margins(estimator)

    def targets(self, batch: Batch) -> DenseTargets:
        """Return the logarithms of the probabilities, or the margins.

        Raises:
            MismatchError: when its classes or features are not those of the data.
        """
        if batch.origin and batch.origin.samples.source.task.predicts_numbers:
            raise MismatchError(
                f"the classifier {type(self.estimator).__name__} predicts classes, and the labels are numbers; give a "
                "regressor."
            )
        inputs = read_features(self.estimator, batch, "classifier")
        found = self.predict_logits(inputs, len(batch), *self._match_classes(batch))
        return DenseTargets(found.to(batch.inputs.device))

    def predict_logits(self, inputs: Any, rows: int, columns: list[int], classes: int) -> Tensor:
        """Return the logits of rows that the estimator reads, float32 `[rows, classes]`.

        Args:
            inputs: the rows, in the form that the estimator was fitted to.
            rows: number of rows.
            columns: number of each class of the estimator among the classes.
            classes: number of classes.

        Raises:
            MismatchError: when it predicts something else than probabilities of its classes.
        """
        found = self._predict(inputs)
        if found.shape != (rows, len(columns)):
            raise MismatchError(
                f"the classifier's predict_proba must return [{rows}, {len(columns)}], got {list(found.shape)}."
            )
        self._refuse_scores(found)
        return self._place(found, columns, classes)

    def _refuse_scores(self, found: Tensor) -> None:
        # libraries return raw scores in place of the probabilities of an objective of the user's, and only warn
        if self._margins is None and ((found < 0) | (found > 1 + MAX_ROUNDING)).any():
            raise MismatchError(
                f"the classifier {type(self.estimator).__name__} must predict probabilities from 0 to 1, got "
                f"{float(found.min()):.3g} to {float(found.max()):.3g}; give probabilities in a file (label --from)."
            )

    def _place(self, found: Tensor, columns: list[int], classes: int) -> Tensor:
        """Return the logits of the data's classes, `[batch, classes]`, from those of the classifier's own."""
        logits = found.clamp(min=self.floor).log() if self._margins is None else found
        if columns == list(range(classes)):
            return logits
        if self._margins is not None:  # the floor of the others is a probability
            logits = logits.log_softmax(1)
        places = torch.tensor(columns, device=found.device)
        return found.new_full((len(found), classes), self.floor).log().index_copy_(1, places, logits)

    def describe_lack(self) -> str:
        """Return that the classifier has no hidden layers."""
        return f"the classifier {type(self.estimator).__name__} has none"

    def _predict(self, inputs: Any) -> Tensor:
        method = self._margins or self.estimator.predict_proba
        return torch.as_tensor(predict_rows(self.estimator, method, inputs, "classifier"), dtype=torch.float32)

    def _match_classes(self, batch: Batch) -> tuple[list[int], int]:
        """Return the indices of its classes in the data, and the number of classes of the data."""
        own = list(self._names or self.estimator.classes_)
        names = batch.origin.samples.source.classes if batch.origin else tuple(map(str, range(len(own))))
        place = {name: number for number, name in enumerate(names)}
        by_name = [place.get(_name(one), -1) for one in own]
        by_number = [_number(one, len(names)) for one in own]
        readings = [found for found in (by_name, by_number) if -1 not in found]
        # classes named "1", "0": a 1 is the first by name and the second by number, and a guess could swap all labels
        if not readings or (len(readings) == 2 and by_name != by_number):
            what = "can be names or label indices" if readings else f"must be the label indices 0..{len(names) - 1}"
            raise MismatchError(
                f"the classifier's classes {what}{'' if readings else ' or the names'} of the data's classes "
                f"({_few(names)}), got {_few(own)}; fit it to the {'names' if readings else 'labels of these data'}."
            )
        if self._tells_order and by_name != readings[0]:
            self._tells_order = False
            say(f"instar: the classes of the teacher are numbers, and are taken to be {join_names(names)} in order.")
        return readings[0], len(names)

    def describe_kind(self) -> str:
        """Return its class and that of its estimator, such as `Classifier(RandomForestClassifier)`."""
        return f"{type(self).__name__}({name_estimator(self.estimator)})"

    def fingerprint(self) -> str:
        """Return a hash of everything that predictions depend on; parameters such as `n_jobs` are left out.

        Raises:
            ConfigError: when a part of the estimator does not show its content.
        """
        content = Content()
        content.add([self.estimator, self.floor, *([self._names] if self._names else [])])
        return content.hexdigest()


def is_estimator(thing: object) -> bool:
    """Return whether a thing is a booster or has the methods of an estimator, which may come from any library."""
    return holds_trees(thing) or (hasattr(thing, "predict") and hasattr(thing, "fit"))


def _instead_of(estimator: Any) -> str:
    if getattr(estimator, "_estimator_type", "") == "regressor" or "Regress" in type(estimator).__name__:
        return "a regressor predicts no classes, so give a classifier"
    if hasattr(estimator, "probability"):  # a support vector machine
        return "fit it with probability=True, or inside CalibratedClassifierCV"
    if hasattr(estimator, "voting"):  # a VotingClassifier
        return "fit it with voting='soft'"
    return "fit it inside CalibratedClassifierCV, which gives probabilities"


def _name(one: Any) -> str:
    value = one.item() if isinstance(one, np.generic) else one
    # whole numbers may come as floats: 3.0 is the class '3'
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _number(one: Any, classes: int) -> int:
    """Return a class as a label index; -1 if it is none."""
    value = one.item() if isinstance(one, np.generic) else one
    is_index = isinstance(value, int | float) and float(value).is_integer() and 0 <= value < classes
    return int(value) if is_index else -1


def _few(names: Any) -> str:
    return ", ".join(_name(name) for name in names[:10]) + (", ..." if len(names) > 10 else "")
