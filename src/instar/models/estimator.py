"""A fitted estimator of another library as a model: its trees, its coefficients, or its file of skops, as bytes."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from instar.errors import ConfigError, InstarError, MismatchError
from instar.models.fitted import Fitted
from instar.models.fitted_content import Content, pack, unpack
from instar.models.imported_estimator import import_estimator
from instar.models.outputs import is_tracing
from instar.trees.arrays import TreeArrays
from instar.trees.files import ARRAY_NAMES, SETTING_NAMES

FLOOR = 1e-6
"""Smallest probability of a class, as that of a classifier that teaches."""

Floats = NDArray[np.float64]


class Estimator(Fitted):
    """z = T log max(p, 1e-6) with the probabilities p of a classifier, or the numbers that a regressor predicts.

    `instar.students.estimator` says how soft targets go into it. The model keeps what a prediction needs, and never a
    pickle: the arrays of its trees, the coefficients of a linear one, or a file of skops of any other.

    Args:
        name: class of the estimator, such as `sklearn.ensemble.HistGradientBoostingClassifier`, or
            `package.module:Name`, which needs `trust`.
        trust: allow the import of a class outside scikit-learn, XGBoost and LightGBM, and files of skops that hold
            types which skops does not know to be safe.
        input_shape: shape of one input, which is flattened.
        num_classes: number of logits.
        parameters: parameters of the estimator.

    Raises:
        ConfigError: when the class is unknown, is no estimator, is not trusted, or has no such parameter.

    >>> Estimator("sklearn.linear_model.Ridge", alpha=2.0).arguments
    {'name': 'sklearn.linear_model.Ridge', 'alpha': 2.0}
    """

    content: Tensor
    takes_trust: ClassVar[bool] = True

    def __init__(
        self,
        name: str,
        *,
        trust: bool = False,
        input_shape: tuple[int, ...] | None = None,
        num_classes: int | None = None,
        **parameters: Any,
    ) -> None:
        if not isinstance(name, str):
            raise ConfigError(f"Estimator(name) must be the name of a class, got {name!r}.")
        self.name, self.trust, self.parameters_of_estimator = name, trust, parameters
        super().__init__({"name": name, **parameters}, input_shape, num_classes)

    def build(self, input_shape: tuple[int, ...], num_classes: int) -> None:
        """Find the class, and predict zeros."""
        self.columns, self.num_classes = prod(input_shape), num_classes
        self.make(0)
        self._predict: Callable[[NDArray[np.float32]], Floats] | None = None
        self.facts: dict[str, Any] = {}
        self.register_buffer("content", torch.zeros(0, dtype=torch.uint8))

    def make(self, seed: int) -> Any:
        """Return a new estimator, its `random_state` given by a seed unless it is a parameter.

        Raises:
            ConfigError: see the class.
        """
        return import_estimator(self.name, self.parameters_of_estimator, seed, trust=self.trust)

    def take(self, content: Content) -> None:
        """Become what was fitted."""
        self.fill({"content": torch.from_numpy(pack(content))})

    def check(self) -> None:
        """Read the bytes, and refuse what is no fitted estimator.

        Raises:
            MismatchError: when they are damaged, or predict other columns or classes.
            ConfigError: when a file of skops holds types that are not trusted.
        """
        kind, arrays, facts = unpack(self.content.cpu().numpy())
        try:
            self._predict = _READERS[kind](arrays, facts, self)
        except InstarError:
            raise
        except (KeyError, TypeError, ValueError) as error:
            raise MismatchError(f"the content of the estimator is damaged: {error}.") from None
        self.facts = {"kept_as": kind, "soft_targets": facts.get("soft_targets", "")}
        self.temperature, self.places = float(facts["temperature"]), list(map(int, facts["places"]))
        if facts["columns"] != self.columns or not all(0 <= place < self.num_classes for place in self.places):
            raise MismatchError(
                f"the estimator was fitted to {facts['columns']} columns, and the model has {self.columns} columns and "
                f"{self.num_classes} classes."
            )
        self.is_probability = bool(facts["is_probability"])
        self.count = int(sum(array.size for array in arrays.values()))

    @torch.no_grad()
    def forward(self, inputs: Tensor) -> Tensor:
        """Return logits `[batch, classes]`, float32, of inputs `[batch, ...]`; NaN where an input is missing.

        Raises:
            MismatchError: when the model is traced, because its prediction is no graph of PyTorch.
        """
        if is_tracing():  # the graph would hold the predictions of one batch
            raise MismatchError("it predicts outside of PyTorch; export it as safetensors")
        self._require_layers()
        rows = inputs.detach().flatten(1).float().cpu()
        if self._predict is None:
            return inputs.new_zeros((len(rows), self.num_classes), dtype=torch.float32)
        is_missing = rows.isnan().any(1, keepdim=True)
        found = torch.full((len(rows), self.num_classes), FLOOR if self.is_probability else 0.0, dtype=torch.float64)
        if len(rows):
            found[:, self.places] = torch.from_numpy(self._predict(rows.nan_to_num(0).numpy()))
        logits = self.temperature * (found.clamp(min=FLOOR).log() if self.is_probability else found)
        return logits.masked_fill(is_missing, torch.nan).float().to(inputs.device)

    def sizes(self) -> dict[str, Any]:
        """Return the numbers of all arrays, or the bytes of a file of skops, and how it was fitted and is kept."""
        return {"parameters": self.count if self._predict else 0, **self.facts}


def _read_trees(arrays: dict[str, NDArray[Any]], facts: dict[str, Any], model: Estimator) -> Any:
    given: dict[str, Any] = {name: arrays[name] for name in ARRAY_NAMES}
    trees = TreeArrays(**given, **{name: facts["trees"][name] for name in SETTING_NAMES})
    if (trees.columns, trees.outputs) != (model.columns, len(facts["places"])):
        raise MismatchError(f"the trees have {trees.columns} columns and {trees.outputs} outputs, which do not fit.")
    return trees.predict


def _read_linear(arrays: dict[str, NDArray[Any]], facts: dict[str, Any], model: Estimator) -> Any:
    weights, biases = (np.asarray(arrays[name], np.float64) for name in ("weights", "biases"))
    outputs = len(facts["places"])
    if weights.shape != (outputs, model.columns) or biases.shape != (outputs,):
        raise MismatchError(f"the weights have the shape {list(weights.shape)}, which does not fit.")
    if not (np.isfinite(weights).all() and np.isfinite(biases).all()):
        raise MismatchError("the weights must be finite numbers.")
    return lambda rows: rows @ weights.T + biases


def _read_skops(arrays: dict[str, NDArray[Any]], facts: dict[str, Any], model: Estimator) -> Any:
    try:
        import skops.io
    except ImportError:
        raise ConfigError(f"the model {model.name} is kept by skops: pip install 'instar[skops]'.") from None
    data = arrays["file"].tobytes()
    unknown = skops.io.get_untrusted_types(data=data)
    if unknown and not model.trust:
        raise ConfigError(
            f"the model {model.name} holds types that skops does not know to be safe: {', '.join(unknown)}; if you "
            "trust its origin, allow them with --trust (trust=True)."
        )
    estimator = skops.io.loads(data, trusted=unknown)
    predict = estimator.predict_proba if facts["is_probability"] else estimator.predict
    return lambda rows: np.asarray(predict(rows), np.float64).reshape(len(rows), -1)


_READERS: dict[str, Callable[[dict[str, NDArray[Any]], dict[str, Any], Estimator], Any]] = {
    "trees": _read_trees,
    "linear": _read_linear,
    "skops": _read_skops,
}
