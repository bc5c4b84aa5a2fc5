"""The end of a run: predictions, what the report shows of its teacher, cost, and last of all the result."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from instar.data.dataset import Data
from instar.data.samples import is_labelled
from instar.errors import RunError, say, shortened
from instar.runs.files import write_json, write_tensors
from instar.runs.predictions import PREDICTIONS_FILE
from instar.runs.run import Run
from instar.stages.column_effects import keep_columns
from instar.stages.cost import write_cost
from instar.stages.examples import RecordingTeacher, keep_examples
from instar.stages.run_data import recording_rate
from instar.stages.tree_pictures import keep_trees
from instar.teachers.reordered import reorder_classes
from instar.teachers.teacher import Teacher
from instar.training.scoring import judge, provides_logits


def finish_run(
    run: Run,
    model: Teacher,
    data: Data,
    facts: Mapping[str, Any],
    teacher: Teacher | None = None,
    device: torch.device | str = "cpu",
    queried: Teacher | None = None,
    *,
    judge_test: bool = True,
) -> None:
    """Write predictions and, last of all, the result: errors on test and validation, fidelity and gain.

    Args:
        run: the folder.
        model: the model that the run made, or several models as one.
        data: data whose test and validation samples the model predicts.
        facts: further values of the result; its `notes` are sentences about what could not be measured before.
        teacher: the model's teacher. A split that it cannot predict, or not with the probabilities of all classes at
            temperature 1, is compared with nothing.
        device: device of model and teacher.
        queried: the teacher that training queried, such as stored targets; None: `teacher`.
        judge_test: predict the test samples; a trial of a search does not.
    """
    facts = dict(facts)
    notes = list(facts.pop("notes", ()))
    predictions: dict[str, Tensor] = {}
    metrics: dict[str, dict[str, Any]] = {}
    for split, samples in (("test", data.test if judge_test else None), ("validation", data.held_out)):
        if samples is None or not is_labelled(samples):
            continue
        ordered = reorder_classes(model, samples.source.classes)
        student, followed = ordered, teacher
        if teacher and not (teacher.knows(samples) and provides_logits(teacher, samples, device)):
            followed = None
        recorded = None
        is_classified = not samples.source.task.predicts_numbers
        if followed and split == "test" and is_classified:  # so that no test sample is predicted twice
            recorded = RecordingTeacher(student, samples), RecordingTeacher(followed, samples)
            student, followed = recorded
        judged = judge(student, samples, device, teacher=followed)
        if judged.teacher is not None and (bad := judged.unpredicted(judged.teacher)):
            # the student is trained, so a defect of its teacher costs the comparison, and not the run
            say(f"instar: the teacher predicts NaN for {bad}; the student is not compared with it.")
            judged, recorded = replace(judged, teacher=None, divergences=None), None
        kept = judged.predictions | {"ids": samples.ids, "labels": samples.judged_labels()}
        kept |= samples.source.task.kept(judged.observed)
        predictions |= {f"{split}.{name}": tensor for name, tensor in kept.items()}
        metrics[split] = judged.metrics()
        if split == "test":
            if recorded:
                with note_failure("What the report shows of the teacher", notes):
                    keep_examples(run, *recorded, data, judged, device, queried)
            with note_failure("What the columns do", notes):
                keep_columns(run, ordered, teacher, samples, device)
            with note_failure("The cost", notes):
                write_cost(run.path, ordered, samples, device, teacher)
    if judge_test:
        with note_failure("The picture of the trees", notes):
            keep_trees(run, model, data, device)
    write_tensors(run.path / PREDICTIONS_FILE, predictions)
    (run.path / "error.txt").unlink(missing_ok=True)  # of an attempt before this one
    result = {"metrics": metrics.get("test"), "validation": metrics.get("validation"), **facts}
    if (rate := recording_rate(data)) is not None:  # inputs do not tell it, and another rate would mean other sounds
        result["rate"] = rate
    if notes:
        result["notes"] = notes
    # last of all, because this file makes the run complete
    result["files"] = run.checksums()
    write_json(run.path / "result.json", result)


@contextmanager
def note_failure(what: str, notes: list[str]) -> Iterator[None]:
    """Turn a failure into a note and a line on stderr, because a measurement must not cost the run.

    Args:
        what: subject of the sentence: what was measured or written.
        notes: takes the sentence.

    >>> notes = []
    >>> with note_failure("The cost", notes):
    ...     raise ValueError("there is no clock.")
    >>> notes
    ['The cost is missing: there is no clock.']
    """
    try:
        yield
    except RunError:  # such as a full disk, on which the result would fail too
        raise
    except Exception as error:  # of the user's code, or of a measurement that does not fit it
        notes.append(f"{what} is missing: {shortened(error)}.")
        say(f"instar: {notes[-1]}")
