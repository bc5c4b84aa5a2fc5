"""Furlanello et al. 2018, "Born-again neural networks", tables 2 to 5: CIFAR-100.

Published numbers are test errors in %, apparently of one seed per cell. The scale `small` repeats the comparisons with
a network and data that two cores can train thirty times: a wider ResNet-8, and a tenth of the images at half their
size. Compare its gains over the teacher with the paper's, but not its absolute errors. The scale `unsettled` has the
arms of `small` whose order three seeds do not settle, and `lineage` its generations on twice the images, as a check of
size. The choices in `furlanello2018` hold here too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from statistics import mean
from typing import Any

from instar.papers.claims import compare_arms, judge_claim
from instar.papers.furlanello2018 import TRAINED_ARMS, GenerationsPlan, Net, Pair
from instar.papers.table import FAST_TRAINING, Order, Table, TableRow
from instar.stages.arguments import shared_target_settings

TITLE = "Furlanello et al. 2018, tables 2 to 5: CIFAR-100"
DATA = "uoft-cs/cifar100"

WIDE_RESNET_TRAINING = {
    "optimiser": "sgd",
    "learning_rate": 0.1,
    "momentum": 0.9,
    "weight_decay": 5e-4,
    "batch_size": 128,
    "schedule": "step",
    "factor": 0.2,
    "log_every": 200,
}
"""The paper's recipe, taken from Wide-ResNet: the learning rate falls to a fifth at 30, 60 and 80% of the epochs."""

ROW_TITLES = {
    "teacher": "teacher",
    "ban": "BAN",
    "ban+l": "BAN+L",
    "cwtm": "CWTM",
    "dkpp": "DKPP",
    "ban-1": "BAN-1",
    "ban-2": "BAN-2",
    "ban-3": "BAN-3",
    "ens2": "Ens*2",
    "ens3": "Ens*3",
    "smoothing": "control: label smoothing 0.1",
    "labels-2": "control: labels again, another seed",
    "labels-ens2": "control: ensemble of 2 from labels",
    "labels-ens3": "control: ensemble of 3 from labels",
}
"""Titles of the rows of table 2 by arm, then of the control arms; BAN and BAN-1 are one run."""


def dense_net(depth: int, growth: int, published: Mapping[str, float]) -> Net:
    """Return DenseNet-`depth`-`growth` with its published errors, by the name of the arm."""
    arguments, note = {"depth": depth, "growth": growth, "third_transition": True}, ""
    # no reading of 112-33 gives the published 6.3M parameters; 106-33, which the text also writes, has them without the
    # third transition that the others need
    if (depth, growth) == (112, 33):
        arguments = {"depth": 106, "growth": 33}
        note = "read as 106-33 without a third transition, for its published size"
    return Net(f"DenseNet-{depth}-{growth}", "densenet", arguments, published, note)


_DENSENET_ARMS = ("teacher", "ban", "ban+l", "cwtm", "dkpp", "ban-1", "ban-2", "ban-3", "ens2", "ens3")
DENSENETS = tuple(
    dense_net(*shape, {arm: error for arm, error in zip(_DENSENET_ARMS, errors, strict=True) if error})
    for shape, errors in {
        (112, 33): (18.25, 16.95, 17.68, 17.84, 17.84, 17.61, 17.22, 16.59, 15.77, 15.68),
        (90, 60): (17.69, 16.69, 16.93, 17.42, 17.43, 16.62, 16.44, 16.72, 15.39, 15.74),
        (80, 80): (17.16, 16.36, 16.50, 17.16, 16.84, 16.26, 16.30, 15.50, 15.46, 15.14),
        (80, 120): (16.87, 16.00, 16.41, 17.12, 16.34, 16.13, 16.13, 0, 15.13, 14.90),  # the paper has no BAN-3
    }.items()
)
"""Networks of table 2."""


def wide_net(width: int, teacher: float, ban: float) -> Net:
    """Return WRN-28-`width` with the dropout of its recipe and its published errors in %."""
    arguments = {"depth": 28, "width": width, "dropout": 0.3}
    return Net(f"WRN-28-{width}", "wide-resnet", arguments, {"teacher": teacher, "ban": ban})


