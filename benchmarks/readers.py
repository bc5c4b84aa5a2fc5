"""A student that reads images at 32 pixels, and a teacher that reads them at 64: Instar over a loop by hand.

The loop by hand resizes each batch once for the student and once for the teacher, as torchvision would: whole numbers,
bilinear, antialiased. Its networks are channels_last, as those of Instar. Images have 96 x 96 pixels.

| case | target |
|---|---|
| a student at 32 pixels with a teacher at 64 | at most 1.05 |
| a student at 32 pixels from labels | at most 1.05 |
| student and teacher at 32 pixels, which Instar reads once | none |
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

import by_hand
import ours
from instar.data import Samples, Source
from instar.models import CNN, Normalised, statistics
from instar.models.readers import Pixels
from measure import Topic, parser, seconds

BATCH = 128
SAMPLES = 16 * BATCH
SIDE_PIXELS = 96
NUM_CLASSES = 10


def cnn(size: int) -> CNN:
    return CNN(input_shape=(3, size, size), num_classes=NUM_CLASSES)


def main() -> None:
    """Measure all cases."""
    topic = Topic("readers", parser(__doc__).parse_args())
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    random = torch.Generator().manual_seed(0)
    pixels = torch.randint(256, (SAMPLES, 3, SIDE_PIXELS, SIDE_PIXELS), generator=random, dtype=torch.uint8)
    labels = torch.randint(NUM_CLASSES, (SAMPLES,), generator=random)
    place: dict[str, Any] = {"device": device, "memory_format": torch.channels_last}
    samples = Samples.all_of(Source("random", pixels, labels, tuple(map(str, range(NUM_CLASSES)))))
    mean, std = (values.to(device) for values in statistics(samples))
    teachers = {size: cnn(size).to(**place).eval() for size in (32, 64)}

    def read(size: int) -> Callable[[Tensor], Tensor]:
        def resize(raw: Tensor) -> Tensor:
            # accelerators resize floats alone
            raw = raw if device.type == "cpu" else raw.float()
            return (F.interpolate(raw, (size, size), mode="bilinear", antialias=True).float() / 255 - mean) / std

        return resize

    def hand(taught_at: int | None = None) -> float:
        student, inputs, answers = cnn(32).to(**place), pixels.to(device), labels.to(device)
        taught: dict[str, Any] = {"teacher": teachers[taught_at], "teacher_read": read(taught_at)} if taught_at else {}
        return seconds(lambda: by_hand.epoch(student, inputs, answers, BATCH, read=read(32), **taught))

    def mine(taught_at: int | None = None) -> float:
        teacher = None
        if taught_at:
            teacher = Normalised(teachers[taught_at], mean.clone(), std.clone(), Pixels(taught_at))
        return ours.epoch(cnn(32), samples, teacher=teacher, reader=Pixels(32), batch_size=BATCH)

    topic.compare("a student at 32 pixels with a teacher at 64", lambda: mine(64), lambda: hand(64))
    topic.compare("a student at 32 pixels from labels", mine, hand)
    topic.compare("student and teacher at 32 pixels", lambda: mine(32), lambda: hand(32))
    topic.write()


if __name__ == "__main__":
    main()
