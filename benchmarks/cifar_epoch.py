"""31 CIFAR-10 batches of 128, cropped and flipped: Instar over a loop by hand in float32, contiguous.

| case | target |
|---|---|
| cnn and resnet-8, hard labels, the fastest of three precisions with channels_last | at most 0.75 of the hand-written |
| the same, float32 and channels_last | none |
| resnet-20 to resnet-8, online | none |
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

import by_hand
import ours
from instar import load_data
from instar.compute.precision import Precision
from instar.models import CNN, Normalised, ResNet
from measure import Topic, parser, seconds

BATCH = 128
SAMPLES = 31 * BATCH
PRECISIONS: tuple[Precision, ...] = ("float32", "float32-fast", "bfloat16")


def cnn() -> CNN:
    return CNN(input_shape=(3, 32, 32), num_classes=10)


def resnet(depth: int) -> ResNet:
    return ResNet(depth, input_shape=(3, 32, 32), num_classes=10)


def main() -> None:
    """Measure all cases."""
    arguments = parser(__doc__, "../shared/data/cifar10").parse_args()
    topic = Topic("cifar_epoch", arguments)
    samples = load_data(arguments.data, validation=0.0, subset=arguments.samples or SAMPLES).train
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    inputs, labels = by_hand.floats_in_memory(samples, device)
    big = resnet(20).to(device).eval()

    def hand(make: Callable[[], nn.Module], taught_by: nn.Module | None = None) -> float:
        student = make().to(device)
        augment = by_hand.crop_and_flip
        return seconds(lambda: by_hand.epoch(student, inputs, labels, BATCH, teacher=taught_by, augment=augment))

    def mine(make: Callable[[], nn.Module], precision: Precision, taught_by: Normalised | None = None) -> float:
        choices = {"precision": precision, "teacher_precision": precision, "batch_size": BATCH}
        return ours.epoch(make(), samples, teacher=taught_by, views="Crop(4) + Flip()", **choices)

    def small() -> ResNet:
        return resnet(8)

    for name, make in (("cnn", cnn), ("resnet-8", small)):
        for precision in PRECISIONS:
            topic.compare(
                f"{name}, hard labels, {precision} channels_last over hand-written float32 contiguous",
                lambda make=make, precision=precision: mine(make, precision),
                lambda make=make: hand(make),
            )
    for precision in PRECISIONS:
        topic.compare(
            f"resnet-20 to resnet-8, online, {precision} channels_last over hand-written float32 contiguous",
            lambda precision=precision: mine(small, precision, ours.normalised(big, samples)),
            lambda: hand(small, big),
        )
    topic.write()


if __name__ == "__main__":
    main()
