"""Failures of code that the user wrote, as sentences that name it and the samples that it failed for."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from instar.compute.inputs import Inputs, are_tensors, describe_shapes, list_tensors, shapes_of
from instar.data.batch import Batch
from instar.data.columns.held import INPUTS
from instar.data.image_form import advise_channels
from instar.errors import InstarError, MismatchError, name_samples, shortened
from instar.models.normalised import unwrap

# torch says this of the first convolution of a network for images of the other colours
_OTHER_CHANNELS = re.compile(r"expected input\[[\d, ]+\] to have (\d+) channels, but got (\d+) channels")


@contextmanager
def name_failure(who: str, code: object, batch: Batch) -> Iterator[None]:
    """Turn what the user's network or teacher raises for a batch into a sentence.

    Args:
        who: what it is, such as "the student".
        code: the network or teacher; a defect of one of Instar's own keeps its traceback.
        batch: batch of the call inside the context.

    Raises:
        MismatchError: names the class, the samples and the error.

    >>> with name_failure("the student", torch.nn.Linear(2, 2), Batch.of_labels(torch.tensor([3]))):
    ...     raise ValueError("it is alone.")
    Traceback (most recent call last):
    instar.errors.MismatchError: the student Linear fails for sample 0, inputs of shape [1]: ValueError: it is alone.
    """
    try:
        yield
    except (InstarError, torch.OutOfMemoryError):  # the device is too small, and not the code wrong
        raise
    except Exception as error:
        kind = type(unwrap(code) if isinstance(code, torch.nn.Module) else code)
        if kind.__module__.partition(".")[0] == "instar":
            raise
        raise MismatchError(
            f"{who} {kind.__name__} fails for {name_samples(batch.host_ids)}, inputs of shape "
            f"{_describe_batch(batch)}: {type(error).__name__}: {shortened(error)}{_advise(error)}."
        ) from error


def _describe_batch(batch: Batch) -> str:
    return describe_shapes(shapes_of(batch.column(INPUTS), axis=0))


@contextmanager
def refuse_failure(who: str, inputs: Inputs) -> Iterator[None]:
    """Turn a failure on inputs into a sentence, and refuse to change inputs that student and teacher share.

    Args:
        who: "student" or "teacher".
        inputs: inputs of the call inside the context.

    Raises:
        MismatchError: names the student or the teacher.
    """
    # texts cannot be changed
    before = [tensor.clone() for tensor in list_tensors(inputs)] if are_tensors(inputs) else []
    try:
        yield
    except InstarError:
        raise
    except Exception as error:  # whatever the user's code raises
        shape = describe_shapes(shapes_of(inputs))
        raise MismatchError(f"the {who} cannot take inputs of shape {shape}: {explain_error(error)}.") from None
    pairs = zip(list_tensors(inputs), before, strict=False)
    if not all(torch.equal(now.nan_to_num(), then.nan_to_num()) for now, then in pairs):  # NaN equals nothing
        raise MismatchError(f"the {who} changes its inputs in place, and others see them too; clone them in forward.")


def explain_error(error: Exception) -> str:
    """Return why the user's code failed, with the kind of the error where its message alone says little.

    >>> explain_error(KeyError("inputs")), explain_error(RuntimeError("shapes differ."))
    ("KeyError: 'inputs'", 'shapes differ')
    """
    kind = "" if isinstance(error, RuntimeError | TypeError | ValueError) else f"{type(error).__name__}: "
    return kind + shortened(error) + _advise(error)


def _advise(error: Exception) -> str:
    found = _OTHER_CHANNELS.search(str(error))
    return advise_channels(*map(int, found.groups())) if found else ""
