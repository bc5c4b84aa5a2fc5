"""Terms of hidden layers: 5 CIFAR-10 batches of 128, and steps of a contrastive term, over loops by hand.

| case | target |
|---|---|
| WRN-16-2 to WRN-16-1, soft targets and attention of three stages, over hooks placed by hand | at most 1.05 |
| soft targets alone, over the same loop without what keeps layers | 0.99 to 1.01 |
| the first case from a store of targets and layers, over the live teacher | at most 1 |
| contrastive steps of 64, memories of 50,000 x 128, 16,384 draws, over a loop that copies drawn rows | at most 1.1 |
| the same, over a loop of products with all rows | at most 1.1 |
| the same, over 8,192 draws | at most 2 |
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any
from unittest import mock

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import by_hand
import instar.training.step as step_module
import ours
from instar import label, load_data
from instar.compute.allocator import freed_memory_kept
from instar.data import Batch, Data, Samples, Source
from instar.models import WideResNet
from instar.objectives import Contrastive
from instar.targets.answer import Answer
from instar.teachers import Stored
from measure import Topic, parser, seconds

BATCH = 128
SAMPLES = 5 * BATCH
STAGES = ("stage1", "stage2", "stage3")
SOFT = "0.9 * SoftTargets(4) + 0.1 * HardLabels()"
ATTENTION = f"{SOFT} + 1000 * AttentionTransfer({ {stage: stage for stage in STAGES} })"

MEMORY_ROWS = 50_000
CONTRAST_BATCH = 64
CONTRAST_STEPS = 2
FEATURES = 64
EMBEDDING = 128
DRAWS = 16_384


def wide(width: int) -> WideResNet:
    return WideResNet(16, width, input_shape=(3, 32, 32), num_classes=10)


def attention(features: Tensor) -> Tensor:
    """Return a normalised attention map, as anyone would write it."""
    return F.normalize(features.pow(2).mean(1).flatten(1))


def epoch_by_hand(student: nn.Module, teacher: nn.Module, inputs: Tensor, labels: Tensor) -> None:
    """Train for one epoch on soft targets, labels and attention maps, with hooks that are placed once."""
    own: dict[str, Tensor] = {}
    theirs: dict[str, Tensor] = {}
    for network, kept in ((student, own), (teacher, theirs)):
        for stage in STAGES:
            layer = getattr(network, stage)
            layer.register_forward_hook(lambda _, __, output, kept=kept, stage=stage: kept.update({stage: output}))
    optimiser = torch.optim.SGD(student.parameters(), lr=0.05, momentum=0.9, nesterov=True)
    student.train()
    for rows in torch.randperm(len(inputs)).split(BATCH):
        batch, answers = inputs[rows].to(memory_format=torch.channels_last), labels[rows]
        with torch.no_grad():
            taught = F.softmax(teacher(batch) / 4, dim=1)
        logits = student(batch)
        soft = 16 * F.kl_div(F.log_softmax(logits / 4, dim=1), taught, reduction="batchmean")
        loss = 0.9 * soft + 0.1 * F.cross_entropy(logits, answers)
        for stage in STAGES:
            loss = loss + 1000 * (attention(own[stage]) - attention(theirs[stage])).pow(2).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    for network in (student, teacher):
        for stage in STAGES:
            getattr(network, stage)._forward_hooks.clear()


def measure_attention(topic: Topic, data: Data) -> None:
    """Measure a student of a wide residual network."""
    samples = data.train
    inputs, labels = by_hand.floats_in_memory(samples, torch.device("cpu"))
    big = wide(2).eval().to(memory_format=torch.channels_last)

    def mine(objective: str) -> float:
        taught = ours.normalised(big, samples)
        return ours.epoch(wide(1), samples, teacher=taught, objective=objective, batch_size=BATCH)

    def hand() -> float:
        student = wide(1).to(memory_format=torch.channels_last)
        return seconds(lambda: epoch_by_hand(student, big, inputs, labels))

    def without_layers() -> float:
        with (
            mock.patch.object(step_module, "keep_outputs", return_value=nullcontext({})),
            mock.patch.object(step_module, "ask", lambda teacher, part, _: Answer(teacher.targets(part))),
            mock.patch.object(step_module, "_hidden_of", return_value=None),
        ):
            return mine(SOFT)

    topic.compare(
        "WRN-16-2 to WRN-16-1, soft targets and attention of three stages, over hooks placed by hand",
        lambda: mine(ATTENTION),
        hand,
    )
    topic.compare(
        "soft targets alone, over the same loop without what keeps layers", lambda: mine(SOFT), without_layers
    )
    case = "WRN-16-2 to WRN-16-1, soft targets and attention of three stages from a store, over the live teacher"
    if not topic.wanted(case):
        return
    with tempfile.TemporaryDirectory() as folder:
        teacher = ours.normalised(big, samples)
        made = label(data, teacher, out=f"{folder}/store", features="stages", held_out=False, show=False)
        stored = Stored(made)
        topic.compare(
            case,
            lambda: ours.epoch(wide(1), samples, teacher=stored, objective=ATTENTION, batch_size=BATCH),
            lambda: mine(ATTENTION),
        )


class ContrastByHand:
    """A contrastive loss with memories of both networks, as anyone would write it.

    Args:
        draws: negatives for each sample.
        copies: whether drawn rows are copied; False: products with all rows.
    """

    def __init__(self, draws: int, copies: bool) -> None:
        self.draws, self.copies = draws, copies
        self.embeddings = nn.ModuleList(nn.Linear(FEATURES, EMBEDDING) for _ in range(2))
        self.memories = [F.normalize(torch.randn(MEMORY_ROWS, EMBEDDING)) for _ in range(2)]
        self.constant = 2.0 * MEMORY_ROWS

    def step(self, layers: tuple[Tensor, Tensor], rows: Tensor) -> None:
        """Compute the loss and its gradients, and move the rows of the samples."""
        own, theirs = (F.normalize(one(layer)) for one, layer in zip(self.embeddings, layers, strict=True))
        drawn = torch.randint(MEMORY_ROWS, (len(rows), self.draws + 1))
        drawn[:, 0] = rows
        noise = self.draws / MEMORY_ROWS
        loss = torch.zeros(())
        for embedded, memory in ((own, self.memories[1]), (theirs, self.memories[0])):
            if self.copies:
                copied = memory.index_select(0, drawn.flatten()).view(len(rows), -1, EMBEDDING)
                products = torch.bmm(copied, embedded[:, :, None])[:, :, 0]
            else:
                products = (embedded @ memory.t()).gather(1, drawn)
            p = torch.exp(products / 0.07) / self.constant
            loss = loss - torch.log(p[:, 0] / (p[:, 0] + noise)).sum() - torch.log(noise / (p[:, 1:] + noise)).sum()
        (loss / len(rows)).backward()
        with torch.no_grad():
            for memory, embedded in zip(self.memories, (own, theirs), strict=True):
                memory[rows] = F.normalize(0.5 * memory[rows] + 0.5 * embedded)


def contrast_of_ours(samples: Samples, draws: int) -> Callable[[tuple[Tensor, Tensor], Tensor, int], None]:
    """Return a step of Instar's term, as the objective computes it."""
    term = Contrastive({"pooled": "pooled"}, negatives=draws, embedding=EMBEDDING)
    memory = term.make_adapters([(FEATURES,)], [(FEATURES,)], samples)
    labels = samples.labels

    def step(layers: tuple[Tensor, Tensor], rows: Tensor, number: int) -> None:
        batch = Batch(rows, 0, rows, labels[rows], step=number)
        with freed_memory_kept():  # as a training step has it
            losses = term.of_layers({"pooled": layers[0]}, {"pooled": layers[1]}, batch, memory)
            losses.mean().backward()
            memory.update()

    return step


