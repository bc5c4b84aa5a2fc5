"""CIFAR-100 through the networks of born-again lineages: images per second of `fit`, batch 128, Crop(4) + Flip().

| case | target |
|---|---|
| labels, over a loop by hand of the same network, precision, layout and augmentation | at most 1.05 of its time |
| a generation with a live teacher of its kind at temperature 1, over one from labels | at most 1.3 of its time |
| the share of the teacher: seconds of its predictions for an epoch, over seconds of the epoch | none |

`ratio` compares times; `value` and `reference` are images per second (seconds for the share). Each epoch of Instar
takes turns with one by hand, and generations are compared by their ratios over it. On a GPU all loops are compiled.
Everything is bfloat16 and channels_last, which is the fastest on a CPU too (docs/log.md).
"""

from __future__ import annotations

from functools import partial
from statistics import median
from typing import Any

import torch
from torch import nn

import by_hand
import turns
from instar import load_data
from instar.compute.precision import Precision, autocast, use_matmul_library
from instar.config import ModelConfig
from instar.models import build_network
from measure import Measured, Topic, parser, seconds

BATCH = 128
CPU_SAMPLES = 12 * BATCH
GPU_SAMPLES = 390 * BATCH
PRECISION: Precision = "bfloat16"
NETWORKS: dict[str, tuple[str, dict[str, Any]]] = {
    "resnet-20": ("resnet", {"depth": 20}),
    "wrn-16-2": ("wide-resnet", {"depth": 16, "width": 2}),
    "densenet-bc-40-12": ("densenet", {"depth": 40, "growth": 12}),
}


def main() -> None:
    """Measure all networks."""
    arguments = parser(__doc__, "../shared/data/cifar100").parse_args()
    topic = Topic("convolution_epoch", arguments)
    on_gpu = torch.cuda.is_available()
    device = torch.device("cuda" if on_gpu else "cpu")
    number = arguments.samples or (GPU_SAMPLES if on_gpu else CPU_SAMPLES)
    samples = load_data(arguments.data, label_column="fine_label", validation=0.0, subset=number).train
    inputs, labels = by_hand.floats_in_memory(samples, device)
    how = f"{PRECISION} channels_last{' compiled' if on_gpu else ''}"
    training = {"batch_size": BATCH, "precision": PRECISION, "teacher_precision": PRECISION, "compile": on_gpu}

    for name, (family, choices) in NETWORKS.items():
        cases = (
            f"{name}, labels, {how}, fit over a loop by hand",
            f"{name}, a generation with its teacher live, {how}, over one from labels",
            f"{name}, share of the teacher in that generation, {how}",
        )
        if not any(topic.wanted(case) for case in cases):
            continue

        def make(family: str = family, choices: dict[str, Any] = choices) -> nn.Module:
            return build_network(ModelConfig(name=family, arguments=choices), (3, 32, 32), 100, trust=False)

        bare = make().to(device=device, memory_format=torch.channels_last)
        called = torch.compile(bare, dynamic=False) if on_gpu else bare

        def hand(called: nn.Module = called) -> float:
            forward = partial(autocast, PRECISION, device)
            augment = by_hand.crop_and_flip
            with use_matmul_library(PRECISION):
                return seconds(
                    lambda: by_hand.epoch(called, inputs, labels, BATCH, augment=augment, arithmetic=forward)
                )

        ours, theirs, _ = turns.epochs(make(), samples, hand, rounds=topic.rounds, **training)
        plain = ratios_of(ours, theirs)
        topic.add(row(cases[0], number, median(ours), median(theirs), plain, 1.0))
        if not any(topic.wanted(case) for case in cases[1:]):
            continue
        taught, theirs, querying = turns.epochs(make(), samples, hand, rounds=topic.rounds, teacher=make(), **training)
        # both over the loop by hand beside them, because the speed of the machine changes between the two runs
        topic.add(row(cases[1], number, median(taught), median(ours), ratios_of(taught, theirs), median(plain)))
        share = querying / median(taught)
        topic.add(Measured(cases[2], querying, "seconds", median(taught), share, topic.rounds, None))
    topic.write()


def ratios_of(ours: list[float], theirs: list[float]) -> list[float]:
    """Return the ratio of each round."""
    return [mine / other for mine, other in zip(ours, theirs, strict=True)]


def row(case: str, number: int, ours: float, reference: float, ratios: list[float], over: float) -> Measured:
    """Return a row in images per second, from ratios of times that are divided by `over`."""
    found = [ratio / over for ratio in ratios]
    spread = (min(found), max(found))
    return Measured(case, number / ours, "images per second", number / reference, median(found), len(found), spread)


if __name__ == "__main__":
    main()
