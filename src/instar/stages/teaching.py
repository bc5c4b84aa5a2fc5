"""Who teaches a run, and whether teacher, student and data agree."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from instar.config import RunConfig
from instar.data import Batch, Data, Loader
from instar.errors import ConfigError, InstarError, MismatchError, shortened
from instar.models import CausalLM, Normalised, in_eval_mode
from instar.models.causal_lm import refuse_other_tokens
from instar.objectives import Objective
from instar.runs.run import Run
from instar.targets import Targets, TargetStore
from instar.teachers import Ensemble, Teacher, as_teacher


def combine_teachers(config: RunConfig, trust: bool) -> Teacher | None:
    """Return the teachers of a configuration as one: none, itself, or an ensemble."""
    match config.teachers:
        case ():
            return None
        case (single,):
            return as_teacher(single, trust=trust)
        case several:
            return Ensemble(several, config.combine, trust=trust)


def named_teacher(
    teacher: Any, combine: Literal["geometric", "arithmetic"], trust: bool
) -> tuple[tuple[str, ...], Teacher]:
    """Return the names of what was given, and one teacher."""
    several = list(teacher) if isinstance(teacher, list | tuple) else [teacher]
    if not several:
        raise ConfigError("label needs at least one teacher, got none.")
    folders = [one.path if isinstance(one, Run | TargetStore) else one for one in several]
    names = [str(folder) for folder in folders if isinstance(folder, str | Path)]
    made = Ensemble(several, combine, trust=trust) if len(several) > 1 else as_teacher(several[0], trust=trust)
    return tuple(names) if len(names) == len(several) else (type(made).__name__,), made


def with_settings_of(teacher: Teacher, config: RunConfig) -> RunConfig:
    """Return a configuration with the views that a store replays, where it does not name views of its own."""
    theirs = {name: value for name, value in teacher.settings().items() if name not in config.model_fields_set}
    if "views" in config.model_fields_set:  # views of the run's own are endless where it does not say how many
        theirs.pop("num_views", None)
    return config.model_copy(update=theirs)


def only_network(teacher: Teacher | None, name: str) -> nn.Module:
    """Return the network of a teacher from which model `name` takes layers.

    Raises:
        MismatchError: when there is no teacher, or it is not one network.
    """
    networks = teacher.modules() if teacher else []
    if len(networks) != 1:
        count = f"has {len(networks)} networks" if teacher else "is missing"
        raise MismatchError(f"model '{name}' takes layers from its teacher, which must be one network; it {count}.")
    return inner(networks[0])


def inner(network: nn.Module) -> nn.Module:
    """Return the network itself, without the statistics of its inputs."""
    return network.network if isinstance(network, Normalised) else network


def reason_of(error: Exception) -> str:
    """Return why code of the user's failed, with the kind of the error where its words alone say little.

    >>> reason_of(KeyError("inputs")), reason_of(RuntimeError("shapes differ."))
    ("KeyError: 'inputs'", 'shapes differ')
    """
    kind = "" if isinstance(error, RuntimeError | TypeError | ValueError) else f"{type(error).__name__}: "
    return kind + shortened(error)


@contextmanager
def asked(who: str, inputs: Tensor) -> Iterator[None]:
    """Refuse in a sentence what fails on inputs, or changes them, which the other is to see too.

    Raises:
        MismatchError: names the student or the teacher.
    """
    before = inputs.clone()
    try:
        yield
    except InstarError:
        raise
    except Exception as error:  # of code of the user's
        shape = list(before.shape[1:])
        raise MismatchError(f"the {who} cannot take inputs of shape {shape}: {reason_of(error)}.") from None
    if not torch.equal(inputs.nan_to_num(), before.nan_to_num()):
        raise MismatchError(f"the {who} changes its inputs in place, and others see them too; clone them in forward.")


@torch.no_grad()
def refuse_other_classes(
    model: nn.Module, objective: Objective, teacher: Teacher | None, loader: Loader, data: Data
) -> None:
    """Compare the widths of student, teacher and labels on two samples, and try the objective on their targets.

    Raises:
        MismatchError: when they differ, or the objective asks for what the targets do not hold.
    """
    batch = loader.batch(0).part(0, 2)
    with asked("student", batch.inputs), in_eval_mode(model):
        shape = model(batch.inputs).shape
    width = shape[-1] if shape else 1
    if width != data.train.num_classes and len(shape) == batch.labels.dim() + 1:
        raise MismatchError(f"the student has {width} classes, and the data have {data.train.num_classes}.")
    if (*batch.labels.shape, data.train.num_classes) != tuple(shape):
        raise MismatchError(
            f"the student returns logits of shape {list(shape)} for inputs of shape {list(batch.inputs.shape)}; "
            f"expected {[*batch.labels.shape, data.train.num_classes]}."
        )
    if teacher is None:
        return
    for network in map(inner, teacher.modules()):
        if isinstance(network, CausalLM) and network.tokens:
            whose = f"'{data.config.tokenizer}'" if data.config.tokenizer else "the words of the data"
            refuse_other_tokens(network.tokens, "the teacher", data.classes, whose)
    with asked("teacher", batch.inputs):
        targets = teacher.targets(batch)
    if targets.num_classes != width:
        raise MismatchError(f"the teacher has {targets.num_classes} classes, and the student has {width}.")
    refuse_unfit(objective, batch, targets)


@torch.no_grad()
def refuse_unfit(objective: Objective, batch: Batch, targets: Targets | None) -> None:
    """Try an objective on a few targets, before the first step.

    Raises:
        MismatchError: when a term asks them for classes or a temperature that they do not hold.
    """
    if targets is not None:
        shape = (*batch.labels.shape, targets.num_classes)
        objective(torch.zeros(shape, device=batch.labels.device), batch, targets)