def _variant(name: str, published: float, **arguments: Any) -> Net:
    # a DenseNet of table 4; with another compression its size is not the published one, however the paper is read
    note = "its compression is our reading" if "compression" in arguments else ""
    return Net(name, "densenet", {"stem": 120, "third_transition": True} | arguments, {"ban": published}, note)


def _residual(name: str, labels: float, ban: float, units: int, ratio: float, *, bottleneck: bool = False) -> Net:
    # a ResNet of table 5, whose stages have the widths of DenseNet-90-60
    arguments = {"units": units, "ratio": ratio, "bottleneck": bottleneck}
    note = "its widths are our reading" if bottleneck else ""
    return Net(name, "ban-resnet", arguments, {"labels": labels, "ban": ban}, note)


def _tables_3_to_5() -> tuple[tuple[Net, ...], tuple[Pair, ...]]:
    """Return the WRNs of table 3, which teach themselves, and all pairs of teacher and student."""
    # by width: errors of the teacher, of its BAN, and of a DenseNet-90-60 that it teaches
    wides = {1: (30.05, 29.43, 24.93), 2: (25.32, 24.38, 18.49), 5: (20.88, 20.93, 17.52), 10: (19.08, 18.25, 16.79)}
    nets = tuple(wide_net(width, teacher, ban) for width, (teacher, ban, _) in wides.items())
    dense = DENSENETS[1]
    students = [
        Pair("3", net, Net(dense.name, dense.family, dense.arguments, {"ban": found[2]}))
        for net, found in zip(nets, wides.values(), strict=True)
    ]
    # a multiple of the 14 units per stage of DenseNet-90-60; the growth falls, so that stages keep their channels
    for times, published in ((0.5, 16.95), (2, 16.43), (3, 16.64), (4, 16.64)):
        deeper = {"units": [int(14 * times)] * 3, "growth": int(60 / times)}
        students.append(Pair("4", dense, _variant(f"depth x {times:g}", published, **deeper)))
    for times, published in ((0.5, 19.83), (0.75, 17.30), (1.5, 18.89)):
        compression = {"units": [14] * 3, "growth": 60, "compression": times / 2}  # a multiple of the usual 1/2
        students.append(Pair("4", dense, _variant(f"compression x {times:g}", published, **compression)))
    # the paper's reference without a teacher; its pair names one, which it does not use
    deep = Net("ResNet-1001", "preact-resnet", {"depth": 1001, "bottleneck": True}, {"labels": 22.71})
    students.append(Pair("5", dense, deep, ("labels",)))
    students += [
        Pair("5", dense, net, ("labels", "ban"))
        for net in (
            _residual("Pre-ResNet-14-0.5", 20.28, 18.80, 14, 0.5, bottleneck=True),
            _residual("Pre-ResNet-14-1", 18.84, 17.39, 14, 1.0, bottleneck=True),
            _residual("WRN-1-1", 20.40, 19.12, 1, 1.0),
            _residual("Match-WRN-2-1", 18.83, 17.42, 2, 1.0),
            _residual("WRN-4-0.5", 19.63, 17.13, 4, 0.5),
            _residual("WRN-4-1", 18.77, 17.18, 4, 1.0),
        )
    ]
    return nets, tuple(students)


