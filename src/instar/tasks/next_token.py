"""Next token: the label at each position of a text is the token that comes next."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from instar.analysis.metrics import perplexity, quick_metrics
from instar.tasks.metric import Metric
from instar.tasks.metrics import metrics_of_classes
from instar.tasks.task import Task

PERPLEXITY = Metric(
    "perplexity",
    # the exponential of the mean over all tokens, not the mean of a perplexity per window
    measure=lambda scores, _: perplexity(quick_metrics(scores)["nll"]),
    label="perplexity",
    line="{perplexity:.2f} per token",
    title="Perplexity",
    meaning="For text: e to the power of the NLL per token, of completions alone for instructions; lower is better.",
    how="per token",
)


@dataclass(frozen=True)
class NextToken(Task):
    """The label at each position of a text is the token that comes next.

    Args:
        is_stream: whether each sample continues where the one before it ends, so that they are read in order.
    """

    metrics: ClassVar[tuple[Metric, ...]] = metrics_of_classes(PERPLEXITY)
    is_causal = True
    is_stream: bool = False
