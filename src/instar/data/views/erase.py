"""Random rectangles that are erased."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from instar.checks import Positive, checked
from instar.data.views.mixing import Probability
from instar.data.views.random_resized_crop import Share, draw_boxes, require_range
from instar.data.views.view import View, require_images
from instar.seeds import Draws


@checked
@dataclass(frozen=True)
class Erase(View):
    """Erase a random rectangle with a probability, as in "Random Erasing" (Zhong et al. 2020).

    The rectangle is filled with zeros, or with `value`. Its area is uniform in `scale`, its width / height log-uniform
    in `ratio`.

    Args:
        probability: share of the images in which a rectangle is erased.
        scale: smallest and largest share of the image's area.
        ratio: smallest and largest width / height of the rectangle.
        value: value of its pixels.

    Raises:
        ConfigError: when a range is not two numbers in ascending order.

    >>> image = torch.ones(1, 1, 4, 4, dtype=torch.uint8)
    >>> Erase(1.0, scale=(0.25, 0.25), ratio=(1, 1))(image, Draws(seed=0, ids=torch.tensor([3]), view=0))[0, 0].tolist()
    [[1, 1, 1, 1], [1, 1, 1, 1], [1, 1, 0, 0], [1, 1, 0, 0]]
    """

    probability: Probability = 0.5
    scale: Sequence[Share] = (0.02, 0.33)
    ratio: Sequence[Positive] = (0.3, 3.3)
    value: Annotated[int, Field(ge=0, le=255, description="a whole number from 0 to 255")] = 0

    def __post_init__(self) -> None:
        for name in ("scale", "ratio"):  # lists of a configuration, which cannot be hashed
            object.__setattr__(self, name, tuple(getattr(self, name)))
            require_range(getattr(self, name), f"Erase({name})")

    def __call__(self, inputs: Tensor, draws: Draws) -> Tensor:
        """Erase the rectangle of each image."""
        require_images(inputs, "Erase")
        height, width = inputs.shape[2:]
        boxes = draw_boxes(height, width, self.scale, self.ratio, draws)
        top, left, tall, wide = (edge[:, None] for edge in boxes.unbind(1))
        rows = torch.arange(height, device=inputs.device)
        columns = torch.arange(width, device=inputs.device)
        chosen = draws.uniform("erase")[:, None] < self.probability
        in_rows = (rows >= top) & (rows < top + tall) & chosen  # [batch, height]
        in_columns = (columns >= left) & (columns < left + wide)  # [batch, width]
        return inputs.masked_fill((in_rows[:, :, None] & in_columns[:, None])[:, None], self.value)
