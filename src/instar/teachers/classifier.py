"""A fitted scikit-learn classifier as a teacher: a forest, boosted trees, a pipeline."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from instar.data import Batch
from instar.errors import ConfigError, MismatchError
from instar.targets import DenseTargets
from instar.teachers.teacher import Teacher


class Classifier(Teacher):
    """v = log(max(p, floor)), with p = `predict_proba` of the flattened inputs as the source holds them.

    Args:
        estimator: fitted, with `predict_proba` and `classes_`; its classes must be integers 0..n-1, our label indices.
        floor: the smallest probability, because a forest says 0 where it means "rarer than one tree in a hundred".

    Raises:
        ConfigError: when the estimator is not fitted or has no probabilities, or floor is not in (0, 1).

    >>> from sklearn.tree import DecisionTreeClassifier
    >>> from instar.data import Loader, load_data
    >>> train = load_data("digits").train
    >>> tree = DecisionTreeClassifier(random_state=0).fit(train.inputs().flatten(1).numpy(), train.labels.numpy())
    >>> batch = Loader(train, 4, seed=0).batch(0)
    >>> bool((Classifier(tree).targets(batch).logits().argmax(1) == batch.labels).all())
    True
    """

    def __init__(self, estimator: Any, floor: float = 1e-6) -> None:
        if not hasattr(estimator, "predict_proba"):
            raise ConfigError(f"a classifier needs predict_proba to teach, and {type(estimator).__name__} has none.")
        if not hasattr(estimator, "classes_"):
            raise ConfigError(f"the classifier {type(estimator).__name__} is not fitted; call its fit first.")
        if not 0 < floor < 1:
            raise ConfigError(f"Classifier(floor) must be above 0 and below 1, got {floor}.")
        self.estimator, self.floor = estimator, floor

    def targets(self, batch: Batch) -> DenseTargets:
        """Return the logarithms of its probabilities.

        Raises:
            MismatchError: when its classes are not the integers 0..n-1.
        """
        classes = list(self.estimator.classes_)
        if classes != list(range(len(classes))):
            raise MismatchError(
                f"the classifier's classes must be the label indices 0..{len(classes) - 1}, got {classes}."
            )
        probabilities = np.asarray(self.estimator.predict_proba(batch.inputs.flatten(1).cpu().numpy()))
        values = torch.as_tensor(probabilities, dtype=torch.float32, device=batch.inputs.device)
        return DenseTargets(values.clamp(min=self.floor).log())

    def fingerprint(self) -> str:
        """Return a hash of the fitted estimator."""
        import joblib

        found: str = joblib.hash((self.estimator, self.floor))
        return found
