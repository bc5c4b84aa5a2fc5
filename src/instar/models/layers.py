"""Layers that several families of convolutional networks share."""

from __future__ import annotations

from torch import Tensor, nn

from instar.models.dropout import Dropout


class GlobalMean(nn.Module):
    """Global average pooling: `[batch, channels, height, width]` to `[batch, channels]`."""

    def forward(self, inputs: Tensor) -> Tensor:
        """Return `[batch, channels]`."""
        return inputs.mean((2, 3))


def activation(channels: int) -> list[nn.Module]:
    """Return the layers of ReLU(BN(x))."""
    # in place, because the backward pass of batch normalisation needs its input, not its output
    return [nn.BatchNorm2d(channels), nn.ReLU(inplace=True)]


def convolution(channels: int, wider: int, size: int, stride: int = 1) -> nn.Conv2d:
    """Return a convolution without bias that keeps height and width, apart from its stride."""
    # batch normalisation or pooling with normalisation follows, which makes a bias useless
    return nn.Conv2d(channels, wider, size, stride, padding=size // 2, bias=False)


def transition(channels: int, wider: int, *, halve: bool) -> nn.Sequential:
    """Return the layers of conv1(ReLU(BN(x))), followed by 2 x 2 average pooling if `halve` is true."""
    return nn.Sequential(*activation(channels), convolution(channels, wider, 1), *([nn.AvgPool2d(2)] if halve else []))


def pooled(channels: int) -> nn.Sequential:
    """Return the global average pooling of ReLU(BN(x)) at the end of a pre-activation network."""
    return nn.Sequential(*activation(channels), GlobalMean())


class PreActivationUnit(nn.Module):
    """y = s(x) + f(a) with a = ReLU(BN(x)); s(x) is x, or a 1x1 convolution of a if the width or size changes.

    Source: He, Zhang, Ren and Sun 2016, "Identity mappings in deep residual networks", figure 4e and the appendix.

    Args:
        channels: input channels.
        wider: output channels.
        stride: stride of the shortcut; `residual` must have the same stride.
        residual: residual function f.
    """

    def __init__(self, channels: int, wider: int, stride: int, residual: nn.Sequential) -> None:
        super().__init__()
        self.activation = nn.Sequential(*activation(channels))
        self.residual = residual
        # without a change of width or size, the sum passes gradients on unchanged through all units of a group
        self.shortcut = convolution(channels, wider, 1, stride) if stride > 1 or channels != wider else None

    def forward(self, inputs: Tensor) -> Tensor:
        """Return `[batch, wider, height / stride, width / stride]`."""
        active = self.activation(inputs)
        shortcut = inputs if self.shortcut is None else self.shortcut(active)
        outputs: Tensor = self.residual(active)
        return outputs.add_(shortcut)  # in place: the backward pass of a convolution needs its input, not its output


def basic_unit(channels: int, wider: int, stride: int = 1, dropout: float = 0.0) -> PreActivationUnit:
    """Return a unit with f = conv3(dropout(ReLU(BN(conv3(a)))))."""
    # dropout stays even with probability 0, so that the names of the weights do not depend on it
    layers = [
        convolution(channels, wider, 3, stride),
        *activation(wider),
        Dropout(dropout),
        convolution(wider, wider, 3),
    ]
    return PreActivationUnit(channels, wider, stride, nn.Sequential(*layers))


def bottleneck_unit(channels: int, wider: int, stride: int = 1) -> PreActivationUnit:
    """Return a unit with f = conv1(ReLU(BN(conv3(ReLU(BN(conv1(a))))))) and wider / 4 inner channels."""
    inner = max(1, wider // 4)
    layers = [
        convolution(channels, inner, 1, stride),  # the stride is in the first convolution, as in the published code
        *activation(inner),
        convolution(inner, inner, 3),
        *activation(inner),
        convolution(inner, wider, 1),
    ]
    return PreActivationUnit(channels, wider, stride, nn.Sequential(*layers))


def initialise_like_he(network: nn.Module) -> None:
    """Draw convolution weights from N(0, 2 / (size^2 channels_out)), and set the biases of linear layers to 0.

    Linear weights and normalisation keep the defaults of torch: uniform within 1 / sqrt(inputs), and scale 1, shift 0.

    Source: He, Zhang, Ren and Sun 2015, "Delving deep into rectifiers", section 2.2, the backward case (fan-out), as in
    the published code of ResNet, Wide-ResNet and DenseNet.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        elif isinstance(module, nn.Linear):
            nn.init.zeros_(module.bias)
