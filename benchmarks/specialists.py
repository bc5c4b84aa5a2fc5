"""Specialists: the cost of combining their predictions with a generalist's.

| case | target |
|---|---|
| combining 10,000 samples of 242 classes with 20 specialists of 24: samples per second, memory | none |
| combining 10,000 samples of 15,000 classes with 61 specialists of 300, 1,000 at a time: the same | none |
| the largest norm of a sample's gradient at the logits of q afterwards, in float64 | at most 1e-6 |
| one of the first, over SciPy's L-BFGS-B with the gradient, one sample after another | at most 0.005 |
| all of the first, over 300 steps of gradient descent on the logits of all of them | at most 0.2 |
| 1,000 to 16,000 samples, 250 to 16,000 classes, over the time of the fewest in proportion | at most 1 |

The generalist is confident, and specialists are close to it: their logits are its own plus noise of 1. A specialist is
queried if it knows the generalist's likeliest class, so about two are queried for a sample of the first problem.
Gradient descent starts at the generalist; its steps are scaled by each sample's weights, and have the best length for a
few of the samples. The case names the gradient that it leaves, which is far above Instar's. Everything but SciPy is in
float32. Memory is the peak of a process of its own.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from statistics import median

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from torch import Tensor

from instar.seeds import generator
from instar.teachers.combining import Divergence, Opinion, combine_opinions
from measure import Measured, Topic, parser, seconds
from memory import in_new_process, peak_above

SCIPY_SAMPLES, DESCENT_STEPS, STEP_LENGTHS = 20, 300, (1.0, 2.0, 4.0, 8.0)


@dataclass(frozen=True)
class Problem:
    """Samples, classes, and specialists for `own` classes each, drawn from the first `among` classes."""

    samples: int
    classes: int
    specialists: int
    own: int
    among: int

    def make(self, seed: int = 0) -> tuple[Tensor, list[Opinion]]:
        """Return the generalist's log-probabilities, and the opinions of the queried specialists."""
        random = generator(seed, "specialists")
        logits = 2 * torch.randn(self.samples, self.classes, generator=random)
        likeliest = torch.randint(self.among, (self.samples,), generator=random)
        logits[torch.arange(self.samples), likeliest] += 10 + 2 * torch.randn(self.samples, generator=random)
        opinions = []
        for _ in range(self.specialists):
            classes = torch.randperm(self.among, generator=random)[: self.own]
            rows = torch.isin(logits.argmax(1), classes).nonzero()[:, 0]
            theirs = logits[rows] + torch.randn(len(rows), self.classes, generator=random)
            known = theirs[:, classes]
            # one unit for all classes that it does not know, with their whole probability
            dustbin = theirs.index_fill(1, classes, -torch.inf).logsumexp(1, keepdim=True)
            opinions.append(Opinion(rows, torch.cat([known, dustbin], 1).log_softmax(1), classes))
        return logits.log_softmax(1), opinions

    def __str__(self) -> str:
        """Return the problem in words, for the names of cases."""
        return f"{self.samples:,} samples of {self.classes:,} classes with {self.specialists} specialists of {self.own}"


FIRST, SECOND = Problem(10_000, 242, 20, 24, 242), Problem(10_000, 15_000, 61, 300, 15_000)


def main() -> None:
    """Measure all cases."""
    options = parser(__doc__)
    options.add_argument("--samples", type=int, default=10_000, help="use fewer samples, for a quick look")
    topic = Topic("specialists", options.parse_args())
    for cases in (combining, growth):
        cases(topic, topic.arguments.samples)
    topic.write()


