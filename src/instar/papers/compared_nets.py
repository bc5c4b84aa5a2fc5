"""Networks of the tables of hidden layers, by their names in the papers."""

from __future__ import annotations

from instar.papers.furlanello2018 import Net


def residual_net(depth: int) -> Net:
    """Return ResNet-`depth`."""
    return Net(f"ResNet-{depth}", "resnet", {"depth": depth})


def wide_residual_net(depth: int, width: int) -> Net:
    """Return WRN-`depth`-`width`."""
    return Net(f"WRN-{depth}-{width}", "wide-resnet", {"depth": depth, "width": width})


def four_times_net(depth: int) -> Net:
    """Return ResNet-`depth`x4, whose stages have four times the channels."""
    return Net(f"ResNet-{depth}x4", "resnet", {"depth": depth, "width": 64})


def plain_net(depth: int) -> Net:
    """Return VGG`depth`."""
    return Net(f"VGG{depth}", "vgg", {"depth": depth})
