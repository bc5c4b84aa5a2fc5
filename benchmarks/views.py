"""Augmentation of 64 images on one CPU core: images per CPU second of Instar over loops by hand over single images.

| case | target |
|---|---|
| Crop(4) + Flip() of 224 x 224 | 10,000 images per CPU second |
| RandomResizedCrop(224) + Flip() + ColorJitter of 256 x 256, with and without hue | at least 1.5 times Pillow |
| the same crop and flip, wrapped | none: what wrapping costs |
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageEnhance
from torch import Tensor

from instar.compute.allocator import freed_memory_kept
from instar.data import View, Wrapped, parse_views
from instar.seeds import Draws
from measure import Measured, Topic, compare, parser

NUM_IMAGES = 64


def photographs(size: int) -> np.ndarray:
    """Return smooth colour images, uint8 `[images, size, size, 3]`."""
    small = np.random.default_rng(0).integers(0, 256, (NUM_IMAGES, 16, 16, 3), dtype=np.uint8)
    return np.stack([np.asarray(Image.fromarray(one).resize((size, size), Image.Resampling.BICUBIC)) for one in small])


def as_tensor(image: Image.Image) -> Tensor:
    # not contiguous, as in PILToTensor of torchvision; a stack of images is
    return torch.from_numpy(np.array(image)).movedim(-1, 0)


def crop_and_flip(image: Tensor, padding: int = 4) -> Tensor:
    """Pad, crop and flip one image, as transforms of torchvision do."""
    height, width = image.shape[1:]
    padded = F.pad(image[None].float(), (padding,) * 4, mode="reflect")[0].to(image.dtype)
    top, left = (int(torch.randint(0, 2 * padding + 1, size=(1,))) for _ in range(2))
    found = padded[:, top : top + height, left : left + width]
    return found.flip(-1) if torch.rand(1) < 0.5 else found


def random_resized_crop(image: Image.Image, size: int) -> Image.Image:
    """Crop a random box and resize it, as torchvision does with images of Pillow."""
    width, height = image.size
    for _ in range(10):
        area = width * height * random.uniform(0.08, 1.0)
        ratio = math.exp(random.uniform(math.log(3 / 4), math.log(4 / 3)))
        wide, tall = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < wide <= width and 0 < tall <= height:
            top, left = random.randint(0, height - tall), random.randint(0, width - wide)
            break
    else:
        top, left, tall, wide = 0, 0, height, width
    return image.crop((left, top, left + wide, top + tall)).resize((size, size), Image.Resampling.BILINEAR)


def turn_hue(image: Image.Image, turn: float) -> Image.Image:
    """Turn the hue as torchvision does with images of Pillow."""
    hue, saturation, value = image.convert("HSV").split()
    turned = np.array(hue, dtype=np.uint8) + np.uint8(int(turn * 255) % 256)
    return Image.merge("HSV", (Image.fromarray(turned), saturation, value)).convert("RGB")


def augment_in_pillow(image: Image.Image, *, with_hue: bool) -> Tensor:
    """Crop, resize, flip and change the colours of one image, in random order as in torchvision's ColorJitter."""
    image = random_resized_crop(image, 224)
    if random.random() < 0.5:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    kinds = (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color)
    changes: list[Callable[[Image.Image], Image.Image]] = [
        lambda image, kind=kind: kind(image).enhance(random.uniform(0.6, 1.4)) for kind in kinds
    ]
    if with_hue:
        changes.append(lambda image: turn_hue(image, random.uniform(-0.1, 0.1)))
    random.shuffle(changes)
    for change in changes:
        image = change(image)
    return as_tensor(image)


def cpu_seconds(work: Callable[[], object]) -> float:
    """Return the CPU seconds of this process for `work`."""
    started = time.process_time()
    work()
    return time.process_time() - started


def measure_case(topic: Topic, case: str, view: View, images: Tensor, reference: Callable[[], object]) -> None:
    """Add a row in images per CPU second if `--only` leaves the case in."""
    if not topic.wanted(case):
        return
    draws = Draws(0, torch.arange(NUM_IMAGES), 0)
    ours = {case: lambda: cpu_seconds(lambda: view(images, draws))}
    with freed_memory_kept():  # as where a loader makes the batch of a step
        (found,) = compare(ours, lambda: cpu_seconds(reference), topic.rounds)
    topic.add(as_speed(found))


def as_speed(row: Measured) -> Measured:
    """Return a row of seconds per batch as images per second; its ratio is a speedup."""
    assert row.reference
    assert row.ratio
    assert row.spread
    return replace(
        row,
        value=NUM_IMAGES / row.value,
        unit="images per CPU second, speedup",
        reference=NUM_IMAGES / row.reference,
        ratio=1 / row.ratio,
        spread=(1 / row.spread[1], 1 / row.spread[0]),
    )


def main() -> None:
    """Measure all cases."""
    topic = Topic("views", parser(__doc__).parse_args())
    torch.set_num_threads(1)
    pixels = torch.from_numpy(photographs(224)).movedim(-1, 1).contiguous()
    one_by_one = lambda: torch.stack([crop_and_flip(image) for image in pixels])  # noqa: E731
    view = parse_views("Crop(4) + Flip()")
    measure_case(topic, "Crop(4) + Flip() of 224 x 224 over single images by hand", view, pixels, one_by_one)
    draws = Draws(0, torch.arange(NUM_IMAGES), 0)
    measure_case(
        topic,
        "the same crop and flip by hand, wrapped, over Crop(4) + Flip()",
        Wrapped(crop_and_flip),
        pixels,
        lambda: view(pixels, draws),
    )
    large = photographs(256)
    raw = torch.from_numpy(large).movedim(-1, 1).contiguous()
    pictures = [Image.fromarray(one) for one in large]
    for name, hue in (("without hue", 0), ("with hue", 0.1)):
        measure_case(
            topic,
            f"RandomResizedCrop(224) + Flip() + ColorJitter {name} of 256 x 256 over Pillow",
            parse_views(f"RandomResizedCrop(224) + Flip() + ColorJitter(0.4, 0.4, 0.4, {hue})"),
            raw,
            lambda hue=hue: torch.stack([augment_in_pillow(one, with_hue=hue > 0) for one in pictures]),
        )
    topic.write()


if __name__ == "__main__":
    main()