def combining(topic: Topic, samples: int) -> None:
    """Measure speed, memory and exactness, and compare with two solvers that anyone could write."""
    first, second = replace(FIRST, samples=samples), replace(SECOND, samples=samples)
    divergences: tuple[Divergence, ...] = ("forward", "reverse")
    for problem, together in ((first, samples), (second, min(samples, 1000))):
        timed = [divergence for divergence in divergences if topic.wanted(f"combining {problem}, {divergence}: speed")]
        for divergence, found in speeds(problem, together, timed, topic.rounds).items():
            add(topic, f"combining {problem}, {divergence}: speed", "samples/s", found)
        for divergence in divergences:
            case = f"combining {problem}, {divergence}"
            if topic.wanted(f"{case}: memory"):
                part = replace(problem, samples=together)
                peaks = [in_new_process(peak, part, divergence) / 1e6 for _ in range(topic.rounds)]
                given = 4e-6 * together * problem.classes
                add(topic, f"{case}: memory beside the {given:,.0f} MB of the generalist's {together:,}", "MB", peaks)
    case = f"combining {first}, forward: {{}}"
    log_p, opinions = first.make()
    if topic.wanted(case.format("largest norm of a gradient")):
        exact = [replace(one, log_probs=one.log_probs.double()) for one in opinions]
        norm = Descent(log_p.double(), exact).norm(combine_opinions(log_p, opinions).double())
        add(topic, case.format("largest norm of a gradient"), "norm", [norm])
    per_sample = f"combining one of {first}, forward, over SciPy's L-BFGS-B"
    topic.compare(
        per_sample,
        lambda: seconds(lambda: combine_opinions(log_p, opinions)) / samples,
        lambda: seconds(lambda: by_scipy(log_p, opinions)) / SCIPY_SAMPLES,
        turns=1,
    )
    if topic.wanted(case.format("over gradient descent")):
        descent = Descent(log_p, opinions)
        length = descent.best_length()
        left = descent.norm(descent.descend(length))
        topic.compare(
            case.format(f"over gradient descent, {DESCENT_STEPS} steps of {length}, which leave a norm of {left:.1g}"),
            lambda: seconds(lambda: combine_opinions(log_p, opinions)),
            lambda: seconds(lambda: descent.descend(length)),
            turns=1,
        )


def add(topic: Topic, case: str, unit: str, values: list[float]) -> None:
    """Add a row without a reference."""
    topic.add(Measured(case, median(values), unit, None, None, len(values), None))


def speeds(
    problem: Problem, together: int, divergences: list[Divergence], rounds: int
) -> dict[Divergence, list[float]]:
    """Return the samples per second of each round, without the time of making the samples."""
    # in parts of `together` samples, as batches of predictions come
    number = problem.samples // together if divergences else 0
    taken: dict[Divergence, list[float]] = {divergence: [0.0] * rounds for divergence in divergences}
    for seed in range(number):
        log_p, opinions = replace(problem, samples=together).make(seed)
        for divergence, found in taken.items():
            combine_opinions(log_p, opinions, divergence)  # not counted: loads code
            for i in range(rounds):
                found[i] += seconds(partial(combine_opinions, log_p, opinions, divergence))
    return {divergence: [number * together / time for time in found] for divergence, found in taken.items()}


def peak(problem: Problem, divergence: Divergence) -> int:
    """Return the peak memory of combining beside its inputs, in bytes."""
    combine_opinions(*replace(problem, samples=10).make(), divergence)  # loads code, which would count as memory
    log_p, opinions = problem.make()
    return peak_above(lambda: combine_opinions(log_p, opinions, divergence))


Numbers = NDArray[np.float64]


def by_scipy(log_p: Tensor, opinions: list[Opinion]) -> list[Numbers]:
    """Return q of the first samples that a specialist is queried about, found one by one."""
    some = torch.cat([opinion.rows for opinion in opinions]).unique()[:SCIPY_SAMPLES]
    found = []
    for row in some:
        said = [(log_p[row].double().exp().numpy(), np.arange(log_p.shape[1]))]
        for opinion in opinions:
            for p in opinion.log_probs[opinion.rows == row]:
                said.append((p.double().exp().numpy(), opinion.classes.numpy()))
        found.append(minimum(log_p[row].double().numpy(), said))
    return found


