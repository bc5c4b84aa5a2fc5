"""Whether teacher, student, objective and data fit each other, tried on two samples before the first step."""

from __future__ import annotations

import torch
from torch import nn

from instar.compute.inputs import describe_shapes, shapes_of
from instar.compute.packed import are_packed
from instar.data.batch import Batch
from instar.data.columns.held import INPUTS
from instar.data.dataset import Data
from instar.data.loader import Loader
from instar.errors import MismatchError
from instar.models.causal_lm import CausalLM, refuse_other_tokens
from instar.models.class_names import explain_other_number
from instar.models.failures import refuse_failure
from instar.models.modes import in_eval_mode
from instar.models.normalised import reader_in, unwrap
from instar.models.packing_probe import refuse_mixed_texts
from instar.objectives.objective import Objective
from instar.targets.targets import Targets
from instar.teachers.teacher import Teacher


def only_network(teacher: Teacher | None, who: str) -> nn.Module:
    """Return the network of a teacher from which a student takes layers.

    Args:
        teacher: the teacher.
        who: what takes the layers, for the error message.

    Raises:
        MismatchError: when there is no teacher, or it is not one network.
    """
    networks = teacher.modules() if teacher else []
    if len(networks) != 1:
        count = f"has {len(networks)} networks" if teacher else "is missing"
        raise MismatchError(f"{who} takes layers from the teacher, which must be one network; it {count}.")
    return networks[0]


def refuse_other_sizes(loader: Loader, student: nn.Module | None, teacher: Teacher | None) -> None:
    """Refuse views that give images of another size than the data to a network that reads the data as they are.

    Such a network would train on images of one size, and be evaluated on those of another.

    Raises:
        MismatchError: names the network, both sizes, and a reader that would do.
    """
    given = loader.samples.input_shape
    shown = loader.views.shape(given)
    if shown == given:
        return
    changed = (INPUTS, *loader.samples.source.input_names[:1])
    readers = [] if student is None else [("student", one, shown) for one in reader_in(student).parts]
    networks = teacher.modules() if teacher else []
    readers += [("teacher", one, given) for network in networks for one in reader_in(network).parts]
    for who, reader, wanted in readers:
        if reader.column in changed and reader.shape(shown) != reader.shape(given):
            seen, known = (" x ".join(map(str, shape[1:])) for shape in (shown, given))
            raise MismatchError(
                f"the views give images of {seen} pixels, and the {who} reads those of the data, {known}, as they are; "
                f"give it a reader of one size, such as Pixels({list(wanted[1:])}), or leave the size of the view out."
            )


@torch.no_grad()
def refuse_other_classes(
    model: nn.Module, objective: Objective, teacher: Teacher | None, loader: Loader, data: Data
) -> None:
    """Compare the classes of student, teacher and labels on two samples, and try the objective on their targets.

    Raises:
        MismatchError: when they differ, or the targets lack what the objective needs.
    """
    batch = loader.batch(0).part(0, 2)
    inputs = batch.read(reader_in(model))
    with refuse_failure("student", inputs), in_eval_mode(model):
        shape = model(inputs).shape
    width = shape[-1] if shape else 1
    # where only the number of classes is wrong, a sentence about classes says more than shapes
    if width != data.train.num_classes and len(shape) == batch.labels.dim() + 1:
        raise MismatchError(f"the student has {width} classes, and the data have {data.train.num_classes}.")
    if (*batch.labels.shape, data.train.num_classes) != tuple(shape):
        raise MismatchError(
            f"the student returns logits of shape {list(shape)} for inputs of shape "
            f"{describe_shapes(shapes_of(inputs, axis=0))}; "
            f"expected {[*batch.labels.shape, data.train.num_classes]}."
        )
    if are_packed(data.train.source.input_names):
        refuse_mixed_texts(model, inputs, "student", width)
    if teacher is None:
        refuse_unfit(objective, batch, None, width)
        return
    # tokenizers may differ and have equally many tokens
    for network in map(unwrap, teacher.modules()):
        if isinstance(network, CausalLM) and network.tokens:
            whose = f"'{data.config.tokenizer}'" if data.config.tokenizer else "the words of the data"
            refuse_other_tokens(network.tokens, "the teacher", data.classes, whose)
    with refuse_failure("teacher", batch.column(INPUTS)):
        targets = teacher.targets(batch)
    if targets.num_classes != width:
        raise MismatchError(
            explain_other_number("the teacher", teacher.classes, targets.num_classes, data.classes, width)
        )
    refuse_unfit(objective, batch, targets, width)


@torch.no_grad()
def refuse_unfit(objective: Objective, batch: Batch, targets: Targets | None, num_classes: int) -> None:
    """Try an objective on a few targets, before the first step.

    Raises:
        MismatchError: when a term needs classes or a temperature that the targets do not hold.
    """
    if (of_logits := objective.at_peak().on_logits) is None:
        return
    shape = (*batch.labels.shape, num_classes)
    # a term refuses by itself what it cannot compute; the logits do not matter
    of_logits(torch.zeros(shape, device=batch.labels.device), batch, targets)
