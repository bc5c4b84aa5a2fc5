"""Whether teacher, student, objective and data fit each other, tried on two samples before the first step."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from instar.data.dataset import Data
from instar.data.loader import Batch, Loader
from instar.errors import InstarError, MismatchError, shortened
from instar.models.causal_lm import CausalLM, refuse_other_tokens
from instar.models.modes import in_eval_mode
from instar.models.normalised import Normalised
from instar.objectives.objective import Objective
from instar.targets.targets import Targets
from instar.teachers.teacher import Teacher


def only_network(teacher: Teacher | None, name: str) -> nn.Module:
    """Return the network of a teacher from which model `name` takes layers.

    Raises:
        MismatchError: when there is no teacher, or it is not one network.
    """
    networks = teacher.modules() if teacher else []
    if len(networks) != 1:
        count = f"has {len(networks)} networks" if teacher else "is missing"
        raise MismatchError(f"model '{name}' takes layers from its teacher, which must be one network; it {count}.")
    return unwrap(networks[0])


def unwrap(network: nn.Module) -> nn.Module:
    """Return the network itself, without the statistics of its inputs."""
    return network.network if isinstance(network, Normalised) else network


def explain_error(error: Exception) -> str:
    """Return why the user's code failed, with the kind of the error where its message alone says little.

    >>> explain_error(KeyError("inputs")), explain_error(RuntimeError("shapes differ."))
    ("KeyError: 'inputs'", 'shapes differ')
    """
    kind = "" if isinstance(error, RuntimeError | TypeError | ValueError) else f"{type(error).__name__}: "
    return kind + shortened(error)


@contextmanager
def refuse_failure(who: str, inputs: Tensor) -> Iterator[None]:
    """Turn a failure on inputs into a sentence, and refuse to change inputs that student and teacher share.

    Args:
        who: "student" or "teacher".
        inputs: inputs of the call inside the context.

    Raises:
        MismatchError: names the student or the teacher.
    """
    before = inputs.clone()
    try:
        yield
    except InstarError:
        raise
    except Exception as error:  # whatever the user's code raises
        shape = list(before.shape[1:])
        raise MismatchError(f"the {who} cannot take inputs of shape {shape}: {explain_error(error)}.") from None
    if not torch.equal(inputs.nan_to_num(), before.nan_to_num()):
        raise MismatchError(f"the {who} changes its inputs in place, and others see them too; clone them in forward.")


@torch.no_grad()
def refuse_other_classes(
    model: nn.Module, objective: Objective, teacher: Teacher | None, loader: Loader, data: Data
) -> None:
    """Compare the classes of student, teacher and labels on two samples, and try the objective on their targets.

    Raises:
        MismatchError: when they differ, or the targets lack what the objective needs.
    """
    batch = loader.batch(0).part(0, 2)
    with refuse_failure("student", batch.inputs), in_eval_mode(model):
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
    for network in map(unwrap, teacher.modules()):
        if isinstance(network, CausalLM) and network.tokens:
            whose = f"'{data.config.tokenizer}'" if data.config.tokenizer else "the words of the data"
            refuse_other_tokens(network.tokens, "the teacher", data.classes, whose)
    with refuse_failure("teacher", batch.inputs):
        targets = teacher.targets(batch)
    if targets.num_classes != width:
        raise MismatchError(f"the teacher has {targets.num_classes} classes, and the student has {width}.")
    refuse_unfit(objective, batch, targets)


@torch.no_grad()
def refuse_unfit(objective: Objective, batch: Batch, targets: Targets) -> None:
    """Try an objective on a few targets, before the first step.

    Raises:
        MismatchError: when a term needs classes or a temperature that the targets do not hold.
    """
    shape = (*batch.labels.shape, targets.num_classes)
    objective(torch.zeros(shape, device=batch.labels.device), batch, targets)
