"""Target stores: the cost of making one and of training from one, and the time that it saves.

| case | target |
|---|---|
| MNIST epoch on SoftTargets(4) from a store, dense or top-5, over one on hard labels | at most 1.03 |
| four CIFAR-10 epochs of ResNet-8 from a store of four views, over the same views with hard labels | at most 1.02 |
| labelling, over the bare passes of the teacher at its best batch size and precision | at most 1.053 |
| labelling of data that were never hashed, over the same | none |
| gathers of 256 of 300,000 rows, dense, as float32, over those from a float16 tensor in memory | at most 2.5 |
| the same, top-32 records, over records in memory | at most 1.2 |
| the same, decoded | none |
| loss on top-32 of 50,000 classes and its gradient, over cross-entropy with labels: time | at most 0.75 |
| the same: memory beside the logits | at most 0.333 |
| ten students of five epochs from one store, with labelling, over ten with the teacher live | at most 0.45 |

Epochs are the real `fit` in a real run folder; a store is opened and compared with its checksums before the clock
starts. MNIST: 784-500-300-10, teacher 784-1200-1200-10, float32, batch 256. CIFAR-10: 31 batches of 128, cropped and
flipped, teacher ResNet-20, bfloat16; a turn is four epochs, one per view. Labelling is the whole `label`: plan, shards,
checksums, fsync; only the hash of the data, which a process computes once, is known from the uncounted turn. Gathers
and the loss run on a CPU; memory is the peak of a process of its own.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import replace
from functools import cache, partial
from itertools import product
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

import by_hand
import ours
from instar import distill, label, load_data
from instar.compute.accelerator import make_accelerator
from instar.compute.execution import place
from instar.compute.precision import Precision, autocast, use_matmul_library
from instar.data import Batch, Data, Samples
from instar.models import MLP, Normalised, ResNet
from instar.objectives import parse_objective
from instar.seeds import Draws
from instar.targets import Keep, Record, SparseTargets
from instar.teachers import Stored
from measure import Measured, Topic, in_megabytes, parser, seconds
from memory import in_new_process, peak_above
from random_stores import RandomStore

MNIST_TURNS_PER_ROUND = 9
STUDENTS, EPOCHS = 10, 5
BATCH, CIFAR_BATCH, VIEWS = 256, 128, 4
SEARCHED_SAMPLES = 8192
"""Samples that the fastest batch size and precision of a teacher are found on."""
PRECISIONS: tuple[Precision, ...] = ("float32", "float32-fast", "bfloat16")
BATCHES = (64, 128, 256, 512, 1024)  # ResNets are fastest below 128
GATHERS, ROWS, CLASSES = 200, 300_000, 1000
EXAMPLES, VOCABULARY = 1024, 50_000
SOFT = parse_objective("SoftTargets(1)")


def loss_on_sparse(logits: Tensor, targets: SparseTargets) -> Tensor:
    """Return the mean loss as the loop computes it."""
    batch = Batch.of_labels(torch.zeros(len(logits), dtype=torch.int64))
    return SOFT(logits, batch, targets, keep_logits=False)[0] / len(logits)  # its gradient may overwrite the logits


def main() -> None:
    """Measure all cases."""
    options = parser(__doc__, "../shared/data")
    options.add_argument("--turns", type=int, default=MNIST_TURNS_PER_ROUND, help="turns per round of MNIST epochs")
    options.add_argument("--students", type=int, default=STUDENTS, help="students of one store")
    topic = Topic("targets", options.parse_args())
    with tempfile.TemporaryDirectory() as folder:
        for cases in (mnist_epochs, cifar_epochs, labelling, gathers, losses, students):
            cases(topic, topic.arguments, Path(folder))
    topic.write()


def mlp(*widths: int) -> MLP:
    return MLP(widths, input_shape=(1, 28, 28), num_classes=10)


def resnet(depth: int) -> ResNet:
    return ResNet(depth, input_shape=(3, 32, 32), num_classes=10)


@cache
def data_of(folder: str, number: int | None) -> Data:
    """Return the data in a folder, or some of them; they are loaded once for all cases."""
    return load_data(folder, validation=0.0, subset=number)


@cache
def mnist_teacher(data: Data) -> Normalised:
    """Return a network trained for an epoch, so that its logits have the spread of a teacher's."""
    device = make_accelerator().device
    network = mlp(1200, 1200).to(device)
    by_hand.epoch(network, *by_hand.floats_in_memory(data.train, device), BATCH)
    return ours.normalised(network.eval(), data.train)


