"""A transform of the user's or of a library, such as torchvision, as a view."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from instar.checks import checked
from instar.data.views.transform import as_transform
from instar.data.views.view import View, require_images
from instar.errors import ConfigError, MismatchError, shortened
from instar.seeds import Draws

NUM_PROBES = 8
"""Images and random seeds that a transform is tried with, before it transforms the data."""

_OTHER_COLOURS = ("P", "HSV", "YCbCr")


@checked
@dataclass(frozen=True)
class Wrapped(View):
    """Apply a transform of torchvision (v1 or v2), or any function from one image to one image.

    Before each image, the global generators of `random`, NumPy and torch (on the CPU) are seeded from (seed, id, view);
    afterwards they are as they were. So a transform that draws from them is as pure as any view. One with a generator
    of its own, which gives other images when it is called again, is refused.

    Images are transformed one by one on the CPU, which takes several times as long as a view of Instar. So wrap what
    Instar lacks, and nothing else.

    A text names the transform: `Wrapped(package.module:function)`, or `Wrapped(package.module:Name(3))` for what a
    class or an annotated function makes. In Python it may be any object, which a run folder records by its class and
    a hash of what it holds.

    Args:
        transform: function from an image to an image with as many channels and the same dtype. All results have one
            size.
        takes: what the transform gets: "tensor" `[channels, height, width]` in the dtype of the data, or "pillow", an
            image of Pillow. It may return either.

    Raises:
        ConfigError: when the transform fails, is not a function of the seed, or returns something else.
        MismatchError: when inputs are not images, or are no grey or RGB pixels for Pillow.

    >>> def brighten(image: Tensor) -> Tensor:
    ...     return image + torch.randint(10, (1,), dtype=torch.uint8)
    >>> images = torch.zeros(2, 1, 1, 1, dtype=torch.uint8)
    >>> Wrapped(brighten)(images, Draws(seed=0, ids=torch.tensor([4, 7]), view=0)).flatten().tolist()
    [2, 4]
    """

    transform: Callable[..., Any]
    takes: Literal["tensor", "pillow"] = "tensor"

    def __post_init__(self) -> None:
        object.__setattr__(self, "transform", as_transform(self.transform))

    def __call__(self, inputs: Tensor, draws: Draws) -> Tensor:
        """Transform each image by its own random numbers."""
        require_images(inputs, "Wrapped")
        wanted = _find_shape(self, tuple(inputs.shape[1:]), inputs.dtype)
        found = self.transform_each(inputs.cpu(), draws.bits("wrapped").tolist())
        for image in found:
            if image.shape != wanted:
                raise ConfigError(self._describe_sizes(wanted, image.shape))
        return torch.stack(found).to(inputs.device)

    def shape(self, given: tuple[int, ...]) -> tuple[int, ...]:
        """Return (channels, height, width) of the result, tried on an image of the shape `given`."""
        if len(given) != 3:
            return given
        try:
            return tuple(_find_shape(self, given, torch.uint8))
        except (ConfigError, MismatchError) as error:
            try:  # a transform may need floats, and the shape does not tell which there are
                return tuple(_find_shape(self, given, torch.float32))
            except (ConfigError, MismatchError):
                raise error from None

    def transform_each(self, images: Tensor, seeds: Sequence[int]) -> list[Tensor]:
        """Return the transformed images, each with its own seed; the global generators stay as they are."""
        with _restored_generators():
            return [self._transform_one(image, seed) for image, seed in zip(images, seeds, strict=True)]

    def _transform_one(self, image: Tensor, seed: int) -> Tensor:
        given = image.clone() if self.takes == "tensor" else _to_pillow(image)  # a transform may work in place
        _seed_generators(seed)
        try:
            found = self.transform(given)
        except Exception as error:  # it may run any code
            raise ConfigError(
                f"{self} failed on an image {list(image.shape)} of {image.dtype}: {shortened(error).rstrip('.')}."
            ) from error
        if isinstance(found, Image.Image):
            found = _from_pillow(found, "L" if len(image) == 1 else "RGB")
        if not isinstance(found, Tensor) or found.dim() != 3 or len(found) != len(image) or found.dtype != image.dtype:
            shown = f"{found.dtype} {list(found.shape)}" if isinstance(found, Tensor) else type(found).__name__
            raise ConfigError(
                f"{self} must return an image with {len(image)} channels of {image.dtype}, got {shown}; leave out "
                "ToTensor, ToDtype and Normalize, which the reader of a model does."
            )
        # a copy, because some transforms write every image into the same memory; torchvision's are of a subclass
        return found.detach().as_subclass(Tensor).clone()

    def _describe_sizes(self, *shapes: Sequence[int]) -> str:
        sizes = " and ".join(" x ".join(map(str, shape[1:])) for shape in shapes)
        return f"{self} gives images of {sizes} pixels; end it with a resize or a crop to one size."


@cache
def _find_shape(view: Wrapped, given: tuple[int, ...], dtype: torch.dtype) -> torch.Size:
    """Return the shape of transformed images; refuse a transform that is no function of the seed."""
    pixels = (torch.arange(given[0] * given[1] * given[2]) * 7 % 256).view(given)
    image = pixels.to(dtype) if dtype == torch.uint8 else pixels.to(dtype) / 255
    # each another image, because a transform may keep something of the one before
    images, seeds = torch.stack([image.roll(shift, -1) for shift in range(NUM_PROBES)]), range(NUM_PROBES)
    found = view.transform_each(images, seeds)
    again = view.transform_each(images.flip(0), seeds[::-1])[::-1]
    for one, other in zip(found, again, strict=True):
        if one.shape != found[0].shape:
            raise ConfigError(view._describe_sizes(found[0].shape, one.shape))
        if not torch.equal(one, other):
            raise ConfigError(
                f"{view} gives other images when it is called again with the same seed; it must draw its random "
                "numbers from random, numpy.random or torch, without a generator of its own, and keep nothing between "
                "calls."
            )
    return found[0].shape


def _to_pillow(image: Tensor) -> Image.Image:
    if image.dtype != torch.uint8 or len(image) not in (1, 3):
        raise MismatchError(
            f"Wrapped(takes='pillow') needs grey or RGB images with pixels 0..255 (uint8), got {len(image)} channels "
            f"of {image.dtype}; give takes='tensor'."
        )
    pixels = image.movedim(0, -1).contiguous().numpy()
    return Image.fromarray(pixels[:, :, 0] if len(image) == 1 else pixels)


def _from_pillow(image: Image.Image, mode: str) -> Tensor:
    if image.mode in _OTHER_COLOURS:  # their numbers are no grey and no RGB
        image = image.convert(mode)
    pixels = torch.from_numpy(np.array(image))
    return (pixels[None] if pixels.dim() == 2 else pixels.movedim(-1, 0)).contiguous()


def _seed_generators(seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed & 0xFFFFFFFF)
    # not torch.manual_seed, which prepares the seeds of accelerators too, in many times the time
    torch.default_generator.manual_seed(seed)


@contextmanager
def _restored_generators() -> Iterator[None]:
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.set_rng_state(states[2])