def minimum(start: Numbers, said: list[tuple[Numbers, NDArray[np.int64]]]) -> Numbers:
    """Return logits of the q with the smallest sum of cross-entropies; a longer p ends with a dustbin."""

    def value(logits: Numbers) -> tuple[float, Numbers]:
        powers = np.exp(logits - logits.max())
        q = powers / powers.sum()
        loss, slope = 0.0, len(said) * q
        for p, classes in said:
            known = p[: len(classes)]
            loss -= known @ np.log(q[classes])
            slope[classes] -= known
            if len(p) > len(classes):
                others = q.copy()
                others[classes] = 0
                loss -= p[-1] * np.log(others.sum())
                slope -= p[-1] / others.sum() * others
        return float(loss), slope

    options = {"maxiter": 1000, "ftol": 1e-15, "gtol": 1e-7}
    found: Numbers = minimize(value, start, jac=True, method="L-BFGS-B", options=options).x
    return found


class Descent:
    """Gradient descent on the logits of all samples at once, with matrices of the classes that specialists know."""

    def __init__(self, log_p: Tensor, opinions: list[Opinion]) -> None:
        self.log_p, self.opinions = log_p, opinions
        self.known = log_p.exp()  # sum of p over the models that know a class, [samples, classes]
        self.dustbins = log_p.new_zeros(len(log_p), len(opinions))
        self.weight = log_p.new_ones(len(log_p), 1)
        self.knows = log_p.new_zeros(len(opinions), log_p.shape[1])
        for i, opinion in enumerate(opinions):
            self.known.index_put_(
                (opinion.rows[:, None], opinion.classes), opinion.log_probs[:, :-1].exp(), accumulate=True
            )
            self.dustbins[opinion.rows, i] = opinion.log_probs[:, -1].exp()
            self.weight[opinion.rows] += 1
            self.knows[i, opinion.classes] = 1

    def gradient(self, logits: Tensor) -> Tensor:
        """Return the gradient at the logits of q."""
        q = logits.softmax(1)
        # p of a dustbin is shared out among its classes in proportion to q
        shares = self.dustbins / (q @ (1 - self.knows).T)
        return q.mul_(self.weight - shares @ (1 - self.knows)).sub_(self.known)

    def norm(self, logits: Tensor) -> float:
        """Return the largest norm of a sample's gradient."""
        return float(self.gradient(logits).norm(dim=1).max())

    def descend(self, length: float) -> Tensor:
        """Return logits after all steps."""
        logits, scale = self.log_p.clone(), -length / self.weight
        for _ in range(DESCENT_STEPS):
            logits.addcmul_(self.gradient(logits), scale)
        return logits

    def best_length(self) -> float:
        """Return the step length with the smallest remaining gradient on a few samples."""
        known = [one.rows < 200 for one in self.opinions]
        opinions = [
            replace(one, rows=one.rows[some], log_probs=one.log_probs[some])
            for one, some in zip(self.opinions, known, strict=True)
        ]
        few = Descent(self.log_p[:200], opinions)
        norms = {length: few.norm(few.descend(length)) for length in STEP_LENGTHS}
        # a length that diverges has the norm NaN
        return min(STEP_LENGTHS, key=lambda length: torch.inf if math.isnan(norms[length]) else norms[length])


def growth(topic: Topic, samples: int) -> None:
    """Compare more samples, and more classes that no specialist knows, with proportional growth from the fewest."""
    more_samples = [replace(FIRST, samples=samples * 2**i // 10) for i in range(5)]
    more_classes = [replace(FIRST, samples=samples // 10, classes=250 * 2**i) for i in range(7)]
    for problems, of in ((more_samples, "samples"), (more_classes, "classes")):
        wanted = [problem for problem in problems[1:] if topic.wanted(f"growth with {of}: {problem}")]
        if wanted:
            least = time_of(problems[0])
        for problem in wanted:
            times = getattr(problem, of) // getattr(problems[0], of)
            topic.compare(
                f"growth with {of}: {problem}, over {times} times {getattr(problems[0], of):,}",
                time_of(problem),
                lambda times=times, least=least: times * least(),
            )


def time_of(problem: Problem) -> Callable[[], float]:
    """Return a function that returns the seconds of combining."""
    log_p, opinions = problem.make()
    return lambda: seconds(lambda: combine_opinions(log_p, opinions))


if __name__ == "__main__":
    main()
