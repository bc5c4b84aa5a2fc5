"""When specialists gain more where more of them know the class: a simulation with a known truth.

Samples have 100 classes in ten groups, and the true posterior is known. A generalist's logits are the true ones plus
noise, with a standard deviation of 2; each specialist's too, for the ten classes of one group, with the others as a
dustbin. A share of the variance of a specialist's noise is the generalist's own noise, as in a specialist that starts
from the generalist's weights. Each group has n specialists, so coverage is not mixed up with difficulty, as it is where
clusters follow the errors of a generalist.

A row is the relative gain in right predictions with n specialists, in %, and `spread` its 95% interval over samples.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from instar.analysis.significance import paired_interval
from instar.seeds import generator
from instar.teachers.combining import Opinion, combine_opinions
from measure import Measured, Topic, parser

CLASSES, GROUP = 100, 10
SIGNAL, MARGIN = 3.0, 1.0
GENERALIST_NOISE = 2.0

SPECIALISTS = {
    "as good as the generalist, with its own errors": (2.0, 0.0),
    "as good as the generalist, half of its errors shared": (2.0, 0.5),
    "as good as the generalist, nine tenths of its errors shared": (2.0, 0.9),
    "half the generalist's noise, half of its errors shared": (1.0, 0.5),
    "half the generalist's noise, all of its errors shared": (1.0, 1.0),
}
"""Standard deviation of a specialist's noise, and the share of its variance that is the generalist's noise."""


def main() -> None:
    """Measure all cases."""
    options = parser(__doc__)
    options.add_argument("--samples", type=int, default=20_000, help="use fewer samples, for a quick look")
    topic = Topic("specialist_coverage", options.parse_args())
    for words, (deviation, shared) in SPECIALISTS.items():
        for number in (1, 2, 3, 5, 8):
            case = f"{number} specialists for each class, {words}"
            if topic.wanted(case):
                mean, low, high = relative_gain(number, deviation, shared, topic.arguments.samples)
                topic.add(Measured(case, mean, "%", None, None, topic.arguments.samples, (low, high)))
    topic.write()


def relative_gain(number: int, deviation: float, shared: float, samples: int) -> tuple[float, float, float]:
    """Return the gain in right predictions in % of the generalist's, with its 95% interval: (mean, low, high)."""
    random = generator(0, "coverage")  # the same samples and generalist in all cases

    def noise() -> Tensor:
        return torch.randn(samples, CLASSES, generator=random, dtype=torch.float64)

    # classes are Gaussians around a direction of their own and one of their group, so the posterior is known
    means = torch.cat([SIGNAL * torch.eye(CLASSES), MARGIN * F.one_hot(torch.arange(CLASSES) // GROUP)], 1).double()
    labels = torch.randint(CLASSES, (samples,), generator=random)
    seen = means[labels] + torch.randn(samples, means.shape[1], generator=random, dtype=torch.float64)
    true_logits = seen @ means.T - means.square().sum(1) / 2
    of_generalist = noise()
    log_p = (true_logits + GENERALIST_NOISE * of_generalist).log_softmax(1)
    likeliest = log_p.argmax(1)
    opinions = []
    for _ in range(number):
        own = math.sqrt(shared) * of_generalist + math.sqrt(1 - shared) * noise()
        theirs = true_logits + deviation * own
        for classes in torch.arange(CLASSES).split(GROUP):
            rows = torch.isin(likeliest, classes).nonzero()[:, 0]
            dustbin = theirs[rows].index_fill(1, classes, -torch.inf).logsumexp(1, keepdim=True)
            opinion = torch.cat([theirs[rows][:, classes], dustbin], 1)
            opinions.append(Opinion(rows, opinion.log_softmax(1), classes))
    together = combine_opinions(log_p, opinions).argmax(1)
    right = (likeliest == labels).double()
    found = paired_interval((together != labels).double().tolist(), (1 - right).tolist())
    mean, low, high = (100 * value / float(right.mean()) for value in found)
    return mean, low, high


if __name__ == "__main__":
    main()
