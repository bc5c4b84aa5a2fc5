"""`instar evaluate`: how good a model, a teacher or an ensemble is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from instar.checks import checked
from instar.config import DataConfig, validate
from instar.data.dataset import Data, load_data
from instar.errors import ConfigError
from instar.models.trained import attach_network
from instar.stages.argument_order import refuse_swapped
from instar.stages.configuration import read_data
from instar.stages.given_teacher import match_data, only_parts
from instar.stages.run_data import as_run, compare_fingerprints, read_run_data, refuse_other_reading
from instar.teachers.conversion import as_teacher
from instar.teachers.reordered import reorder_classes
from instar.teachers.stored import Stored
from instar.training.scoring import judge


@checked
def evaluate(
    subject: Any,
    data: Data | str | Sequence[Any] | DataConfig | None = None,
    *,
    split: str = "test",
    settings: Mapping[str, Any] | None = None,
    teacher: Any = None,
    trust: bool = False,
    network: nn.Module | str | None = None,
    teacher_network: nn.Module | str | None = None,
    **parts: Any,
) -> dict[str, Any]:
    """Return the metrics of anything that predicts logits: a run, a target store, a module, an ensemble, ...

    Args:
        subject: run, run folder, target store, module, classifier or teacher to evaluate.
        data: result of `load_data`, or its argument, which is read with the settings of the run; None takes the data
            of the run or store.
        split: "train", "validation" or "test".
        settings: settings of the data by dotted name, such as `{"data.label_column": "left", "data.test": 0.2}`; a run
            and a store have their own.
        teacher: teacher to compare with; adds agreement and KL divergence.
        trust: allow model classes outside `instar.models`.
        network: network of a run folder that needs it: a module, or the `package.module:name` of a function that makes
            it.
        teacher_network: network of the teacher's run folder, if it needs one.
        parts: `teacher_arguments`, `teacher_weights`, `teacher_reader` and `teacher_classes`, as in `distill`.

    Returns:
        errors, error, error_interval, nll, ece and class_errors; for classes balanced_error, macro_f1,
        average_precision and, if there are more than five, top_5_error, each with its interval, such as
        macro_f1_interval; perplexity for text; words, word_errors and word_error for recorded words; agreement,
        kl_to_teacher, teacher_error and gain with a teacher; changed_data, two fingerprints, if the samples are not
        those of the run.

    Raises:
        ConfigError: if there are no data, or settings for data whose settings are known.
        MismatchError: if classes or inputs of subject, data and teacher differ.

    >>> from torch import nn
    >>> metrics = evaluate(nn.Sequential(nn.Flatten(), nn.Linear(64, 10)), "digits")
    >>> metrics["samples"]
    597
    """
    subject = attach_network(subject, network, trust=trust)
    refuse_swapped("evaluate", subject=subject, data=data)
    predicting = as_teacher(subject, trust=trust)
    run = as_run(subject)
    if settings and (run is not None or (data is None and isinstance(predicting, Stored))):
        raise ConfigError(
            "settings say how given data are read, and a run or a store reads data as it did; leave them out."
        )
    # whoever knows how it read its inputs decides: a run first, then the store, and arguments for a bare module
    if run is not None:
        found = read_run_data(run, data, trust=trust)
    elif data is None and isinstance(predicting, Stored):
        # no other samples have targets in it
        found = load_data(validate(DataConfig, predicting.store.manifest.data), trust=trust)
    elif data is None:
        what = f"'{subject}'" if isinstance(subject, str) else f"a {type(subject).__name__}"
        raise ConfigError(f"evaluating {what} needs data; only a run folder knows its own.")
    else:
        found = read_data(data, settings, trust=trust)
    samples = found.split(split)
    teacher = attach_network(only_parts("evaluate", teacher, parts), teacher_network, trust=trust)
    followed = None if teacher is None else as_teacher(teacher, trust=trust)
    # by name and not by place: a class counts as right only under the number that these labels have for it
    predicting = reorder_classes(match_data(predicting, found), samples.source.classes)
    followed = followed and reorder_classes(match_data(followed, found), samples.source.classes)
    # the subject's data are those of its own run, and the teacher may have read them in another way
    if (other := as_run(teacher)) is not None:
        refuse_other_reading(other, found)
    # the numbers of a run in its folder are those of other samples if the data have changed since
    changed = None if run is None else compare_fingerprints(run, found, split)
    metrics = judge(predicting, samples, teacher=followed, keep=False).metrics()
    return metrics if changed is None else metrics | {"changed_data": changed}
