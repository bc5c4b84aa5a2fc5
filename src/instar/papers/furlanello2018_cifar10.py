"""Furlanello et al. 2018, "Born-again neural networks", table 1: CIFAR-10.

Published numbers are test errors in %, apparently of one seed per cell. The paper calls BAN systematically lower or
equal; three of its eight networks are worse. The choices in `furlanello2018` hold here too.
"""

from __future__ import annotations

from instar.papers.furlanello2018 import Net, verdict
from instar.papers.furlanello2018_cifar100 import (
    FAST_TRAINING,
    CifarScale,
    dense_arguments,
    make_plan,
    own_rows,
    wide_net,
)
from instar.papers.table import Order, Table

TITLE = "Furlanello et al. 2018, table 1: CIFAR-10"
DATA = "uoft-cs/cifar10"


def _densenet(depth: int, growth: int, teacher: float, ban: float) -> Net:
    arguments, note = dense_arguments(depth, growth)
    return Net(f"DenseNet-{depth}-{growth}", "densenet", arguments, {"teacher": teacher, "ban": ban}, note)


NETS = (
    wide_net(1, 6.69, 6.64),
    wide_net(2, 5.06, 4.86),
    wide_net(5, 4.13, 4.03),
    wide_net(10, 3.77, 3.86),
    _densenet(112, 33, 3.84, 3.61),
    _densenet(90, 60, 3.81, 3.50),
    _densenet(80, 80, 3.48, 3.49),
    _densenet(80, 120, 3.37, 3.54),
)
_TINY = Net("WRN-10-1", "wide-resnet", {"depth": 10, "width": 1})

SCALES = {
    "smoke": CifarScale(2, 1, (), (_TINY,), data={"subset": 200}, views="Crop(1) + Flip()"),
    "small": CifarScale(
        3,
        60,
        (),
        (Net("ResNet-8", "resnet", {"depth": 8}),),
        data={"subset": 5000, "image_size": (16, 16)},
        views="Crop(2) + Flip()",
        training=FAST_TRAINING,
    ),
    "gpu": CifarScale(3, 200, (), NETS[:1], training=FAST_TRAINING | {"compile": True}),
    "paper": CifarScale(3, 200, (), NETS, training=FAST_TRAINING | {"compile": True}),
}


def run(order: Order) -> Table:
    """Train the runs that are missing, and return the table; `make_plan` chooses the source of the targets."""
    size = SCALES[order.scale].of(order)
    plan = make_plan(size, order)
    for wave in plan.waves(size.own, (), whole=False):
        order.train(wave)
    rows = [row for net in size.own for row in own_rows(plan, net, "1")]
    claims = []
    if len(plan.seeds) > 1:
        errors = [(net.name, plan.errors(net, "ban-1"), plan.errors(net, "teacher")) for net in size.own]
        claims = [verdict(f"{name}, BAN < teacher", ban, teacher) for name, ban, teacher in errors]
    return Table(TITLE, tuple(rows), " ".join(claims))
