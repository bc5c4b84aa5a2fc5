"""Random mirroring."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from instar.data.views.view import View, require_images
from instar.data.views.window import is_large
from instar.seeds import Draws


@dataclass(frozen=True)
class Flip(View):
    """Mirror left and right with probability one half."""

    def __call__(self, inputs: Tensor, draws: Draws) -> Tensor:
        """Mirror each image with probability one half."""
        require_images(inputs, "Flip")
        chosen = draws.below(2, "flip").bool()  # [batch]
        if inputs.device.type != "cpu":  # which would wait for an accelerator to count the chosen images
            return torch.where(chosen[:, None, None, None], inputs.flip(-1), inputs)
        if is_large(inputs):
            found = torch.empty_like(inputs, memory_format=torch.contiguous_format)
            for image, mirrored, is_chosen in zip(inputs, found, chosen.tolist(), strict=True):
                mirrored.copy_(image.flip(-1) if is_chosen else image)
            return found
        # by NumPy, so that no operation of torch is one for which an accelerator would wait
        places = torch.from_numpy(chosen.numpy().nonzero()[0])
        mirrored = inputs.clone(memory_format=torch.contiguous_format)
        _as_words(mirrored).index_copy_(0, places, _as_words(inputs.index_select(0, places).flip(-1)))
        return mirrored


def _as_words(images: Tensor) -> Tensor:
    # eight pixels are copied as one number, which takes an eighth of the time
    rows = images.flatten(1)
    return rows.view(torch.int64) if rows.shape[1] * rows.element_size() % 8 == 0 else rows
