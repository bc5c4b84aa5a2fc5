"""Views: augmentation as a pure function of (seed, id, view).

View 3 of sample 17 is the same tensor in every epoch, on every machine and with any number of workers. So teacher and
student always see the same pixels, and a run that was killed resumes exactly.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from instar.checks import Count, checked
from instar.errors import ConfigError, MismatchError
from instar.expressions import parse
from instar.seeds import Draws, derive


class View(ABC):
    """An augmentation of a batch of inputs. Views add up: `Crop(4) + Flip()` crops, then flips."""

    @abstractmethod
    def __call__(self, inputs: Tensor, draws: Draws) -> Tensor:
        """Return the view of `inputs` `[batch, channels, height, width]`, same shape and dtype, that `draws` decide."""

    def __add__(self, other: View) -> View:
        return Chain((*_parts(self), *_parts(other)))


def _parts(view: View) -> tuple[View, ...]:
    return view.parts if isinstance(view, Chain) else (view,)


@dataclass(frozen=True)
class Chain(View):
    """Several views, one after the other, each with random numbers of its own: `Flip() + Flip()` is no identity."""

    parts: tuple[View, ...]

    def __call__(self, inputs: Tensor, draws: Draws) -> Tensor:
        """Return the view that the last part makes of the view before it."""
        for index, part in enumerate(self.parts):
            inputs = part(inputs, replace(draws, seed=derive(draws.seed, "part", index)) if index else draws)
        return inputs

    def __str__(self) -> str:
        return " + ".join(map(str, self.parts))


@dataclass(frozen=True)
class Identity(View):
    """The samples as they are."""

    def __call__(self, inputs: Tensor, draws: Draws) -> Tensor:
        """Return `inputs`."""
        return inputs


@checked
@dataclass(frozen=True)
class Shift(View):
    """Shift by whole pixels, each axis uniform in [-pixels, pixels], zeros moving in: the jitter of Hinton et al. 2015.

    >>> import torch
    >>> image = torch.arange(9, dtype=torch.uint8).reshape(1, 1, 3, 3)
    >>> Shift(1)(image, Draws(seed=0, ids=torch.tensor([2]), view=0))[0, 0].tolist()
    [[3, 4, 5], [6, 7, 8], [0, 0, 0]]
    """

    pixels: Count = 2

    def __call__(self, inputs: Tensor, draws: Draws) -> Tensor:
        """Return each image at a place of its own."""
        _require_images(inputs, "Shift", self.pixels)
        return _random_window(inputs, self.pixels, "zero", draws)


@checked
@dataclass(frozen=True)
class Crop(View):
    """Pad by `padding` pixels, then cut a window of the old size at random: the augmentation of CIFAR."""

    padding: Count = 4
    mode: Literal["reflect", "zero"] = "reflect"

    def __call__(self, inputs: Tensor, draws: Draws) -> Tensor:
        """Return a window of each padded image."""
        _require_images(inputs, "Crop", self.padding)
        return _random_window(inputs, self.padding, self.mode, draws)


@dataclass(frozen=True)
class Flip(View):
    """Mirror left and right with probability one half."""

    def __call__(self, inputs: Tensor, draws: Draws) -> Tensor:
        """Return half of the images mirrored."""
        _require_images(inputs, "Flip")
        chosen = draws.below(2, "flip").bool()
        return torch.where(chosen[:, None, None, None], inputs.flip(-1), inputs)


VIEWS = {view.__name__: view for view in (Identity, Shift, Crop, Flip)}
"""The views that can be named in a configuration; one line for each new one."""


def as_view(views: str | View) -> View:
    """Return views that a user gave as text or as an object."""
    return views if isinstance(views, View) else parse_views(views)


def parse_views(text: str) -> View:
    """Read views as text.

    >>> parse_views("Crop(4) + Flip()").parts
    (Crop(padding=4, mode='reflect'), Flip())
    """
    view = parse(text, VIEWS, "view")
    if not isinstance(view, View):
        raise ConfigError(f"views '{text}' must be a sum of views, for example 'Crop(4) + Flip()'.")
    return view


def _require_images(inputs: Tensor, name: str, pixels: int = 0) -> None:
    if inputs.dim() != 4:
        raise MismatchError(
            f"view '{name}' needs images [batch, channels, height, width], got inputs of shape {list(inputs.shape)}."
        )
    if pixels > 2 * max(inputs.shape[2:]):  # three images in four would be empty, and padding takes any memory
        size = " x ".join(map(str, inputs.shape[2:]))
        raise ConfigError(f"{name}({pixels}) moves most images of {size} pixels out of sight; give fewer pixels.")


def _random_window(inputs: Tensor, padding: int, mode: Literal["reflect", "zero"], draws: Draws) -> Tensor:
    """Pad all sides, and cut from each sample a window of the old size at a place of its own."""
    height, width = inputs.shape[2:]
    if mode == "reflect":
        rows, columns = _reflected(height, padding, inputs.device), _reflected(width, padding, inputs.device)
        padded = inputs.index_select(2, rows).index_select(3, columns)
    else:
        padded = F.pad(inputs, (padding,) * 4)
    # [batch, channels, places, places, height, width], no copy
    windows = padded.unfold(2, height, 1).unfold(3, width, 1)
    places = 2 * padding + 1
    batch = torch.arange(len(inputs), device=inputs.device)
    return windows[batch, :, draws.below(places, "row"), draws.below(places, "column")]


def _reflected(size: int, padding: int, device: torch.device) -> Tensor:
    """Return the indices of a line of `size` pixels with `padding` more on both sides, mirrored without the edge."""
    if padding >= size:
        raise ConfigError(f"Crop(padding) must be below the image size {size} to reflect, got {padding}.")
    index = torch.arange(-padding, size + padding, device=device).abs()
    return torch.where(index < size, index, 2 * (size - 1) - index)
