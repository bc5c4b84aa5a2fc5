"""A boosted forest distilled into an MLP on a table of customers: Instar over scikit-learn's MLPClassifier.

Both train two layers of 64 units for 20 epochs with batches of 64 rows; Instar from an XGBoost teacher and the labels,
scikit-learn from the labels alone. A program starts in a new process, and ends when the student is judged on the test
rows. The rows "of it" are parts of Instar's program, over scikit-learn's whole program. In one process, both begin with
the table in memory and the teacher fitted.

| case | target |
|---|---|
| instar distill, over a program of scikit-learn | 1.3; importing the libraries that it needs takes about 1.6 alone |
| the training loop in one process, over MLPClassifier.fit | 1.3; a loop of torch by hand takes about 1.6 |
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import warnings
from functools import partial
from pathlib import Path
from typing import Any

import joblib
import torch
from sklearn.compose import make_column_transformer
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder
from xgboost import XGBClassifier

import ours
from instar.data import load_data
from instar.data.columns.cell_rows import CELLS
from instar.models import MLP
from instar.models.readers import Cells
from instar.teachers import Classifier
from measure import Topic, parser, seconds

EPOCHS, BATCH, WIDTHS = 20, 64, (64, 64)
INSTAR = str(Path(sys.executable).with_name("instar"))
LABEL = "churn"

PROGRAM = f"""
import sys, warnings
from pathlib import Path
import pandas
from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

warnings.simplefilter("ignore")
train, test = (pandas.read_parquet(next(Path(sys.argv[1]).glob(f"{{split}}*"))) for split in ("train", "test"))
words = [name for name in train if train[name].dtype.kind not in "if" and name != "{LABEL}"]
numbers = [name for name in train if train[name].dtype.kind in "if"]
encoder = make_column_transformer(
    (OneHotEncoder(handle_unknown="ignore"), words), (make_pipeline(SimpleImputer(), StandardScaler()), numbers)
)
network = MLPClassifier({WIDTHS}, batch_size={BATCH}, max_iter={EPOCHS}, tol=0, n_iter_no_change={EPOCHS}, alpha=0)
student = make_pipeline(encoder, network).fit(train, train["{LABEL}"])
print(student.score(test, test["{LABEL}"]))
"""

LIBRARIES = "import torch, datasets, sklearn.pipeline, xgboost"
IMPORTS = {
    "torch": "import torch",
    "torch, datasets, scikit-learn and XGBoost": LIBRARIES,
    "these and instar": f"{LIBRARIES}, instar.procedures.distill",
}


def run(*command: str) -> float:
    """Return the seconds of a process that must succeed; what it prints is not shown."""
    return seconds(lambda: subprocess.run(command, check=True, capture_output=True))


def fit_teacher(frame: Any, labels: Any) -> Any:
    """Return a fitted pipeline that reads the data frame."""
    words = [name for name in frame if frame[name].dtype.kind not in "if"]
    encoder = make_column_transformer((OneHotEncoder(handle_unknown="ignore"), words), remainder="passthrough")
    trees = XGBClassifier(n_estimators=100, max_depth=3, learning_rate=0.1)
    return make_pipeline(encoder, trees).fit(frame, labels)


def measure_programs(topic: Topic, data: str, folder: Path) -> None:
    """Measure both programs, and the parts that every program with torch and this teacher has."""
    given = ["--teacher", str(folder / "teacher.joblib"), "--teacher-classes", "[No, Yes]", "--trust"]
    settings = ["--set", f"data.label_column={LABEL}", "--set", f"training.batch_size={BATCH}", "--epochs", str(EPOCHS)]

    def distil() -> float:
        with tempfile.TemporaryDirectory() as out:
            student = ["--model", "mlp", "--arg", f"widths={list(WIDTHS)}", "--out", f"{out}/student"]
            return run(INSTAR, "distill", data, *given, *settings, *student)

    cases = {"instar distill, over a program of scikit-learn": distil}
    for name, code in IMPORTS.items():
        cases[f"of it, importing {name}"] = partial(run, sys.executable, "-c", code)
    topic.compare_all(cases, lambda: run(sys.executable, "-c", PROGRAM, data), turns=1)


def measure_loops(topic: Topic, data: Any, teacher: Any) -> None:
    """Measure the loops of both in one process, and one of torch by hand."""
    source = data.train.source
    reader = Cells().fitted(data.train)
    features = reader(source.columns[CELLS])
    taught = Classifier(teacher, classes=data.classes)
    choices: dict[str, Any] = {"input_shape": (features.shape[1],), "num_classes": 2}
    training: dict[str, Any] = {"epochs": EPOCHS, "batch_size": BATCH, "optimiser": "adamw", "learning_rate": 0.001}

    def mine() -> float:
        return ours.epoch(MLP(WIDTHS, **choices), data.train, teacher=taught, in_memory=True, reader=reader, **training)

    def hand() -> float:
        student, labels = MLP(WIDTHS, **choices), source.labels
        optimiser = torch.optim.AdamW(student.parameters(), lr=0.001)

        def train() -> None:
            for _ in range(EPOCHS):
                for rows in torch.randperm(len(features)).split(BATCH):
                    optimiser.zero_grad()
                    torch.nn.functional.cross_entropy(student(features[rows]), labels[rows]).backward()
                    optimiser.step()

        return seconds(train)

    def reference() -> float:
        network = MLPClassifier(WIDTHS, batch_size=BATCH, max_iter=EPOCHS, tol=0, n_iter_no_change=EPOCHS, alpha=0)
        inputs, labels = features.numpy(), source.labels.numpy()
        return seconds(lambda: network.fit(inputs, labels))

    cases = {
        "the training loop in one process, over MLPClassifier.fit": mine,
        "a loop of torch by hand from labels alone, over MLPClassifier.fit": hand,
    }
    topic.compare_all(cases, reference)


def main() -> None:
    """Measure programs and loops."""
    topic = Topic("tables", parser(__doc__, "../shared/data/churn").parse_args())
    warnings.simplefilter("ignore", ConvergenceWarning)  # 20 epochs are what is asked for
    folder = topic.arguments.data
    data = load_data(folder, label_column=LABEL)
    frame = data.train.source.columns[CELLS].as_frame()
    teacher = fit_teacher(frame, data.train.source.labels.numpy())
    with tempfile.TemporaryDirectory() as made:
        joblib.dump(teacher, Path(made) / "teacher.joblib")
        measure_programs(topic, folder, Path(made))
    measure_loops(topic, data, teacher)
    topic.write()


if __name__ == "__main__":
    main()
