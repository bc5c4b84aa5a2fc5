"""What a loss does at the edges: parts of a batch, padding, extreme temperatures, few digits, infinite logits."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise

import torch

from instar.analysis.losses.function import Sample
from instar.analysis.losses.tested import CLASSES, EXAMPLES, Finding, Tested, draw, is_equal
from instar.errors import InstarError

IGNORED_LABEL = -100
"""Label of positions that do not count, as in torch's cross-entropy."""

TOLERANCES = {0.1: 1e-3, 1e6: 0.1}
"""Relative error of a float32 gradient by temperature; at 1e6 all probabilities agree in six of their seven digits."""

PRECISION_TOLERANCE = 5e-2


def ask_micro_batches(tested: Tested) -> Iterator[Finding]:
    """Ask whether the parts of a batch, weighted by their sizes, make the whole."""
    ends, total, plain = (0, 4, EXAMPLES), 0.0, 0.0
    for start, end in pairwise(ends):
        loss = tested.function(tested.sample.rows(slice(start, end))).loss
        total, plain = total + loss * (end - start) / EXAMPLES, plain + loss
    if is_equal(total, tested.answer.loss):
        yield Finding("micro-batches", "the mean of parts, weighted by their sizes, is the whole", True)
    elif is_equal(plain, tested.answer.loss):
        yield Finding("micro-batches", "the sum of parts is the whole")
    else:
        said = f"parts give {total:.4g} and the whole batch {tested.answer.loss:.4g}"
        yield Finding("micro-batches", said, False)


def ask_ignored(tested: Tested) -> Iterator[Finding]:
    """Ask how examples with the label -100 count."""
    yield Finding("ignored labels", *_mask(tested, tested.sample))


def ask_sequences(tested: Tested) -> Iterator[Finding]:
    """Ask how positions of sequences count."""
    one = draw(tested.temperature, 4, 3)
    flat = Sample(one.student.flatten(0, 1), one.teacher.flatten(0, 1), one.labels.flatten(), one.temperature)
    try:
        found = tested.function(one)
    except InstarError as error:
        yield Finding("sequences", f"refused: {error}")
        return
    expected = tested.function(flat).loss
    if found.shape:
        yield Finding("sequences", f"no reduction: {' x '.join(map(str, found.shape))} numbers for 4 x 3 positions")
    elif is_equal(found.loss, expected):
        yield Finding("sequences", "each position counts as an example", True)
    elif is_equal(found.loss, 3 * expected):
        yield Finding("sequences", "sum over positions, so longer sequences count more", False)
    else:
        yield Finding("sequences", f"{found.loss:.4g}, but {expected:.4g} for the same positions as examples", False)


def ask_padding(tested: Tested) -> Iterator[Finding]:
    """Ask how positions with the label -100 count."""
    one = draw(tested.temperature, 4, 6)
    try:
        tested.function(one)
    except InstarError:
        return
    yield Finding("padded positions", *_mask(tested, one))


def _mask(tested: Tested, sample: Sample) -> tuple[str, bool | None]:
    if not tested.function.takes("labels"):
        return "cannot be told: the function takes no labels, so leave them out before it is called", None
    labels = sample.labels.clone()
    labels.view(-1)[1::3] = IGNORED_LABEL
    kept = labels != IGNORED_LABEL
    masked = replace(sample, labels=labels)
    try:
        found, others = tested.function(masked), tested.function(masked.rows(kept))
    except InstarError as error:
        return f"refused: {error}", None
    if not math.isfinite(found.loss):
        return f"the loss is {found.loss}", False
    if bool(found.gradient[~kept].any()):
        return "those with the label -100 still count", False
    if found.shape or is_equal(found.loss, others.loss):
        return "left out" + ("" if found.shape else ", with the mean over the others"), True
    is_divided = is_equal(found.loss, float(kept.double().mean()) * others.loss)
    why = "divided by all, so padding makes the loss smaller" if is_divided else "the others count differently"
    return f"left out, but {why}", False


def ask_temperatures(tested: Tested) -> Iterator[Finding]:
    """Ask for the error of a float32 gradient at extreme temperatures."""
    if tested.function.takes("temperature"):
        for temperature, tolerance in TOLERANCES.items():
            yield Finding(f"T = {temperature:g}", *_round(tested, tested.at(temperature), torch.float32, tolerance))


def ask_precision(tested: Tested) -> Iterator[Finding]:
    """Ask for the error of a bfloat16 gradient."""
    yield Finding("bfloat16", *_round(tested, tested.sample, torch.bfloat16, PRECISION_TOLERANCE))


def ask_large_logits(tested: Tested) -> Iterator[Finding]:
    """Ask for the error of a float32 gradient with logits of about 1,000."""
    one = tested.sample
    large = replace(one, student=500 * one.student, teacher=500 * one.teacher)
    yield Finding("logits of 1,000", *_round(tested, large, torch.float32, PRECISION_TOLERANCE))


def _round(tested: Tested, sample: Sample, dtype: torch.dtype, tolerance: float) -> tuple[str, bool | None]:
    rounded = sample.to(dtype)
    try:
        found = tested.function(rounded).gradient.double()
        exact = tested.function(rounded.to(torch.float64)).gradient.double()
    except InstarError as error:
        return f"refused: {error}", None
    if not bool(found.isfinite().all()):
        return "the gradient is not finite", False
    size = float(exact.norm())
    if size == 0:
        return "the gradient is 0", None
    rounding = float((found - exact).norm()) / size
    return f"relative error of the gradient {rounding:.0e}", rounding < tolerance


def ask_infinite_logits(tested: Tested) -> Iterator[Finding]:
    """Ask what logits of -inf do, which say that a class cannot be."""
    one = tested.sample
    impossible = ((one.labels + 1) % CLASSES)[:, None]
    for who, names in (("the teacher's", ("teacher",)), ("both", ("student", "teacher"))):
        changed = {name: getattr(one, name).scatter(1, impossible, -math.inf) for name in names}
        question = f"-inf in {who} logits"
        try:
            found = tested.function(replace(one, **changed))
        except InstarError as error:
            yield Finding(question, f"refused: {error}")
            continue
        if not math.isfinite(found.loss):
            yield Finding(question, f"the loss is {found.loss}", False)
        elif not bool(found.gradient.isfinite().all()):
            yield Finding(question, "the loss is a number, and its gradient is not", False)
        else:
            yield Finding(question, "loss and gradient are numbers", True)


EDGES: tuple[Callable[[Tested], Iterator[Finding]], ...] = (
    ask_micro_batches, ask_ignored, ask_sequences, ask_padding, ask_temperatures, ask_precision, ask_large_logits,
    ask_infinite_logits,
)  # fmt: skip
"""The questions of this module."""
