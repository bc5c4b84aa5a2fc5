"""Language models: the cost of their loss, and of their training.

| case | target |
|---|---|
| loss of 1,024 positions of 50,000 words, top-32 targets, over cross-entropy with labels: time | at most 0.75 |
| the same: memory above the inputs | at most 200 MB |
| the same two with labels, with logits of a teacher in memory, with hidden states of a live teacher | none; 200 MB |
| an epoch of a small Llama from stored top-32 targets, over one on labels by hand | at most 0.65 |
| the same, taught live | at most 1.4 |
| an epoch of an LSTM with its hidden state carried, over a bare loop | at most 1.05 |

Instar's loss starts from hidden states and the matrix of the last layer, and ends with their gradients; the reference
computes all logits and leaves the rest to autograd. A live teacher is twice as wide, and its logits are part of the
work. Everything runs on a CPU in float32; the epochs of the Llama also run in bfloat16, which a loop by hand would have
to choose. Memory is the peak of a process of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

import language_models
from instar.data import Batch
from instar.models import Projected
from instar.objectives import HardLabels, SoftTargets
from instar.seeds import Draws
from instar.targets import DenseTargets, Keep, ProjectedTargets, Record, Targets
from measure import Topic, in_megabytes, parser, seconds
from memory import in_new_process, peak_above

POSITIONS, VOCABULARY, UNITS = 1024, 50_000, 128
KINDS = ("top-32 targets", "labels", "logits of a teacher", "hidden states of a teacher")

Loss = Callable[[Tensor, Tensor], Tensor]
"""Loss of hidden states `[positions, units]` and an output matrix `[words, units]`."""


def main() -> None:
    """Measure all cases."""
    options = parser(__doc__)
    options.add_argument("--positions", type=int, default=POSITIONS, help="positions of a batch")
    options.add_argument("--vocabulary", type=int, default=VOCABULARY, help="number of words; fewer for a quick look")
    options.add_argument("--units", type=int, default=UNITS, help="width of the student's hidden states")
    options.add_argument("--steps", type=int, default=40, help="steps per epoch")
    topic = Topic("sequences", options.parse_args())
    language_models.measure(topic, topic.arguments.steps)
    losses(topic, topic.arguments.positions, topic.arguments.vocabulary, topic.arguments.units)
    topic.write()


def losses(topic: Topic, positions: int, words: int, units: int) -> None:
    """Compare losses and their gradients with cross-entropy."""
    sizes = positions, words, units
    for kind in KINDS:
        case = f"loss of {positions:,} positions of {words:,} words, {kind}, over cross-entropy with labels, {{}}"
        if topic.wanted(case.format("time")):
            mine, theirs = (partial(loss_seconds, make(*sizes), *sizes) for make in (partial(ours, kind), plain))
            topic.compare(case.format("time"), mine, theirs)
        case = case.format("memory above the inputs")
        if topic.wanted(case):
            peaks = [[in_new_process(loss_peak, one, *sizes) for one in (kind, None)] for _ in range(topic.rounds)]
            topic.add(in_megabytes(case, [(mine, theirs) for mine, theirs in peaks]))


def ours(kind: str, positions: int, words: int, units: int) -> Loss:
    """Return the mean loss as the training loop computes it."""
    batch = Batch.of_labels(torch.randint(words, (positions,)))
    targets = targets_of(kind, positions, words, 2 * units)
    objective = 1.0 * (SoftTargets(1) if targets else HardLabels())

    def loss(hidden: Tensor, weight: Tensor) -> Tensor:
        number = len(hidden)
        answers = targets and targets.part(0, number)
        found, _ = objective(Projected(hidden, weight), batch.part(0, number), answers, keep_logits=False)
        return found / number

    return loss


def targets_of(kind: str, positions: int, words: int, units: int) -> Targets | None:
    """Return targets of one kind; None for labels."""
    if kind == "labels":
        return None
    projected = Projected(*inputs(positions, words, units))
    if kind == "hidden states of a teacher":
        return ProjectedTargets(projected)
    values = projected.logits().detach()
    if kind == "logits of a teacher":
        return DenseTargets(values)
    record = Record(Keep("top", min(32, words)), "float16", words, 1.0)
    return record.decode(record.encode_values(values.log_softmax(-1), Draws(0, torch.arange(positions), 0)))


def plain(positions: int, words: int, units: int) -> Loss:
    """Return the cross-entropy of all logits at once."""
    labels = torch.randint(words, (positions,))
    return lambda hidden, weight: F.cross_entropy(hidden @ weight.t(), labels[: len(hidden)])


def inputs(positions: int, words: int, units: int) -> tuple[Tensor, Tensor]:
    """Return hidden states and an output matrix that need gradients."""
    hidden, weight = torch.randn(positions, units), torch.randn(words, units) / units**0.5
    return hidden.requires_grad_(), weight.requires_grad_()


def loss_seconds(loss: Loss, positions: int, words: int, units: int) -> float:
    """Return the seconds of a loss and its gradients."""
    given = inputs(positions, words, units)
    return seconds(lambda: torch.autograd.grad(loss(*given), given))


def loss_peak(kind: str | None, positions: int, words: int, units: int) -> int:
    """Return the peak memory of a loss and its gradients above the inputs, in bytes; None is plain cross-entropy."""
    make, small = partial(ours, kind) if kind else plain, (8, 64, 4)
    loss, given, few = make(positions, words, units), inputs(positions, words, units), inputs(*small)
    torch.autograd.grad(make(*small)(*few), few)  # loads code, which would count as memory
    return peak_above(lambda: torch.autograd.grad(loss(*given), given))


if __name__ == "__main__":
    main()