def measure_contrast(topic: Topic) -> None:
    """Measure steps of a contrastive term, without the networks."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(100, (MEMORY_ROWS,), generator=generator)
    classes = tuple(map(str, range(100)))
    samples = Samples.all_of(Source("random", torch.zeros(MEMORY_ROWS, 1), labels, classes))
    layers = [torch.randn(2, CONTRAST_BATCH, FEATURES, generator=generator) for _ in range(CONTRAST_STEPS)]
    order = torch.randperm(MEMORY_ROWS, generator=generator).split(CONTRAST_BATCH)[:CONTRAST_STEPS]

    def timed(step: Callable[..., Any], *numbers: Any) -> float:
        def work() -> None:
            for number, (pair, rows) in enumerate(zip(layers, order, strict=True)):
                step((pair[0].requires_grad_(), pair[1]), rows, *(number for _ in numbers))

        return seconds(work)

    mine, half = contrast_of_ours(samples, DRAWS), contrast_of_ours(samples, DRAWS // 2)
    copying, multiplying = ContrastByHand(DRAWS, copies=True), ContrastByHand(DRAWS, copies=False)
    of = f"contrastive steps of {CONTRAST_BATCH}, memories of {MEMORY_ROWS} x {EMBEDDING}, {DRAWS} draws"
    topic.compare(f"{of}, over a loop that copies the drawn rows", lambda: timed(mine, 0), lambda: timed(copying.step))
    topic.compare(
        f"{of}, over a loop of products with all rows", lambda: timed(mine, 0), lambda: timed(multiplying.step)
    )
    topic.compare(f"{of}, over {DRAWS // 2} draws", lambda: timed(mine, 0), lambda: timed(half, 0))


def main() -> None:
    """Measure all cases."""
    arguments = parser(__doc__, "../shared/data/cifar10").parse_args()
    topic = Topic("features", arguments)
    measure_contrast(topic)
    measure_attention(topic, load_data(arguments.data, validation=0.0, subset=arguments.samples or SAMPLES))
    topic.write()


if __name__ == "__main__":
    main()
