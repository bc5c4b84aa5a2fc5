"""Methods of distillation on CIFAR-100, one row each: the table that the field compares its methods with.

Published numbers are test accuracies in %. Those of the methods up to CRD, and the recipe, are from Tian et al. 2020,
"Contrastive representation distillation", table 1 and their code. DKD (Zhao et al. 2022), DIST (Huang et al. 2022),
standardised logits (Sun et al. 2024) and reviews (Chen et al. 2021, quoted from memory) are from their own papers, with
the same recipe. Methods have the weights of these sources, but for those named below; none was tuned for accuracy.

The scale `small` has ResNet-8 from ResNet-20, two fifths of the images at half their size, 5 epochs for students and 20
for teachers. Compare the order of its gains with that of the published ones, but not their sizes.

Choices where the sources leave room, beside those of `methods_plan`:

1. ResNet-32x4 and ResNet-8x4 have 64 channels in their first convolution, and not 32. Shortcuts of residual networks
   have no parameters. Momentum is Nesterov's.
2. FSP is a first phase of an eighth of the epochs, whose gradient has at most the norm 1; labels follow. It needs equal
   channels.
3. The weight of AT is 1000 for 32 x 32 images and 250 for 16 x 16, whose maps have a quarter of the places. That of
   FitNet is 1: the published 100 is for a regressor with batch normalisation, and diverges with ours, which has none.
4. DKD and reviews rise over the first twelfth of the epochs, as in their code.
5. Control arms: label smoothing of 0.1, labels for about as long as KD takes, and KD from a teacher with the student's
   own network, which is the teacher-free distillation of Yuan et al. 2020 (Tf-KD, self-training).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from instar.papers.compared_nets import four_times_net, plain_net, residual_net, wide_residual_net
from instar.papers.furlanello2018 import Net
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

TITLE = "Methods of distillation on CIFAR-100 (Tian et al. 2020, table 1, and its successors)"
DATA = "uoft-cs/cifar100"

RECIPE: dict[str, Any] = STEP_TRAINING | {
    "learning_rate": 0.05,
    "weight_decay": 5e-4,
    "batch_size": 64,
    "milestones": (150 / 240, 180 / 240, 210 / 240),
}
WARMUP_SHARE = 20 / 240
"""Share of the epochs in which DKD and reviews rise."""

_PUBLISHED = {
    TEACHER: (75.61, 75.61, 72.34, 74.31, 79.42, 74.64),
    LABELS: (73.26, 71.98, 69.06, 71.14, 72.50, 70.36),
    "kd": (74.92, 73.54, 70.66, 73.08, 73.33, 72.98),
    "fitnet": (73.58, 72.24, 69.21, 71.06, 73.50, 71.02),
    "at": (74.08, 72.77, 70.55, 72.31, 73.44, 71.43),
    "sp": (73.83, 72.43, 69.67, 72.69, 72.94, 72.68),
    "rkd": (73.35, 72.22, 69.61, 71.82, 71.90, 71.48),
    "vid": (74.11, 73.30, 70.38, 72.61, 73.09, 71.23),
    "pkt": (74.54, 73.45, 70.34, 72.61, 73.64, 72.88),
    "fsp": (72.91, None, 69.95, 71.89, 72.62, 70.23),
    "crd": (75.48, 74.14, 71.16, 73.48, 75.51, 73.94),
    "review": (76.12, 75.09, 71.89, 73.89, 75.63, 74.84),
    "dkd": (76.23, 74.81, 71.97, 74.11, 76.32, 74.68),
    "dist": (None, 74.43, 71.75, None, 76.31, None),
    "standardised": (76.11, 74.37, 71.43, 74.17, 76.62, 74.36),
}
"""Accuracies by the name of the method, for each of the pairs; None where no source has one."""


_WEIGHTS = {"WRN-16-2": (6, 5), "WRN-40-1": (6, 5), "ResNet-8x4": (8, 5), "VGG8": (6, 5)}
"""Weights of the other classes in DKD, and of reviews, that their sources choose for some students."""
_OTHER_WEIGHTS = (2, 0.6)
"""Those of the other students."""


def make_methods(pair: NetPair, size: MethodsScale) -> list[Method]:
    """Return the rows of a pair."""
    others, reviews = _WEIGHTS.get(pair.student.name, _OTHER_WEIGHTS)
    stages = [f"stage{number}" for number in range(1, 5 if pair.student.family == "vgg" else 4)]
    pooled, rise = write_pairs("pooled"), f"{WARMUP_SHARE:.4f}"
    taught = {
        "kd": ("KD", KD_OBJECTIVE),
        "fitnet": ("FitNet", f"HardLabels() + Hints({write_pairs('stage2')})"),
        "at": ("AT", f"HardLabels() + {size.attention_weight:g} * AttentionTransfer()"),
        "sp": ("SP", f"HardLabels() + 3000 * SimilarityPreserving({write_pairs(stages[-1])})"),
        "rkd": ("RKD", f"HardLabels() + Relational({pooled})"),
        "vid": ("VID", "HardLabels() + VariationalInformation()"),
        "pkt": ("PKT", f"HardLabels() + 30000 * ProbabilisticTransfer({pooled})"),
        "crd": ("CRD", f"HardLabels() + 0.8 * Contrastive({pooled})"),
        "review": (
            "ReviewKD",
            f"HardLabels() + warmup({reviews:g}, {rise}) * ReviewDistillation({write_pairs(*stages, 'pooled')})",
        ),
        "dkd": ("DKD", f"HardLabels() + warmup(1, {rise}) * DecoupledKD(beta={others:g})"),
        "dist": ("DIST", "HardLabels() + Correlation(2, 2, 4)"),
        "standardised": ("KD, standardised logits", "0.1 * HardLabels() + 9 * Standardised(SoftTargets(2))"),
    }
    flow = f"FlowOfSolution({write_pairs('stem', *stages)})"
    phases = [
        Method("flow", "", flow, TEACHER, longer=1 / 8, training=FLOW_TRAINING),
        Method("fsp", "FSP", start="flow"),
    ]
    has_flow = pair.teacher.arguments.get("width") == pair.student.arguments.get("width")  # equal channels
    return [
        Method(LABELS, "student from labels"),
        *(Method(name, title, objective, TEACHER) for name, (title, objective) in taught.items()),
        *(phases if has_flow else ()),
        Method("smoothing", "control: label smoothing 0.1", "HardLabels(0.1)"),
        Method("longer", f"control: labels for {size.longer:g} times the epochs", longer=size.longer),
        # with a seed of its own, because a student that starts as its teacher did and sees its views would repeat it
        Method("other-labels", "", number=2),
        Method("own", "control: teacher-free, KD from its own network", KD_OBJECTIVE, "other-labels"),
    ]


CLAIMS = (
    *((name, "kd") for name in _PUBLISHED if name not in (TEACHER, LABELS, "kd")),
    ("kd", LABELS),
    # the controls, about which the sources claim nothing
    *(("kd", control) for control in ("smoothing", "longer", "own")),
)
"""Pairs of methods, the better one first; on the mean of the published pairs, CRD and those after it beat KD."""


def _pair(number: int, teacher: Net, student: Net) -> NetPair:
    published = {name: found for name, numbers in _PUBLISHED.items() if (found := numbers[number]) is not None}
    return NetPair(teacher, student, published)


PAIRS = (
    _pair(0, wide_residual_net(40, 2), wide_residual_net(16, 2)),
    _pair(1, wide_residual_net(40, 2), wide_residual_net(40, 1)),
    _pair(2, residual_net(56), residual_net(20)),
    _pair(3, residual_net(110), residual_net(32)),
    _pair(4, four_times_net(32), four_times_net(8)),
    _pair(5, plain_net(13), plain_net(8)),
)

SCALES: dict[str, MethodsScale] = {
    "smoke": MethodsScale(2, 1, (NetPair(residual_net(14), residual_net(8)),), {"subset": 200}, "Crop(1) + Flip()"),
    "small": MethodsScale(
        3,
        5,
        (NetPair(residual_net(20), residual_net(8)),),
        {"subset": 20_000, "image_size": (16, 16)},
        "Crop(2, 'zero') + Flip()",
        FAST_TRAINING,
        teacher_longer=4,
    ),
    "gpu": MethodsScale(3, 240, PAIRS[2:3], views="Crop(4, 'zero') + Flip()", training=FAST_TRAINING),
    "paper": MethodsScale(3, 240, PAIRS, views="Crop(4, 'zero') + Flip()", training=FAST_TRAINING),
}


def run(order: Order) -> Table:
    """Train the missing runs, and return the table."""
    size = SCALES[order.scale]
    # of the two columns of labels; the table may be tried on digits, which have no columns
    column = None if order.data == "digits" else "fine_label"
    size = replace(size, data={"label_column": column, **size.data})
    parts: list[tuple[MethodsPlan, NetPair]] = []
    for pair in order.chosen(size.pairs):
        plan = size.plan(order, RECIPE, make_methods(pair, size), "test accuracy")
        for wave in plan.waves([pair]):
            order.train(wave)
        parts.append((plan, pair))
    rows = [row for plan, pair in parts for row in plan.rows(pair, {LABELS: "labels", "kd": "KD"})]
    findings = [plan.judge(pair, CLAIMS) for plan, pair in parts]
    return Table(TITLE, tuple(rows), "\n\n".join(filter(None, findings)))
