"""A library of classifiers and the ensemble that is selected from it, after Caruana et al. 2004."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from io import BytesIO
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from instar.data.dataset import Data
from instar.data.samples import Samples
from instar.teachers.classifier import Classifier
from instar.teachers.ensemble import Ensemble

SELECTION_ROUNDS = 20
"""Members of an ensemble, of which several may be the same model."""


def make_models(size: int) -> dict[str, Any]:
    """Return `size` classifiers of scikit-learn of as many families and settings, not fitted.

    >>> list(make_models(4))
    ['forest 1', 'boosting 0.1', 'logistic 1', 'neighbours 15']
    """
    from sklearn.ensemble import ExtraTreesClassifier, HistGradientBoostingClassifier, RandomForestClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.neural_network import MLPClassifier

    found: dict[str, Any] = {}
    for leaf, rate, strength, near, unit in zip(
        (1, 5, 15), (0.1, 0.03, 0.3), (1, 0.1, 0.01), (15, 5, 45), (16, 64, 8), strict=True
    ):
        found |= {
            f"forest {leaf}": RandomForestClassifier(200, min_samples_leaf=leaf, random_state=0),
            f"boosting {rate}": HistGradientBoostingClassifier(learning_rate=rate, random_state=0),
            f"logistic {strength}": LogisticRegression(C=strength, max_iter=500),
            f"neighbours {near}": KNeighborsClassifier(near),
            f"random trees {leaf}": ExtraTreesClassifier(200, min_samples_leaf=leaf, random_state=0),
            f"network {unit}": MLPClassifier((unit,), early_stopping=True, random_state=0),
        }
    return dict(list(found.items())[:size])


def select_members(predicted: Tensor, labels: Tensor, rounds: int = SELECTION_ROUNDS) -> Tensor:
    """Return how often each model is in the ensemble, int64 `[models]`.

    In each round, the model is added that makes the squared error of the mean probabilities smallest; a model may be
    added again.

    Args:
        predicted: probabilities `[models, rows, classes]` of rows that no model was fitted to.
        labels: int64 `[rows]`.
        rounds: number of members.

    >>> one, other = torch.tensor([[0.9, 0.1], [0.9, 0.1]]), torch.tensor([[0.2, 0.8], [0.2, 0.8]])
    >>> select_members(torch.stack([one, other]), torch.tensor([0, 1]), rounds=2).tolist()
    [1, 1]
    """
    truth = functional.one_hot(labels, predicted.shape[-1]).to(predicted)
    counts, total = torch.zeros(len(predicted), dtype=torch.int64), torch.zeros_like(predicted[0])
    for members in range(1, rounds + 1):
        losses = ((total + predicted) / members - truth).square().mean((1, 2))
        best = int(losses.argmin())
        counts[best] += 1
        total = total + predicted[best]
    return counts


@dataclass(frozen=True, eq=False)
class Library:
    """Fitted models, and those of them that form the ensemble.

    Args:
        models: pipelines that read rows as they were given, by name.
        counts: how often each is in the ensemble, int64 `[models]`.
        best: name of the model with the least squared error on the validation rows.
    """

    models: Mapping[str, Any]
    counts: Tensor
    best: str

    @classmethod
    def fit(cls, data: Data, size: int) -> Library:
        """Fit all models to the training rows, and select by the validation rows."""
        validation = data.split("validation")
        models = {name: _as_pipeline(model, data) for name, model in make_models(size).items()}
        for model in models.values():
            model.fit(read_rows(data.train), data.train.labels.numpy())
        predicted = torch.stack([_predict(model, validation) for model in models.values()])
        truth = functional.one_hot(validation.labels, predicted.shape[-1])
        best = int((predicted - truth).square().mean((1, 2)).argmin())
        return cls(models, select_members(predicted, validation.labels), list(models)[best])

    @cached_property
    def members(self) -> dict[str, Any]:
        """The models of the ensemble."""
        return {name: model for (name, model), count in zip(self.models.items(), self.counts, strict=True) if count}

    def as_teacher(self, classes: tuple[str, ...]) -> Ensemble:
        """Return the ensemble as a teacher."""
        members = [Classifier(model, classes=classes) for model in self.members.values()]
        return Ensemble(members, "arithmetic", [float(count) for count in self.counts if count])

    def predict(self, samples: Samples) -> tuple[Tensor, Tensor]:
        """Return the probabilities of the best model and of the ensemble, each `[n, classes]`."""
        found = {name: _predict(model, samples) for name, model in self.members.items()}
        weights = (self.counts[self.counts > 0] / self.counts.sum()).double()
        mean = torch.einsum("m,mnc->nc", weights, torch.stack(list(found.values())))
        alone = found[self.best] if self.best in found else _predict(self.models[self.best], samples)
        return alone, mean

    def count_bytes(self) -> int:
        """Return the bytes of the ensemble in a file."""
        import joblib

        content = BytesIO()
        joblib.dump(self.members, content)
        return content.tell()


def read_rows(samples: Samples) -> Any:
    """Return samples as a pipeline reads them: a data frame, or an array of numbers."""
    table = samples.source.table
    return samples.inputs().flatten(1).numpy() if table is None else table.as_frame(samples.ids)


def _predict(model: Any, samples: Samples) -> Tensor:
    return torch.from_numpy(model.predict_proba(read_rows(samples))).double()


def _as_pipeline(model: Any, data: Data) -> Any:
    from sklearn.compose import make_column_transformer
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    table = data.train.source.table
    if table is None:
        return make_pipeline(StandardScaler(), model)
    words = [column.name for column in table.schema if column.kind == "word"]
    others = [name for name in table.schema.names if name not in words]
    numbers = make_pipeline(SimpleImputer(), StandardScaler())
    encoder = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore", sparse_output=False), words), (numbers, others)
    )
    return make_pipeline(encoder, model)
