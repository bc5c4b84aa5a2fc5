"""Yim, Joo, Bae and Kim 2017, "A gift from knowledge distillation", sections 4.1 and 4.2: CIFAR-10.

In a first phase a student learns the products of the layers of its teacher (FSP matrices), or one layer of it (FitNet).
In a second phase it starts from these weights. Two tables: a small student, ResNet-8 from ResNet-26, and a student with
its teacher's network, ResNet-26, that takes a third of the iterations ("fast optimisation"). Published numbers are test
accuracies in %; those of the second table are means of three networks. All are quoted from memory or second-hand.

The scale `small` has these networks, a tenth of the images at half their size and fewer epochs. Compare its gains over
labels with the paper's, but not its accuracies.

Choices where the paper leaves room, beside those of `methods_plan`:

1. FSP matrices relate the outputs of the first convolution and of the three stages, each with the next. The larger of
   two is reduced by its maximum, as in the paper.
2. FitNet's hint is the second stage, through a regressor, in the first phase. In the second, soft targets at T = 3
   stand beside labels. Their weight falls from 4 / T^2 (the term here multiplies by T^2, the paper's does not) to 0; in
   the paper it falls to a quarter.
3. The first phase of FSP takes a third of the epochs, and that of FitNet 35 of 64, as the iterations in the paper.
   Their learning rates fall at the same shares of a phase as those of all others.
4. The gradient of the first phase of FSP has at most the norm 1. Without that limit it diverged at once, at the
   published rate of 0.001 too. At the scale `small`, which has a twentieth of the steps, the rate of first phases is
   0.1, the one with the lowest loss of the phase among 0.001 to 0.1 (hints: 0.0001 to 0.1) after 120 steps.
5. Control arms, which the paper did not run: soft targets and labels in one phase (KD), label smoothing of 0.1, and
   labels for as long as both phases of FSP take.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from instar.papers.compared_nets import residual_net
from instar.papers.methods_plan import (
    FLOW_TRAINING,
    KD_OBJECTIVE,
    LABELS,
    STEP_TRAINING,
    TEACHER,
    Method,
    MethodsPlan,
    MethodsScale,
    NetPair,
    write_pairs,
)
from instar.papers.table import FAST_TRAINING, Order, Table

TITLE = "Yim, Joo, Bae and Kim 2017, sections 4.1 and 4.2: flow of the solution on CIFAR-10"
DATA = "uoft-cs/cifar10"

RECIPE: dict[str, Any] = STEP_TRAINING | {
    "learning_rate": 0.1,
    "weight_decay": 1e-4,
    "batch_size": 128,
    "milestones": (0.5, 0.75),
}
"""That of residual networks: the learning rate falls to a tenth at 32,000 and 48,000 of 64,000 iterations."""

FLOW_OBJECTIVE = f"FlowOfSolution({write_pairs('stem', 'stage1', 'stage2', 'stage3')})"
HINT_OBJECTIVE = f"Hints({write_pairs('stage2')})"
FITNET_OBJECTIVE = "HardLabels() + decay(0.4444) * SoftTargets(3)"
FLOW_SHARE, HINT_SHARE = 21 / 64, 35 / 64
"""Epochs of the first phases, as shares of those of the second."""

CLAIMS = (
    ("fitnet", LABELS),
    ("fsp", LABELS),
    ("fsp", "fitnet"),
    # the controls, about which the paper claims nothing
    ("fsp", "kd"),
    ("fsp", "smoothing"),
    ("fsp", "longer"),
)
FAST_CLAIMS = (("fast-fsp", LABELS), ("fast-fsp", "third"), ("fast-fsp", "two-thirds"))
"""Pairs of methods, the better one first."""


@dataclass(frozen=True)
class FlowScale(MethodsScale):
    """Amount of work for the tables; `pairs` are those of small students.

    Args:
        fast: pairs of equal networks for "fast optimisation".
        flow_rate: learning rate of the first phase of FSP.
        hint_rate: learning rate of the first phase of FitNet.
    """

    fast: tuple[NetPair, ...] = ()
    flow_rate: float = 1e-3
    hint_rate: float = 1e-4

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the pairs of both tables."""
        return tuple(pair.name for pair in (*self.pairs, *self.fast))


