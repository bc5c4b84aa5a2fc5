"""Furlanello et al. 2018, "Born-again neural networks", table 1: CIFAR-10.

Published numbers are test errors in %, apparently of one seed per cell. The paper calls BAN systematically lower or
equal; three of its eight networks are worse. The choices in `furlanello2018` hold here too.
"""

from __future__ import annotations

from instar.papers.claims import judge_claim
from instar.papers.furlanello2018 import Net
from instar.papers.furlanello2018_cifar100 import CifarScale, dense_net, make_plan, own_rows, wide_net
from instar.papers.table import FAST_TRAINING, Order, Table

TITLE = "Furlanello et al. 2018, table 1: CIFAR-10"
DATA = "uoft-cs/cifar10"

NETS = (
    wide_net(1, 6.69, 6.64),
    wide_net(2, 5.06, 4.86),
    wide_net(5, 4.13, 4.03),
    wide_net(10, 3.77, 3.86),
    dense_net(112, 33, {"teacher": 3.84, "ban": 3.61}),
    dense_net(90, 60, {"teacher": 3.81, "ban": 3.50}),
    dense_net(80, 80, {"teacher": 3.48, "ban": 3.49}),
    dense_net(80, 120, {"teacher": 3.37, "ban": 3.54}),
)
_TINY_WIDE_RESNET = Net("WRN-10-1", "wide-resnet", {"depth": 10, "width": 1})

SCALES = {
    "smoke": CifarScale(2, 1, (), (_TINY_WIDE_RESNET,), data={"subset": 200}, views="Crop(1) + Flip()"),
    # as in tables 2 to 5: a tenth of the images at half their size
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
    """Train the missing runs, and return the table; `make_plan` chooses the source of the targets."""
    size = SCALES[order.scale].of(order)
    plan = make_plan(size, order)
    for wave in plan.waves(size.own, (), ("ban-1",)):
        order.train(wave)
    rows = [row for net in size.own for row in own_rows(plan, net, "1")]
    claims = [
        judge_claim(f"{net.name}, BAN < teacher", plan.errors(net, "ban-1"), plan.errors(net, "teacher"))
        for net in (size.own if len(plan.seeds) > 1 else ())
    ]
    return Table(TITLE, tuple(rows), " ".join(claims))
