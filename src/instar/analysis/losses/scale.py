"""Which function a loss is, and how it is scaled: form, T^2, sums and means, the factor of the definition."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F

from instar.analysis.losses.forms import forward_divergence
from instar.analysis.losses.tested import (
    CLASSES,
    EXAMPLES,
    Finding,
    Tested,
    define,
    definition_scale,
    draw,
    is_equal,
)

WHOLE_TOLERANCE = 1e-3
"""Difference of a fitted power from a whole number."""


def ask_form(tested: Tested) -> Iterator[Finding]:
    """Ask which function follows the teacher, and which the labels."""
    fit = tested.fit
    if fit is None:
        yield Finding("form", "none of the known ones", False)
        return
    at = "" if fit.soft is None or fit.temperature == tested.temperature else f" at T = {fit.temperature:g}"
    parts = [f"{fit.soft}{at}"] * (fit.soft is not None) + [str(fit.labels)] * (fit.labels is not None)
    yield Finding("form", ", and ".join(parts), tested.follows_definition)


def ask_value(tested: Tested) -> Iterator[Finding]:
    """Ask whether the value is the divergence or the cross-entropy, whose gradients are equal."""
    fit, one = tested.fit, tested.sample
    if fit is None or not fit.is_definition:
        return
    divided = one.student / (fit.temperature if fit.divides_labels else 1)
    labels = fit.label_weight * float(F.cross_entropy(divided, one.labels, reduction="sum"))
    divergence = float(forward_divergence(one.student, one.teacher, one.labels, fit.temperature).sum())
    p = (one.teacher / fit.temperature).softmax(-1)
    entropy = -float((p * p.log()).sum())
    rest = (tested.answer.loss - labels) / fit.weight - divergence
    if is_equal(rest + entropy, entropy):
        yield Finding("value", "the divergence, which is 0 where student and teacher agree", True)
    elif is_equal(rest, entropy):
        yield Finding("value", "the cross-entropy, which is the divergence and the teacher's entropy")
    else:
        yield Finding("value", f"the divergence and another {rest / EXAMPLES:.4g} for each example", False)


def ask_temperature(tested: Tested) -> Iterator[Finding]:
    """Ask whether T^2 keeps the balance with labels."""
    if not tested.function.takes("temperature"):
        yield Finding("T^2", "not asked: the function takes no temperature")
        return
    if torch.equal(tested.function(tested.at(2 * tested.temperature)).gradient, tested.answer.gradient):
        yield Finding("T^2", "the temperature changes nothing", False)
        return
    if tested.fit is None or tested.fit.soft is None:
        return
    power = tested.power(tested.sample, tested.at(2 * tested.temperature))
    if power is None or not _is_whole(power):
        yield Finding("T^2", "the weight of the part that follows the teacher is no power of T", False)
    elif round(power) == 0:
        yield Finding("T^2", "no, so the balance with labels moves with T", False)
    else:
        yield Finding("T^2", "yes" if round(power) == 2 else f"T^{round(power)} in its place", round(power) == 2)


def ask_examples(tested: Tested) -> Iterator[Finding]:
    """Ask for a sum or a mean over examples."""
    if shape := tested.answer.shape:
        said = " x ".join(map(str, shape))
        yield Finding("over examples", f"no reduction: {said} numbers for {EXAMPLES} examples of {CLASSES} classes")
        return
    power = tested.power(draw(tested.temperature, 6), draw(tested.temperature, 12))
    if power is not None and _is_whole(power):
        said = {0: "sum", -1: "mean"}.get(round(power), f"grows with the power {round(power)} of their number")
        yield Finding("over examples", said, round(power) == -1)


def ask_classes(tested: Tested) -> Iterator[Finding]:
    """Ask for a sum or a mean over classes."""
    if tested.fit is None or tested.fit.soft is None:
        return
    once, twice = (draw(tested.temperature, EXAMPLES, classes=classes) for classes in (5, 10))
    power = tested.power(once, twice)
    if power is not None and _is_whole(power):
        known = {0: "sum", -1: "mean, so the loss is divided by their number"}
        said = known.get(round(power), f"grows with the power {round(power)} of their number")
        yield Finding("over classes", said, round(power) == 0)


def ask_factor(tested: Tested) -> Iterator[Finding]:
    """Ask for the factor between the loss and the definition, T^2 KL averaged over examples."""
    fit, question = tested.fit, "factor of the definition"
    if fit is not None and tested.follows_definition:
        factor = fit.weight / definition_scale(tested.sample)
        beside = f", beside {fit.label_weight * EXAMPLES:.6g} times the {fit.labels}" if fit.labels else ""
        # a part of the definition beside labels is what their weights ask for
        yield Finding(question, f"{factor:.6g}{beside}", None if fit.labels else is_equal(factor, 1))
        return
    (value, expected), found = define(tested.sample), tested.answer.gradient.double()
    cosine = float((found * expected).sum() / (found.norm() * expected.norm()))
    length = float(found.norm() / expected.norm())
    said = (
        f"gradient {length:.4g} times as long, with cosine {cosine:.4f}; loss {tested.answer.loss:.4g}, not {value:.4g}"
    )
    yield Finding(question, said, False)


def ask_teacher(tested: Tested) -> Iterator[Finding]:
    """Ask whether a gradient flows into the teacher."""
    found = tested.answer.teacher_gradient
    flows = found is not None and bool(found.any())
    yield Finding(
        "gradient into the teacher", "yes, so its logits must be computed without gradients" if flows else "no"
    )


def _is_whole(power: float) -> bool:
    return abs(power - round(power)) < WHOLE_TOLERANCE


SCALE: tuple[Callable[[Tested], Iterator[Finding]], ...] = (
    ask_form, ask_value, ask_temperature, ask_examples, ask_classes, ask_factor, ask_teacher,
)  # fmt: skip
"""The questions of this module."""
