"""Entities: each word has a label that says whether it begins or continues a name, or is outside of all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from instar.analysis.entities import find_entities
from instar.analysis.scores import UNLABELLED, Scores
from instar.tasks.metric import Metric
from instar.tasks.metrics import metrics_of_classes
from instar.tasks.task import Task

_ANSWERS, _LABELS, _SIZES, _COUNTS = "answers_of_words", "labels_of_words", "sizes", "counts_of_entities"


def _f1(_: Scores, observed: Mapping[str, Tensor]) -> float:
    right, predicted, true = observed[_COUNTS].tolist()
    return 2 * right / (predicted + true) if predicted + true else 0.0


ENTITY_F1 = Metric(
    "entity_f1",
    "share",
    "higher",
    measure=_f1,
    label="entities",
    title="Entity F1",
    meaning=(
        "Share of entities that are predicted with all of their words and their kind: F1, the harmonic mean of "
        "precision and recall over all entities; higher is better."
    ),
)


@dataclass(frozen=True)
class Entities(Task):
    """Each word has a label: O, or B- or I- with the kind of its entity."""

    metrics: ClassVar[tuple[Metric, ...]] = metrics_of_classes(ENTITY_F1)

    def observe(self, logits: Tensor, labels: Tensor, lengths: Tensor) -> dict[str, Tensor]:
        """Return predicted class and label of each labelled word, and how many words each sample has."""
        at = torch.arange(labels.shape[1], device=labels.device)
        valid = (at < lengths.to(labels.device)[:, None]) & (labels != UNLABELLED)
        return {_ANSWERS: logits.argmax(-1)[valid], _LABELS: labels[valid], _SIZES: valid.sum(1)}

    def measure(self, scores: Scores, classes: tuple[str, ...], observed: Mapping[str, Tensor]) -> dict[str, Any]:
        """Return the metrics of a model; entities are found in the words of whole samples."""
        answers, labels = (find_entities(observed[name], observed[_SIZES], classes) for name in (_ANSWERS, _LABELS))
        counts = torch.tensor([len(answers & labels), len(answers), len(labels)])
        return super().measure(scores, classes, {**observed, _COUNTS: counts})
