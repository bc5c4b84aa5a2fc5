"""Views: augmentations that are pure functions of (seed, id, view).

View 3 of sample 17 is the same tensor in each epoch, on each machine and with any number of workers. So teacher and
student always see the same pixels, and a killed run resumes exactly.
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
    """An augmentation of a batch of inputs. A sum applies views in order: `Crop(4) + Flip()` crops, then flips."""

    @abstractmethod
    def __call__(self, inputs: Tensor, draws: Draws) -> Tensor:
        """Augment `inputs` `[batch, channels, height, width]` by the random numbers `draws`; keep shape and dtype."""

    def __add__(self, other: View) -> View:
        return Chain((*_parts(self), *_parts(other)))


def _parts(view: View) -> tuple[View, ...]:
    return view.parts if isinstance(view, Chain) else (view,)


@dataclass(frozen=True)
class Chain(View):
    """Several views in order, each with its own random numbers, so `Flip() + Flip()` is not the identity."""

    parts: tuple[View, ...]

    def __call__(self, inputs: Tensor, draws: Draws) -> Tensor:
        """Apply all parts in order."""
        # the first part draws as it would alone, so that adding a part does not change what it does
        for index, part in enumerate(self.parts):
            inputs = part(inputs, replace(draws, seed=derive(draws.seed, "part", index)) if index else draws)
        return inputs

    def __str__(self) -> str:
        return " + ".join(map(str, self.parts))


@dataclass(frozen=True)
class Identity(View):
    """No augmentation."""

    def __call__(self, inputs: Tensor, draws: Draws) -> Tensor:
        """Return `inputs` unchanged."""
        return inputs


@checked
@dataclass(frozen=True)
class Shift(View):
    """Shift by whole pixels, uniform in [-pixels, pixels] per axis, and fill with zeros, as in Hinton et al. 2015.

    >>> import torch
    >>> image = torch.arange(9, dtype=torch.uint8).reshape(1, 1, 3, 3)
    >>> Shift(1)(image, Draws(seed=0, ids=torch.tensor([2]), view=0))[0, 0].tolist()
    [[3, 4, 5], [6, 7, 8], [0, 0, 0]]
    """

    pixels: Count = 2

    def __call__(self, inputs: Tensor, draws: Draws) -> Tensor:
        """Shift each image by its own offset."""
        _require_images(inputs, "Shift", self.pixels)
        return _random_window(inputs, self.pixels, "zero", draws)


@checked
@dataclass(frozen=True)
class Crop(View):
    """Pad by `padding` pixels, then crop a random window of the original size: the standard augmentation of CIFAR."""

    padding: Count = 4
    mode: Literal["reflect", "zero"] = "reflect"

    def __call__(self, inputs: Tensor, draws: Draws) -> Tensor:
        """Crop a window from each padded image."""
        _require_images(inputs, "Crop", self.padding)
        return _random_window(inputs, self.padding, self.mode, draws)


@dataclass(frozen=True)
class Flip(View):
    """Mirror left and right with probability one half."""

    def __call__(self, inputs: Tensor, draws: Draws) -> Tensor:
        """Mirror each image with probability one half."""
        _require_images(inputs, "Flip")
        chosen = draws.below(2, "flip").bool()  # [batch]
        return torch.where(chosen[:, None, None, None], inputs.flip(-1), inputs)


VIEWS = {view.__name__: view for view in (Identity, Shift, Crop, Flip)}
"""Views by their names in a configuration; add one line for a new view."""


def as_view(views: str | View) -> View:
    """Return views given as text or as an object."""
    return views if isinstance(views, View) else parse_views(views)


def parse_views(text: str) -> View:
    """Parse the text of views.

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
    # three in four images would be empty, and padding could take any amount of memory
    if pixels > 2 * max(inputs.shape[2:]):
        size = " x ".join(map(str, inputs.shape[2:]))
        raise ConfigError(f"{name}({pixels}) moves most images of {size} pixels out of view; give fewer pixels.")


def _random_window(inputs: Tensor, padding: int, mode: Literal["reflect", "zero"], draws: Draws) -> Tensor:
    height, width = inputs.shape[2:]
    if mode == "reflect":
        # by indices, because F.pad reflects no integers, and pixels stay uint8
        rows, columns = _reflected(height, padding, inputs.device), _reflected(width, padding, inputs.device)
        padded = inputs.index_select(2, rows).index_select(3, columns)
    else:
        padded = F.pad(inputs, (padding,) * 4)
    # [batch, channels, places, places, height, width], no copy; a gather then copies one window per sample
    windows = padded.unfold(2, height, 1).unfold(3, width, 1)
    places = 2 * padding + 1
    batch = torch.arange(len(inputs), device=inputs.device)
    return windows[batch, :, draws.below(places, "row"), draws.below(places, "column")]


def _reflected(size: int, padding: int, device: torch.device) -> Tensor:
    """Return the pixel indices of a line of `size` pixels, reflected by `padding` on both sides without the edge."""
    if padding >= size:
        raise ConfigError(f"Crop(padding) must be below the image size {size} to reflect, got {padding}.")
    index = torch.arange(-padding, size + padding, device=device).abs()
    return torch.where(index < size, index, 2 * (size - 1) - index)