@dataclass(frozen=True)
class CifarScale:
    """Amount of work for a table.

    Args:
        seeds: lineages per network.
        epochs: epochs of every run.
        core: networks of table 2.
        own: networks of table 3, which teach themselves.
        pairs: teachers and students of tables 3 to 5.
        data: settings of the data, without the source.
        views: augmentation.
        training: settings that differ from the recipe.
        arms: what is trained of each network of table 2 beside its teacher.
    """

    seeds: int
    epochs: int
    core: tuple[Net, ...]
    own: tuple[Net, ...] = ()
    pairs: tuple[Pair, ...] = ()
    data: dict[str, Any] = field(default_factory=dict)
    views: str = "Crop(4) + Flip()"
    training: dict[str, Any] = field(default_factory=dict)
    arms: tuple[str, ...] = TRAINED_ARMS

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the networks that the rows are about."""
        # each once and in the order of the tables: a network may be in several
        nets = [net.name for net in (*self.core, *self.own)]
        return tuple(dict.fromkeys([*nets, *(pair.name for pair in self.pairs)]))

    def of(self, order: Order) -> CifarScale:
        """Return the scale with only the networks of an order."""
        core, own, pairs = order.chosen(self.core), order.chosen(self.own), order.chosen(self.pairs)
        return replace(self, core=core, own=own, pairs=pairs)


_WIDE_RESNETS, _STUDENT_PAIRS = _tables_3_to_5()
_TINY_DENSENET = Net("DenseNet-tiny", "densenet", {"depth": 10, "growth": 4, "stem": 8, "third_transition": True})
_TINY_BAN_RESNET = Net("BAN-ResNet-tiny", "ban-resnet", {"stem": 8, "widths": [6, 5, 4]})
_SMALL_RESNET = Net("ResNet-8 of width 32", "resnet", {"depth": 8, "width": 32})
_SMALL = CifarScale(
    3,
    60,
    (_SMALL_RESNET,),
    data={"subset": 5000, "image_size": (16, 16)},
    views="Crop(2) + Flip()",
    training=FAST_TRAINING,
)

SCALES = {
    "smoke": CifarScale(
        2,
        1,
        (_TINY_DENSENET,),
        (Net("WRN-10-1", "wide-resnet", {"depth": 10, "width": 1}),),
        (
            Pair("4", _TINY_DENSENET, Net("depth x 2", "densenet", {"units": [2] * 3, "growth": 2, "stem": 8})),
            Pair("5", _TINY_DENSENET, _TINY_BAN_RESNET, ("labels", "ban")),
        ),
        {"subset": 200},
        "Crop(1) + Flip()",
    ),
    "small": _SMALL,
    "unsettled": replace(_SMALL, seeds=5, arms=("ban-1", "ban+l", "cwtm", "dkpp", "smoothing")),
    "lineage": replace(_SMALL, seeds=1, data=_SMALL.data | {"subset": 10_000}, arms=("ban-1", "ban-2", "ban-3")),
    "gpu": CifarScale(1, 200, (_WIDE_RESNETS[0],), training=FAST_TRAINING | {"compile": True}),
    "paper": CifarScale(3, 200, DENSENETS, _WIDE_RESNETS, _STUDENT_PAIRS, training=FAST_TRAINING | {"compile": True}),
}


def run(order: Order) -> Table:
    """Train the missing runs, and return the table; `make_plan` chooses the source of the targets."""
    size = SCALES[order.scale].of(order)
    # of the two columns of labels; the table may be tried on digits, which have no columns
    plan = make_plan(size, order, label_column=None if order.data == "digits" else "fine_label")
    for wave in [*plan.waves(size.core, size.pairs, size.arms), *plan.waves(size.own, (), ("ban-1",))]:
        order.train(wave)
    core = [(net, _core_errors(plan, net, size.arms)) for net in size.core]
    rows = [row for net, errors in core for row in _core_rows(net, errors)]
    rows += [row for net in size.own for row in own_rows(plan, net, "3")]
    rows += [row for pair in size.pairs for row in _pair_rows(plan, pair)]
    return Table(TITLE, tuple(rows), _findings(core, len(plan.seeds)))


def make_plan(size: CifarScale, order: Order, label_column: str | None = None) -> GenerationsPlan:
    """Return the stages of a scale, with the published schedule stretched to its epochs.

    By default students query their teacher at each step. A store holds one view per epoch, the same views that live
    students see, and arms with the same teacher and seed share it.
    """
    # the paper trains on all 50,000 images, so the validation images are among them and decide nothing
    shared = {"source": order.data, "label_column": label_column, "validation": 0.1, "train_on_all": True}
    milestones = [size.epochs * share for share in (0.3, 0.6, 0.8)]
    training = (
        WIDE_RESNET_TRAINING
        | {"epochs": size.epochs, "milestones": milestones, "evaluate_every": size.epochs}
        | size.training
    )
    targets = order.targets or "online"
    # as many views as epochs: then no student sees a view twice, as without a store
    stored = {} if targets == "online" else {"num_views": size.epochs} | shared_target_settings(order.out, targets)
    seeds = order.seed_numbers(size.seeds)
    return GenerationsPlan(order.out, shared | size.data, training, size.views, seeds, stored)


def _core_errors(plan: GenerationsPlan, net: Net, arms: Sequence[str]) -> dict[str, list[float]]:
    """Return the errors of all arms of a network, in the order of their rows."""
    errors = {arm: plan.errors(net, arm) for arm in ("teacher", *arms, *plan.combine(net, arms))}
    errors["ban"] = errors["ban-1"]  # two rows of the paper and one run here
    return {arm: errors[arm] for arm in ROW_TITLES if arm in errors}


def _core_rows(net: Net, errors: Mapping[str, Sequence[float]]) -> list[TableRow]:
    rows = [
        TableRow(f"{net.name}: {ROW_TITLES[arm]}", "test error", "%", net.published.get(arm), found, note=net.note)
        for arm, found in errors.items()
    ]
    gains = _published_gains()
    return rows + [
        compare_arms(f"{net.name}: {ROW_TITLES[arm]} over the teacher", found, errors["teacher"], gains.get(arm))
        for arm, found in errors.items()
        if arm not in ("teacher", "ban")
    ]


def own_rows(plan: GenerationsPlan, net: Net, table: str) -> list[TableRow]:
    """Return the errors of a network and of its BAN, and the gain of the BAN."""
    teacher, ban = plan.errors(net, "teacher"), plan.errors(net, "ban-1")
    return [
        TableRow(f"table {table}, {net.name}: teacher", "test error", "%", net.published.get("teacher"), teacher),
        TableRow(f"table {table}, {net.name}: BAN", "test error", "%", net.published.get("ban"), ban),
        compare_arms(f"table {table}, {net.name}: BAN over the teacher", ban, teacher, _difference(net.published)),
    ]


def _findings(core: Sequence[tuple[Net, Mapping[str, Sequence[float]]]], seeds: int) -> str:
    if seeds < 2:  # one seed says nothing about others
        return ""
    sentences = []
    for net, errors in core:
        claims = [("BAN < teacher", "ban-1", "teacher"), ("Ens*3 < BAN-3", "ens3", "ban-3")]
        # the published order of the arms, best first: each claim is about two neighbours
        order = ("ban-1", "ban+l", "dkpp", "cwtm", "teacher")
        claims += [(f"{ROW_TITLES[a]} < {ROW_TITLES[b]}", a, b) for a, b in pairwise(order)]
        # the controls, about which the paper claims nothing
        claims += [
            ("BAN < label smoothing", "ban-1", "smoothing"),
            ("BAN < labels again", "ban-1", "labels-2"),
            ("Ens*2 < ensemble of 2 from labels", "ens2", "labels-ens2"),
            ("Ens*3 < ensemble of 3 from labels", "ens3", "labels-ens3"),
        ]
        known = [claim for claim in claims if {claim[1], claim[2]} <= errors.keys()]
        found = " ".join(judge_claim(claim, errors[better], errors[worse]) for claim, better, worse in known)
        sentences.append(f"The paper's claims, on {net.name} over {seeds} paired seeds: {found}")
    return "\n\n".join(sentences)


def _pair_rows(plan: GenerationsPlan, pair: Pair) -> list[TableRow]:
    name, net = f"table {pair.table}, {pair.student.name}", pair.student
    words = {"ban": f"BAN of {pair.teacher.name}", "labels": "from labels"}
    return [
        TableRow(
            f"{name}: {words[arm]}",
            "test error",
            "%",
            net.published.get(arm),
            plan.errors(net, f"{arm}-of-{pair.teacher.folder}"),
            note=net.note,
        )
        for arm in pair.arms
    ]


def _published_gains() -> dict[str, float]:
    # the paper states gains as averages over its networks, so each is over those that have the arm
    found = {}
    for arm in ROW_TITLES:
        gains = [net.published["teacher"] - net.published[arm] for net in DENSENETS if arm in net.published]
        if gains:
            found[arm] = round(mean(gains), 2)
    return found


def _difference(published: Mapping[str, float]) -> float | None:
    return round(published["teacher"] - published["ban"], 2) if {"teacher", "ban"} <= published.keys() else None
