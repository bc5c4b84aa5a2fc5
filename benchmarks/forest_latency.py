"""From a forest of 500 trees to an MLP on `churn`: seconds of a call before and after, and what is lost.

The forest is scikit-learn's, behind a pipeline that encodes words and fills in missing values. Both are asked by
`predict_proba` for rows of a data frame, as a server would ask.

| case | target |
|---|---|
| `predict_proba` of 1 row and of 10,000 rows, `DistilledClassifier` over the pipeline | below 1 |
| errors on the test rows | none |
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas
from sklearn.compose import make_column_transformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from instar.sklearn import DistilledClassifier
from measure import Measured, Topic, parser, seconds

LABEL, TREES, BATCHES = "churn", 500, (1, 10_000)


def main() -> None:
    """Measure all cases."""
    topic = Topic("forest_latency", parser(__doc__, data="../shared/data/churn").parse_args())
    folder = Path(topic.arguments.data)
    train, test = (pandas.read_parquet(next(folder.glob(f"{split}-*"))) for split in ("train", "test"))
    rows, labels = train.drop(columns=LABEL), train[LABEL]
    is_number = rows.dtypes.map(pandas.api.types.is_numeric_dtype)
    encoder = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore", sparse_output=False), list(rows.columns[~is_number])),
        (SimpleImputer(), list(rows.columns[is_number])),
    )
    forest = make_pipeline(encoder, RandomForestClassifier(TREES, random_state=0)).fit(rows, labels)
    student = DistilledClassifier(
        forest, student="mlp", student_arguments={"widths": [64, 64]}, settings={"epochs": 20}, random_state=0
    ).fit(rows, labels)
    asked, wanted = test.drop(columns=LABEL), test[LABEL]
    for name, model in (("the forest", forest), ("the MLP", student)):
        error = 100 * (1 - model.score(asked, wanted))
        topic.add(Measured(f"test error of {name}", error, "%", None, None, 1, None))
    for size in BATCHES:
        batch = asked.iloc[np.arange(size) % len(asked)]
        topic.compare(
            f"predict_proba of a batch of {size:,} by an MLP over {TREES} trees",
            lambda batch=batch: seconds(lambda: student.predict_proba(batch)),  # type: ignore[misc]  # mypy infers no lambda with a default
            lambda batch=batch: seconds(lambda: forest.predict_proba(batch)),  # type: ignore[misc]  # mypy infers no lambda with a default
        )
    topic.write()


if __name__ == "__main__":
    main()
