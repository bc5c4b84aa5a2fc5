"""Zagoruyko and Komodakis 2017, "Paying more attention to attention", table 1: CIFAR-10.

A student learns where its teacher looks: activation-based attention transfer (AT) over three stages of wide residual
networks, beside labels (AT) or beside soft targets (AT+KD), compared with activations as they are (F-ActT) and with
soft targets alone (KD). Published numbers are test errors in %. 8.77, 7.93 and 6.31 were checked; the others are
quoted from memory.

The scale `small` has the networks of the first pair, a tenth of the images at half their size and fewer epochs. Compare
its gains over labels with the paper's, but not its errors.

Choices where the paper leaves room, beside those of `methods_plan`:

1. Weights are those of the authors' code: 1000 for the mean square of the difference of two attention maps of 32 x 32
   images (250 for 16 x 16, whose maps have a quarter of the places), and 0.9 and 0.1 for soft targets at T = 4 and
   labels. With KD the weight of AT falls linearly to 0; the paper says that it falls.
2. F-ActT compares all activations of the three stages, through convolutions of 1 x 1. Its weight is not published; of 1
   and 10, the second diverged.
3. Three control arms, which the paper did not run: label smoothing of 0.1, labels for as long as AT+KD takes, and soft
   targets of a teacher with the student's own network and budget.
"""

from __future__ import annotations

from dataclasses import replace

from instar.papers.compared_nets import wide_residual_net
from instar.papers.furlanello2018_cifar100 import WIDE_RESNET_TRAINING
from instar.papers.methods_plan import KD_OBJECTIVE, LABELS, TEACHER, Method, MethodsScale, NetPair
from instar.papers.table import FAST_TRAINING, Order, Table

TITLE = "Zagoruyko and Komodakis 2017, table 1: attention transfer on CIFAR-10"
DATA = "uoft-cs/cifar10"

RECIPE = WIDE_RESNET_TRAINING | {"milestones": (0.3, 0.6, 0.8)}
"""That of wide residual networks: the learning rate falls to a fifth at 60, 120 and 160 of 200 epochs."""

CLAIMS = (
    ("at", LABELS),
    ("f-act", LABELS),
    ("at", "f-act"),
    ("kd", LABELS),
    ("at+kd", LABELS),
    ("at+kd", "kd"),
    # the controls, about which the paper claims nothing
    ("at", "longer"),
    ("at", "smoothing"),
    ("kd", "longer"),
    ("kd", "smoothing"),
    ("kd", "own"),
    ("at+kd", "longer"),
)
"""Pairs of methods, the better one first."""


def make_methods(size: MethodsScale) -> list[Method]:
    """Return the rows of a pair."""
    weight, longer = f"{size.attention_weight:g}", size.longer
    return [
        Method(LABELS, "student from labels"),
        Method("at", "AT", f"HardLabels() + {weight} * AttentionTransfer()", TEACHER),
        Method("f-act", "F-ActT", "HardLabels() + Hints()", TEACHER),
        Method("kd", "KD", KD_OBJECTIVE, TEACHER),
        Method("at+kd", "AT+KD", f"{KD_OBJECTIVE} + decay({weight}) * AttentionTransfer()", TEACHER),
        Method("longer", f"control: labels for {longer:g} times the epochs", longer=longer),
        Method("smoothing", "control: label smoothing 0.1", "HardLabels(0.1)"),
        # with a seed of its own, because a student that starts as its teacher did and sees its views would repeat it
        Method("other-labels", "", number=2),
        Method("own", "control: KD from its own network", KD_OBJECTIVE, "other-labels"),
    ]


_ROWS = (LABELS, "at", "f-act", "kd", "at+kd", TEACHER)
PAIRS = tuple(
    NetPair(wide_residual_net(*teacher), wide_residual_net(*student), dict(zip(_ROWS, errors, strict=True)))
    for student, teacher, errors in (
        ((16, 1), (16, 2), (8.77, 7.93, 8.51, 7.41, 7.51, 6.31)),
        ((16, 1), (40, 1), (8.77, 8.25, 8.62, 8.39, 8.01, 6.58)),
        ((16, 2), (40, 2), (6.31, 5.85, 6.24, 6.08, 5.71, 5.23)),
    )
)
_SMALL_PAIR = replace(PAIRS[0], note="published with all images at 32 x 32 and 200 epochs")

SCALES: dict[str, MethodsScale] = {
    "smoke": MethodsScale(
        2, 1, (NetPair(wide_residual_net(10, 2), wide_residual_net(10, 1)),), {"subset": 200}, "Crop(1) + Flip()"
    ),
    "small": MethodsScale(
        3,
        30,
        (_SMALL_PAIR,),
        {"subset": 5000, "image_size": (16, 16)},
        "Crop(2) + Flip()",
        FAST_TRAINING | {"batch_size": 64},
    ),
    "gpu": MethodsScale(3, 200, PAIRS[:1], training=FAST_TRAINING),
    "paper": MethodsScale(5, 200, PAIRS, training=FAST_TRAINING),
}


def run(order: Order) -> Table:
    """Train the missing runs, and return the table."""
    size = SCALES[order.scale]
    plan = size.plan(order, RECIPE, make_methods(size))
    pairs = order.chosen(size.pairs)
    for wave in plan.waves(pairs):
        order.train(wave)
    rows = [row for pair in pairs for row in plan.rows(pair, {LABELS: "labels"})]
    return Table(TITLE, tuple(rows), "\n\n".join(filter(None, (plan.judge(pair, CLAIMS) for pair in pairs))))
