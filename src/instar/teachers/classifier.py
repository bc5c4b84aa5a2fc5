"""A fitted classifier as a teacher: of scikit-learn, such as a forest or a pipeline, of XGBoost or of LightGBM."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from instar.content import Content
from instar.data.batch import Batch, given_inputs
from instar.data.columns.cell_rows import CellRows
from instar.data.opening import join_names
from instar.errors import ConfigError, MismatchError, nearest, say
from instar.targets.targets import DenseTargets
from instar.teachers.boosters import as_classifier, find_margins, is_booster, known_names
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
        estimator: fitted estimator with `predict_proba` and `classes_`, or a `Booster` of XGBoost or LightGBM.
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
        source = batch.origin.samples.source if batch.origin else None
        names = source.input_names if source else ()
        table = source.table if source else None
        if names and table is None:
            raise MismatchError(
                f"the classifier {type(self.estimator).__name__} reads one array, and the data have several inputs: "
                f"{', '.join(names)}; give it one of them as the inputs, or a network that takes them by name."
            )
        inputs = self._read_array(batch) if table is None else self._read_frame(table, batch)
        width = getattr(self.estimator, "n_features_in_", inputs.shape[1])
        if width != inputs.shape[1]:
            raise MismatchError(
                f"the classifier {type(self.estimator).__name__} was fitted to {width} features, and the data have "
                f"{inputs.shape[1]}; give the inputs that it was fitted to."
            )
        columns, classes = self._match_classes(batch)
        found = torch.as_tensor(self._predict(inputs), dtype=torch.float32, device=batch.inputs.device)
        if found.shape != (len(batch), len(columns)):
            raise MismatchError(
                f"the classifier's predict_proba must return [{len(batch)}, {len(columns)}], got {list(found.shape)}."
            )
        self._refuse_scores(found)
        return DenseTargets(self._place(found, columns, classes))

    def _refuse_scores(self, found: Tensor) -> None:
        # libraries return raw scores in place of the probabilities of an objective of the user's, and only warn
        if self._margins is None and ((found < 0) | (found > 1 + MAX_ROUNDING)).any():
            raise MismatchError(
                f"the classifier {type(self.estimator).__name__} must predict probabilities from 0 to 1, got "
                f"{float(found.min()):.3g} to {float(found.max()):.3g}; give probabilities in a file (label --from)."
            )

    def _read_array(self, batch: Batch) -> NDArray[Any]:
        given = given_inputs(batch)
        # the source has moved channels first for networks; the estimator was fitted to the arrays of the user
        if batch.origin and batch.origin.samples.source.settings.get("layout") == "HWC":
            given = given.movedim(1, -1)
        return self._select_features(given.flatten(1).cpu().numpy(), batch)

    def _read_frame(self, table: CellRows, batch: Batch) -> Any:
        frame = table.as_frame(torch.tensor(batch.host_ids))
        wanted = getattr(self.estimator, "feature_names_in_", None)
        if wanted is None:  # fitted to an array, in the order of its columns
            return frame.to_numpy()
        found = known_names(self.estimator, list(map(str, frame.columns)))
        if missing := [name for name in map(str, wanted) if name not in found]:
            raise MismatchError(
                f"the classifier {type(self.estimator).__name__} was fitted to a table with the column "
                f"'{missing[0]}', and the data have none, or leave it out; {nearest(missing[0], found)}"
            )
        return frame.iloc[:, [found.index(str(name)) for name in wanted]].set_axis(list(wanted), axis=1)

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

    def _select_features(self, inputs: NDArray[Any], batch: Batch) -> NDArray[Any]:
        wanted = [str(name) for name in getattr(self.estimator, "feature_names_in_", ())]
        found = known_names(self.estimator, batch.origin.samples.source.feature_names if batch.origin else ())
        if not wanted or not found:  # arrays have no names, so their order is all that there is
            return inputs
        if missing := [name for name in wanted if name not in found]:
            raise MismatchError(
                f"the classifier {type(self.estimator).__name__} was fitted to a table with the column "
                f"'{missing[0]}', and the data have none; {nearest(missing[0], found)}"
            )
        return inputs[:, np.array([found.index(name) for name in wanted])]

    def _predict(self, inputs: NDArray[Any]) -> NDArray[Any]:
        names = getattr(self.estimator, "feature_names_in_", None)
        given: Any = inputs
        # fitted to a table: scikit-learn warns about inputs without names at every batch
        if names is not None and isinstance(inputs, np.ndarray):
            import pandas

            given = pandas.DataFrame(inputs, columns=list(names))
        try:
            return np.asarray((self._margins or self.estimator.predict_proba)(given))
        except (ValueError, TypeError, AttributeError) as error:
            reason = " ".join(str(error).split())
            raise MismatchError(f"the classifier {type(self.estimator).__name__} cannot predict: {reason}.") from None

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
    return is_booster(thing) or (hasattr(thing, "predict") and hasattr(thing, "fit"))


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
