"""Random rotations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from instar.checks import checked
from instar.data.views.view import View, require_images
from instar.data.views.warp import warp_images
from instar.errors import MismatchError
from instar.seeds import Draws

Degrees = Annotated[float, Field(ge=0, le=180, description="from 0 to 180")]


@checked
@dataclass(frozen=True)
class Rotate(View):
    """Rotate about the centre by an angle uniform in [-degrees, degrees], and fill with zeros.

    Pixels are interpolated bilinearly; size and shape stay.

    >>> image = torch.tensor([[[[0, 0, 0], [9, 9, 9], [0, 0, 0]]]], dtype=torch.uint8)
    >>> Rotate(45)(image, Draws(seed=0, ids=torch.tensor([3]), view=0))[0, 0].tolist()
    [[4, 2, 0], [4, 9, 4], [0, 2, 4]]
    """

    degrees: Degrees = 15.0

    def __call__(self, inputs: Tensor, draws: Draws) -> Tensor:
        """Rotate each image by its own angle."""
        require_images(inputs, "Rotate")
        if inputs.dtype != torch.uint8 and not inputs.is_floating_point():
            raise MismatchError(f"Rotate interpolates pixels 0..255 or floats, got {inputs.dtype}.")
        angles = (2 * draws.uniform("angle") - 1) * (self.degrees * torch.pi / 180)
        return warp_images(inputs, rotation(angles))


def rotation(angles: Tensor) -> Tensor:
    """Return matrices `[batch, 2, 3]` that rotate counterclockwise by `angles` in radians, float32."""
    cosine, sine, zero = angles.cos(), angles.sin(), torch.zeros_like(angles)
    # from a pixel of the result to the pixel that it comes from; rows count downwards
    return torch.stack([cosine, -sine, zero, sine, cosine, zero], 1).view(-1, 2, 3).float()
