"""Estimators of scikit-learn: distillation and born-again trees with `fit` and `predict`."""

from instar.sklearn.born_again import BornAgainClassifier
from instar.sklearn.classifier import DistilledClassifier
from instar.sklearn.regressor import DistilledRegressor

__all__ = ["BornAgainClassifier", "DistilledClassifier", "DistilledRegressor"]