def make_methods(size: FlowScale) -> list[Method]:
    """Return the rows of a small student."""
    flow = {"learning_rate": size.flow_rate, **FLOW_TRAINING}
    hint = {"learning_rate": size.hint_rate}
    return [
        Method(LABELS, "student from labels"),
        Method("hint", "", HINT_OBJECTIVE, TEACHER, longer=HINT_SHARE, training=hint),
        Method("fitnet", "FitNet", FITNET_OBJECTIVE, TEACHER, start="hint"),
        Method("flow", "", FLOW_OBJECTIVE, TEACHER, longer=FLOW_SHARE, training=flow),
        Method("fsp", "FSP", start="flow"),
        Method("kd", "control: KD", KD_OBJECTIVE, TEACHER),
        Method("smoothing", "control: label smoothing 0.1", "HardLabels(0.1)"),
        Method("longer", f"control: labels for {size.longer:g} times the epochs", longer=size.longer),
    ]


def make_fast_methods(size: FlowScale) -> list[Method]:
    """Return the rows of a student with its teacher's network."""
    flow = {"learning_rate": size.flow_rate, **FLOW_TRAINING}
    return [
        Method(LABELS, "labels for all iterations"),
        Method("flow", "", FLOW_OBJECTIVE, TEACHER, longer=FLOW_SHARE, training=flow),
        Method("fast-fsp", "FSP for a third, then labels for a third", start="flow", longer=FLOW_SHARE),
        Method("third", "control: labels for a third", longer=FLOW_SHARE),
        Method("two-thirds", "control: labels for two thirds", longer=2 * FLOW_SHARE),
    ]


PAIR = NetPair(residual_net(26), residual_net(8), {LABELS: 87.91, "fitnet": 88.57, "fsp": 88.70, TEACHER: 91.91})
FAST_PAIR = NetPair(residual_net(26), residual_net(26), {LABELS: 91.75, "fast-fsp": 92.14})
_NOTE = "published with all images at 32 x 32 and 64,000 iterations"
_PAPER_EPOCHS = 164  # 64,000 iterations of 128 images

SCALES: dict[str, FlowScale] = {
    "smoke": FlowScale(
        2,
        3,
        (NetPair(residual_net(14), residual_net(8)),),
        {"subset": 200},
        "Crop(1) + Flip()",
        fast=(NetPair(residual_net(8), residual_net(8)),),
    ),
    "small": FlowScale(
        3,
        40,
        (replace(PAIR, note=_NOTE),),
        {"subset": 5000, "image_size": (16, 16)},
        "Crop(2) + Flip()",
        FAST_TRAINING | {"batch_size": 64},
        fast=(replace(FAST_PAIR, note=_NOTE),),
        flow_rate=0.1,
        hint_rate=0.1,
    ),
    "gpu": FlowScale(3, _PAPER_EPOCHS, (PAIR,), training=FAST_TRAINING, fast=(FAST_PAIR,)),
    "paper": FlowScale(3, _PAPER_EPOCHS, (PAIR,), training=FAST_TRAINING, fast=(FAST_PAIR,)),
}


def run(order: Order) -> Table:
    """Train the missing runs, and return the tables."""
    size = SCALES[order.scale]
    parts: list[tuple[MethodsPlan, NetPair, tuple[tuple[str, str], ...]]] = []
    for methods, pairs, claims in (
        (make_methods(size), size.pairs, CLAIMS),
        (make_fast_methods(size), size.fast, FAST_CLAIMS),
    ):
        plan, chosen = size.plan(order, RECIPE, methods, "test accuracy"), order.chosen(pairs)
        for wave in plan.waves(chosen):
            order.train(wave)
        parts += [(plan, pair, claims) for pair in chosen]
    rows = [row for plan, pair, _ in parts for row in plan.rows(pair, {LABELS: "labels"})]
    findings = [plan.judge(pair, claims) for plan, pair, claims in parts]
    return Table(TITLE, tuple(rows), "\n\n".join(filter(None, findings)))