def mnist_epochs(topic: Topic, arguments: argparse.Namespace, folder: Path) -> None:
    """Compare epochs on MNIST."""
    kept: dict[str, dict[str, Any]] = {"dense float16": {}, "top-5 float16": {"keep": "top:5", "temperature": 4}}
    names = {name: f"MNIST epoch, float32, from a store, {name}, over hard labels" for name in kept}
    if not any(map(topic.wanted, names.values())):
        return
    data, cases = data_of(f"{arguments.data}/mnist", arguments.samples), {}

    def epoch(**taught: Any) -> float:
        return ours.epoch(mlp(500, 300), data.train, batch_size=BATCH, **taught)

    for name, choices in kept.items():
        made = label(data, mnist_teacher(data), out=folder / name, held_out=False, show=False, **choices)
        cases[names[name]] = partial(epoch, teacher=Stored(made), objective="SoftTargets(4)")
    topic.compare_all(cases, epoch, arguments.turns)


def cifar_epochs(topic: Topic, arguments: argparse.Namespace, folder: Path) -> None:
    """Compare epochs on CIFAR-10."""
    case = f"{VIEWS} CIFAR-10 epochs of resnet-8, bfloat16, from a store of {VIEWS} views, over hard labels"
    if not topic.wanted(case):
        return
    data = data_of(f"{arguments.data}/cifar10", arguments.samples or 31 * CIFAR_BATCH)
    views: dict[str, Any] = {"views": "Crop(4) + Flip()", "num_views": VIEWS}
    teacher = ours.normalised(resnet(20), data.train)
    made = label(data, teacher, out=folder / "views", precision="bfloat16", held_out=False, show=False, **views)
    choices: dict[str, Any] = {**views, "epochs": VIEWS, "batch_size": CIFAR_BATCH, "precision": "bfloat16"}
    stored = Stored(made)
    topic.compare(
        case,
        lambda: ours.epoch(resnet(8), data.train, teacher=stored, objective="SoftTargets(4)", **choices),
        lambda: ours.epoch(resnet(8), data.train, **choices),
    )


def labelling(topic: Topic, arguments: argparse.Namespace, folder: Path) -> None:
    """Compare `label` with forward passes of the teacher at its fastest batch size and precision."""
    case = "labelling of MNIST by an MLP, dense float16"
    if topic.wanted(case):
        data = data_of(f"{arguments.data}/mnist", arguments.samples)
        compare_labelling(topic, case, folder, data, mnist_teacher(data))
    case = "labelling of CIFAR-10 by resnet-20, top-5 float16"
    if topic.wanted(case):
        data = data_of(f"{arguments.data}/cifar10", arguments.samples or SEARCHED_SAMPLES)
        teacher = ours.normalised(resnet(20), data.train)
        compare_labelling(topic, case, folder, data, teacher, keep="top:5", temperature=4)


def compare_labelling(topic: Topic, case: str, folder: Path, data: Data, teacher: Normalised, **kept: Any) -> None:
    """Compare labelling by one teacher, first with data whose hash is known."""
    device = make_accelerator().device
    place(teacher.eval(), device, "auto")
    inputs = data.train.inputs().to(device)
    batch_size, precision = fastest(teacher, inputs)

    def labelled(data: Data) -> float:
        out = Path(tempfile.mkdtemp(dir=folder)) / "store"
        choices = {"batch_size": batch_size, "precision": precision, "held_out": False, "show": False, **kept}
        taken = seconds(lambda: label(data, teacher, out=out, **choices))
        shutil.rmtree(out)
        return taken

    def bare() -> float:
        return seconds(lambda: passes(teacher, inputs, batch_size, precision))

    case = f"{case}, {{}}over bare passes in {precision}, batches of {batch_size}"
    topic.compare(case.format(""), lambda: labelled(data), bare)
    if len(data.train) == len(data.train.source):  # all of it is hashed, however much is labelled
        topic.compare(case.format("never hashed before, "), lambda: labelled(unhashed(data)), bare)


def fastest(teacher: Normalised, inputs: Tensor) -> tuple[int, Precision]:
    """Return the batch size and the precision of the fastest forward passes."""
    some = inputs[:SEARCHED_SAMPLES]

    def time(choice: tuple[int, Precision]) -> float:
        # the minimum, because noise only adds time
        return min(seconds(lambda: passes(teacher, some, *choice)) for _ in range(3))

    return min(product(BATCHES, PRECISIONS), key=time)


@torch.inference_mode()
def passes(teacher: Normalised, inputs: Tensor, batch_size: int, precision: Precision) -> None:
    """Run the teacher on all inputs."""
    with use_matmul_library(precision), autocast(precision, inputs.device):
        for part in inputs.split(batch_size):
            teacher(part)


def unhashed(data: Data) -> Data:
    """Return data whose hash is not cached."""
    return replace(data, train=Samples(replace(data.train.source), data.train.ids, data.train.labels))


