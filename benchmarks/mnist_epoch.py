"""One MNIST epoch: Instar over a loop by hand. Student 784-500-300-10, teacher 784-1200-1200-10, batch 256.

| case | target |
|---|---|
| hard labels, float32 | at most 1.05 of the hand-written epoch |
| online distillation, float32 | at most 1.05 of the hand-written distillation |
| hard labels, float32-fast and bfloat16 | the faster at most 0.65 of the hand-written float32 epoch |
| online distillation, student and teacher bfloat16 | at most 1.6 of the hand-written float32 epoch on hard labels |
| distillation from memory, after the teacher's pass | none |
| a student of the paper from memory, AdamW, in the fastest arithmetic, over its matrix products alone | 1.0 s |
| largest logit difference of a teacher pass | none; `reference` is the largest logit in float64 |
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

import by_hand
import ours
from instar import load_data
from instar.compute.precision import Precision, autocast, choose_fastest, use_matmul_library
from instar.data import Samples
from instar.models import MLP, Normalised
from measure import Measured, Topic, parser, seconds

BATCH = 256


def mlp(*widths: int) -> MLP:
    return MLP(widths, input_shape=(1, 28, 28), num_classes=10)


def main() -> None:
    """Measure all cases."""
    arguments = parser(__doc__, "../shared/data/mnist").parse_args()
    topic = Topic("mnist_epoch", arguments)
    samples = load_data(arguments.data, validation=0.0, subset=arguments.samples).train
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    inputs, labels = by_hand.floats_in_memory(samples, device)
    network = mlp(1200, 1200).to(device)
    by_hand.epoch(network, inputs, labels, BATCH)  # gives its logits the spread of a teacher's
    teacher = ours.normalised(network.eval(), samples)

    def hand(taught_by: nn.Module | None = None) -> float:
        student = mlp(500, 300).to(device)
        return seconds(lambda: by_hand.epoch(student, inputs, labels, BATCH, teacher=taught_by))

    def mine(precision: Precision = "float32", taught_by: Normalised | None = None, in_memory: bool = False) -> float:
        choices = {"precision": precision, "teacher_precision": precision, "batch_size": BATCH}
        return ours.epoch(mlp(500, 300), samples, teacher=taught_by, in_memory=in_memory, **choices)

    topic.compare("hard labels, float32", mine, hand)
    topic.compare("online distillation, float32", lambda: mine(taught_by=teacher), lambda: hand(network))
    topic.compare("hard labels, float32-fast over hand-written float32", lambda: mine("float32-fast"), hand)
    topic.compare("hard labels, bfloat16 over hand-written float32", lambda: mine("bfloat16"), hand)
    topic.compare(
        "online distillation, bfloat16 over hand-written hard labels, float32", lambda: mine("bfloat16", teacher), hand
    )
    topic.compare(
        "distillation from memory, float32 over hand-written hard labels, float32",
        lambda: mine(taught_by=teacher, in_memory=True),
        hand,
    )
    fastest = choose_fastest(device)
    for widths in ((800, 800), (500, 300)):
        topic.compare(
            f"784-{widths[0]}-{widths[1]}-10 from memory, AdamW, {fastest}, over its matrix products alone",
            lambda widths=widths: ours.epoch(
                mlp(*widths),
                samples,
                teacher=teacher,
                in_memory=True,
                optimiser="adamw",
                learning_rate=1e-3,
                precision=fastest,
                teacher_precision=fastest,
                batch_size=BATCH,
            ),
            lambda widths=widths: seconds(lambda: products(widths, len(inputs), fastest, device)),
        )
    for precision in ("float32", "float32-fast", "bfloat16"):
        case = f"largest logit difference from float64 of a teacher pass in {precision}"
        if topic.wanted(case):
            topic.add(logit_difference(case, teacher, samples, precision, device))
    topic.write()


@torch.inference_mode()
def products(widths: Sequence[int], samples: int, precision: Precision, device: torch.device) -> None:
    """Multiply matrices as an epoch of a student does: once forward, and twice back but for the inputs."""
    sizes = [28 * 28, *widths, 10]
    layers = [
        (torch.randn(BATCH, inputs, device=device), torch.randn(inputs, units, device=device))
        for inputs, units in pairwise(sizes)
    ]
    with use_matmul_library(precision), autocast(precision, device):
        for _ in range(samples // BATCH):
            for number, (hidden, weight) in enumerate(layers):
                gradient = hidden @ weight
                hidden.T @ gradient
                if number:
                    gradient @ weight.T


@torch.inference_mode()
def logit_difference(
    case: str, teacher: Normalised, samples: Samples, precision: Precision, device: torch.device
) -> Measured:
    """Return the largest difference between the logits in `precision` and in float64, and the largest logit."""
    inputs = samples.inputs()[: 8 * BATCH].to(device)
    exact = Normalised(mlp(1200, 1200), teacher.mean.clone(), teacher.std.clone()).to(device)
    exact.load_state_dict(teacher.state_dict())
    exact = exact.double().eval()
    normal: Tensor = (inputs.double() / 255 - exact.mean) / exact.std
    truth = exact.network(normal)
    with use_matmul_library(precision), autocast(precision, device):
        found = teacher(inputs).double()
    difference, largest = (found - truth).abs().max().item(), truth.abs().max().item()
    ratio = difference / largest
    return Measured(case, difference, "logits", largest, ratio, 1, (ratio, ratio))


if __name__ == "__main__":
    main()
