"""scikit-learn: decision trees as a fitted estimator in a file of skops, which runs nothing when it is read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from instar.compute.inputs import Inputs
from instar.errors import ConfigError
from instar.exporting.decisions import decide
from instar.exporting.student import Predict, Student
from instar.models.readers.cells import Cells
from instar.runs.files import write_whole
from instar.trees.as_estimators import to_scikit_learn

TRUSTED_TYPES = ["sklearn.tree._tree.Tree"]
"""Types that a reader of the file must trust: skops does not check the indices of the nodes of trees."""


def write_skops(student: Student, path: Path) -> Predict:
    """Write the estimator of `to_scikit_learn`, and return a function that predicts with the file.

    It reads what the network reads: pixels divided by 255, and the features of `Cells` of the rows of a table.

    Raises:
        ConfigError: if skops is missing.
        MismatchError: if the student is no decision tree.
    """
    try:
        import skops.io
    except ImportError:
        raise ConfigError("scikit-learn files need the extra: pip install 'instar[skops]'.") from None
    trees = decide(student, "scikit-learn").questions.trees
    trees.classes = tuple(student.classes) if trees.meaning != "numbers" else ()
    if isinstance(student.model.reader, Cells):
        trees.feature_names = student.model.reader.features
    content = skops.io.dumps(to_scikit_learn(trees))
    write_whole(path, lambda temporary: temporary.write_bytes(content))
    estimator: Any = skops.io.load(path, trusted=TRUSTED_TYPES)

    def predict(inputs: Inputs) -> Tensor:
        prepared = student.model.prepare(inputs)
        assert isinstance(prepared, Tensor), "a tree reads one tensor"
        rows: Any = prepared.flatten(1).numpy()
        if trees.feature_names:
            import pandas

            rows = pandas.DataFrame(rows, columns=list(trees.feature_names))
        if not hasattr(estimator, "predict_proba"):
            return torch.as_tensor(estimator.predict(rows)).reshape(len(rows), -1).float()
        found = torch.as_tensor(estimator.predict_proba(rows)).log()
        # probabilities do not tell the sum of the logits, which changes none of them
        logits: Tensor = student.model(inputs)
        return (found + logits.double().logsumexp(1, keepdim=True)).float()

    return predict