def gathers(topic: Topic, arguments: argparse.Namespace, folder: Path) -> None:
    """Compare random gathers from mapped shards with gathers from memory."""
    rows = torch.randint(arguments.samples or ROWS, (GATHERS, 256))

    def per_gather(gather: Callable[[Tensor], object]) -> Callable[[], float]:
        return lambda: seconds(lambda: [gather(some) for some in rows]) / GATHERS

    of = f"256 of {arguments.samples or ROWS:,} rows of {CLASSES:,} classes"
    dense = f"gather of {of}, dense, mapped, as float32, over index_select of float16 in memory"
    sparse = f"gather of {of}, top-32, mapped records, over index_select of records in memory"
    decoded = f"gather of {of}, top-32, decoded, over index_select of records in memory"
    if topic.wanted(dense):
        made = RandomStore(folder / "dense", CLASSES, "all", arguments.samples or ROWS)
        part = made.write()[0].part("train")
        table = part.records[:, : 2 * CLASSES].contiguous().view(torch.float16)
        topic.compare(dense, per_gather(lambda some: part.targets(some, 0)), per_gather(partial(table.index_select, 0)))
        del table  # 600 MB, which the next case needs
        shutil.rmtree(made.folder)
    if topic.wanted(sparse) or topic.wanted(decoded):
        stored = RandomStore(folder / "top", CLASSES, "top:32", arguments.samples or ROWS).write()[0].part("train")
        reference = per_gather(partial(stored.records.clone().index_select, 0))
        topic.compare(sparse, per_gather(partial(stored.records.index_select, 0)), reference)
        topic.compare(decoded, per_gather(lambda some: stored.targets(some, 0)), reference)


def losses(topic: Topic, arguments: argparse.Namespace, folder: Path) -> None:
    """Compare the loss on sparse targets, and its gradient for the logits, with cross-entropy."""
    case = f"loss on top-32 of {VOCABULARY:,} classes, {EXAMPLES:,} rows, over cross-entropy with labels, {{}}"
    if topic.wanted(case.format("time")):
        mine, theirs = sparse_loss(), label_loss()
        topic.compare(case.format("time"), lambda: loss_seconds(mine), lambda: loss_seconds(theirs))
    case = case.format("memory beside the logits")
    if topic.wanted(case):
        peaks = [(in_new_process(loss_peak, True), in_new_process(loss_peak, False)) for _ in range(topic.rounds)]
        topic.add(in_megabytes(case, peaks))


def sparse_loss() -> Callable[[Tensor], Tensor]:
    """Return the loss function of sparse targets as a store returns them."""
    record = Record(Keep("top", 32), "float16", VOCABULARY, 1.0)
    values = torch.randn(EXAMPLES, VOCABULARY).log_softmax(-1)
    targets = record.decode(record.encode_values(values, Draws(0, torch.arange(EXAMPLES), 0)))
    assert isinstance(targets, SparseTargets)
    return lambda logits: loss_on_sparse(logits, targets.part(0, len(logits)))


def label_loss() -> Callable[[Tensor], Tensor]:
    """Return the loss function of labels."""
    labels = torch.randint(VOCABULARY, (EXAMPLES,))
    return lambda logits: F.cross_entropy(logits, labels[: len(logits)])


def logits_of_a_layer(examples: int = EXAMPLES) -> Tensor:
    """Return logits of a small linear layer, with a graph as in training."""
    hidden = torch.randn(examples, 4, requires_grad=True)
    return torch.addmm(torch.zeros(VOCABULARY), hidden, torch.randn(4, VOCABULARY))


def loss_seconds(loss: Callable[[Tensor], Tensor]) -> float:
    """Return the seconds of a loss and its gradient."""
    logits = logits_of_a_layer()
    return seconds(lambda: torch.autograd.grad(loss(logits), logits))


def loss_peak(is_sparse: bool) -> int:
    """Return the peak memory of a loss and its gradient beside the logits, in bytes."""
    loss = sparse_loss() if is_sparse else label_loss()
    few, logits = logits_of_a_layer(8), logits_of_a_layer()
    torch.autograd.grad(loss(few), few)  # so that code is loaded
    return peak_above(lambda: torch.autograd.grad(loss(logits), logits))


def students(topic: Topic, arguments: argparse.Namespace, folder: Path) -> None:
    """Compare several students of one teacher, from a store and with the teacher live in turns."""
    number = arguments.students
    store = f"{number} students of {EPOCHS} epochs from one store, with labelling"
    case = f"{store}, over {number} with the teacher live, one round"
    if not topic.wanted(case):
        return
    data = data_of(f"{arguments.data}/mnist", arguments.samples)
    teacher = mnist_teacher(data)

    def student(teacher: Any, name: str, epochs: int = EPOCHS) -> float:
        choices = {"epochs": epochs, "batch_size": BATCH, "precision": "float32", "teacher_precision": "float32"}
        return seconds(
            lambda: distill(data, teacher, MLP([500, 300]), out=folder / name, objective="SoftTargets(4)", **choices)
        )

    student(teacher, "uncounted", epochs=1)
    mine, theirs = seconds(lambda: label(data, teacher, out=folder / "shared", show=False)), 0.0
    for i in range(number):
        mine += student(folder / "shared", f"stored-{i}")
        theirs += student(teacher, f"live-{i}")
    topic.add(Measured(case, mine, "seconds", theirs, mine / theirs, 1, None))


if __name__ == "__main__":
    main()
