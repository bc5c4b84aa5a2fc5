"""`instar predict`: classes and probabilities of new inputs, read as the run read its own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from instar.analysis.scores import UNLABELLED
from instar.checks import Count, checked
from instar.data.batch import Batch
from instar.data.loader import Loader
from instar.data.samples import Samples
from instar.errors import ConfigError, MismatchError, one_line
from instar.models.trained import attach_network
from instar.procedures.predicted_numbers import PredictedNumber, predict_numbers
from instar.runs.outputs import predicts_numbers
from instar.runs.run import Run
from instar.stages.new_file_rows import open_rows
from instar.stages.new_inputs import InputReading, as_items
from instar.stages.new_named_inputs import find_columns, read_named_inputs
from instar.stages.new_recordings import read_recordings
from instar.stages.new_rows import read_new_rows, takes_rows
from instar.stages.new_text_files import open_texts
from instar.stages.new_texts import read_new_texts, takes_texts
from instar.stages.new_words import name_words, read_new_words, takes_words
from instar.stages.run_data import recorded_rate, run_classes
from instar.tasks.classification import Classification
from instar.tasks.task import Task
from instar.tasks.words import Words
from instar.teachers.conversion import as_teacher
from instar.teachers.teacher import Teacher
from instar.training.scoring import BATCH_SIZE

MAX_READ_RECORDINGS = 256
"""Recordings that are decoded at a time, so that any number of files fits into memory."""


@dataclass(frozen=True)
class Prediction:
    """The predicted class of one input.

    Args:
        name: file; for other inputs, their number, counted from 0; for words, the number of their text, and the word.
        label: name of the likeliest class.
        probability: probability of this class, 0 to 1.
        top: likeliest classes with their probabilities, in order; the first is `label`.
    """

    name: str
    label: str
    probability: float
    top: tuple[tuple[str, float], ...]

    def as_dict(self) -> dict[str, Any]:
        """Return the values for JSON."""
        return asdict(self) | {"top": [{"label": label, "probability": p} for label, p in self.top]}

    def __str__(self) -> str:
        return "  ".join([one_line(self.name), *(f"{one_line(label)} {p:.4f}" for label, p in self.top)])


@checked
def predict(
    run: Run | str | Path,
    inputs: Any,
    *,
    top: Count = 1,
    trust: bool = False,
    network: nn.Module | str | None = None,
) -> list[Prediction | PredictedNumber]:
    """Return the predicted class of each input, and its probability; of texts whose words have classes, of each word.

    Of a run whose labels are numbers, it is the predicted number, with the spread of the members of an ensemble.

    Args:
        run: complete run or its folder; an ensemble is one too.
        inputs: image files or images of Pillow, one or several, which are decoded and resized as the run did its own;
            files of recordings, which are resampled to its rate, and whose word is predicted if it recognises words; an
            array of raw inputs `[samples, ...]` as the run was trained on; such arrays by name; texts, one or several,
            or pairs of texts; lists of words, for a run that predicts the class of each; a data frame, or one file of
            rows, with the columns that the run was trained on; or a `.txt` file with a text in each line.
        top: number of classes per input, likeliest first.
        trust: allow a model class outside `instar.models`.
        network: network of a run that was given as a Python object.

    Raises:
        DataError: when files cannot be decoded; names them.
        MismatchError: when the model takes other inputs, or predicts a class at each position of a sample.
        RunError: when the run is not complete, or is damaged.

    >>> import tempfile
    >>> from instar.models import MLP
    >>> from instar.procedures.train import train
    >>> run = train("digits", MLP([8]), out=tempfile.mkdtemp() + "/run", epochs=1)
    >>> [found] = predict(run, np.zeros((1, 1, 8, 8), dtype=np.float32), top=2)
    >>> found.name, len(found.top), found.top[0] == (found.label, found.probability)
    ('0', 2, True)
    """
    run = run if isinstance(run, Run) else Run(run)
    inputs = _open(run, inputs, trust=trust)  # once, for its names too
    if predicts_numbers(run):
        return _list_numbers(run, inputs, top, trust=trust, network=network)
    classes = _task_of(run, inputs).class_names(run_classes(run))
    probabilities = _find_probabilities(run, inputs, trust=trust, network=network)
    names = _name_inputs(run, inputs)
    found: list[Prediction | PredictedNumber] = []
    for number, row in enumerate(probabilities):
        # stable, so that equal probabilities keep the order of the classes
        order = row.argsort(descending=True, stable=True)[:top].tolist()
        likeliest = tuple((classes[index], row[index].item()) for index in order)
        found.append(Prediction(_name_input(names, number), *likeliest[0], likeliest))
    return found


def _list_numbers(
    run: Run, inputs: Any, top: int, *, trust: bool, network: nn.Module | str | None
) -> list[Prediction | PredictedNumber]:
    if top > 1:
        raise ConfigError(f"top chooses among classes, and '{run.path}' predicts numbers; leave it out.")
    teacher = as_teacher(attach_network(run, network, trust=trust), trust=trust)
    numbers, spreads = predict_numbers(teacher, _make_batches(run, inputs, trust=trust))
    names, each = _name_inputs(run, inputs), None if spreads is None else spreads.tolist()
    return [
        PredictedNumber(_name_input(names, place), number, None if each is None else each[place])
        for place, number in enumerate(numbers.tolist())
    ]


def _name_input(names: list[Any], number: int) -> str:
    is_file = bool(names) and isinstance(names[number], str | Path)
    return str(names[number] if is_file else number)


def _name_inputs(run: Run, inputs: Any) -> list[Any]:
    if takes_rows(run):  # a file of rows has many inputs
        return []
    return name_words(read_new_words(run, inputs)) if takes_words(run) else as_items(inputs) or []


@checked
def predict_proba(
    run: Run | str | Path, inputs: Any, *, trust: bool = False, network: nn.Module | str | None = None
) -> NDArray[np.float32]:
    """Return the probability of each class, float32 `[samples, classes]`, in the order of `Run.classes`.

    Of texts whose words have classes, it is `[words of all texts, classes]`.

    The arguments and errors are those of `predict`.

    >>> import tempfile
    >>> from instar.models import MLP
    >>> from instar.procedures.train import train
    >>> run = train("digits", MLP([8]), out=tempfile.mkdtemp() + "/run", epochs=1)
    >>> predict_proba(run, np.zeros((3, 1, 8, 8), dtype=np.float32)).shape
    (3, 10)
    """
    run = run if isinstance(run, Run) else Run(run)
    if predicts_numbers(run):
        raise MismatchError(f"'{run.path}' predicts numbers, which have no probabilities; call predict.")
    return _find_probabilities(run, _open(run, inputs, trust=trust), trust=trust, network=network).numpy()


def _open(run: Run, inputs: Any, *, trust: bool) -> Any:
    if isinstance(inputs, list | tuple) and not inputs:
        raise ConfigError("inputs must have at least one file, image or sample, got none.")
    return open_texts(run, open_rows(run, inputs, trust=trust))


def _find_probabilities(run: Run, inputs: Any, *, trust: bool, network: nn.Module | str | None) -> Tensor:
    teacher = as_teacher(attach_network(run, network, trust=trust), trust=trust)
    return torch.cat(list(_probabilities(teacher, _make_batches(run, inputs, trust=trust), run)))


def _task_of(run: Run, inputs: Any) -> Task:
    states = run.config["data"].get("states")
    return Words(states) if states and _are_recordings(run, inputs) else Classification()


def _are_recordings(run: Run, inputs: Any) -> bool:
    return recorded_rate(run) is not None and as_items(inputs) is not None


def _make_batches(run: Run, given: Any, *, trust: bool) -> Iterator[Batch]:
    if takes_rows(run):
        yield from Loader(Samples.all_of(read_new_rows(run, given)), BATCH_SIZE, seed=0).in_order()
        return
    if _are_recordings(run, given):
        items = as_items(given) or []
        for start in range(0, len(items), MAX_READ_RECORDINGS):
            some = Samples.all_of(read_recordings(run, items[start : start + MAX_READ_RECORDINGS]))
            yield from Loader(some, BATCH_SIZE, seed=0).in_order()
        return
    if takes_words(run):
        yield from Loader(Samples.all_of(read_new_words(run, given)), BATCH_SIZE, seed=0).in_order()
        return
    if takes_texts(run):
        yield from Loader(Samples.all_of(read_new_texts(run, given)), BATCH_SIZE, seed=0).in_order()
        return
    if find_columns(run, trust=trust):
        inputs = Samples.all_of(read_named_inputs(run, given, trust=trust))
        yield from Loader(inputs, BATCH_SIZE, seed=0).in_order()
        return
    for raw in InputReading.of(run).read(given):
        for part in raw.split(BATCH_SIZE):
            yield Batch(torch.arange(len(part)), 0, part, torch.full((len(part),), UNLABELLED))


def _probabilities(teacher: Teacher, batches: Iterator[Batch], run: Run) -> Iterator[Tensor]:
    for batch in batches:
        source = batch.origin.samples.source if batch.origin else None
        task, lengths = (source.task, source.lengths) if source else (Classification(), None)
        of_batch = torch.empty(0) if lengths is None else lengths[batch.host_ids]
        found = task.answer(teacher.targets(batch).log_probs(1.0), of_batch)
        if found.dim() == 3 and takes_words(run):
            found = found[torch.arange(found.shape[1]) < of_batch[:, None]]  # [words, classes]
        if found.dim() != 2:
            raise MismatchError(
                f"'{run.path}' predicts a class at each position of a sample, and predict needs one class per sample; "
                "call the model of instar.load with its inputs."
            )
        yield found.float()
