"""Soft targets with permuted wrong classes: dark knowledge without class similarities."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

from instar.checks import checked
from instar.data.batch import Batch
from instar.errors import ConfigError
from instar.objectives.objective import Term
from instar.objectives.values import Need, Value
from instar.seeds import Draws
from instar.targets.cross_entropy import floored
from instar.targets.targets import Targets

Scope = Literal["sample", "batch", "fixed"]


@checked
@dataclass(frozen=True)
class PermutedDarkKnowledge(Term):
    """l = -sum_c p'_c log q_c: p'_a = p_a for a = argmax p, the other n - 1 probabilities in a random order (DKPP).

    In nats per example, at temperature 1, without labels. Each target keeps the teacher's confidence and the
    probabilities of the other classes, but not which classes they belong to. `scope` sets how much is lost:

    - "sample": a new order per (seed, sample, step). Nothing links a wrong class to an example or to another class: the
      mean targets over steps are p_a, and (1 - p_a) / (n - 1) for the others.
    - "batch": one order per step for all samples. Similar examples have similar targets within a step, but not over
      steps.
    - "fixed": one order for the whole run. Only the names of the wrong classes are lost; the student can still learn
      how classes vary together.

    Source: Furlanello et al. 2018, "Dark knowledge under the light". The paper does not say how often the order is
    drawn. It intends to destroy pairwise similarities, which only "sample" does.

    Args:
        scope: examples and steps that share an order: "sample", "batch" or "fixed".

    Raises:
        ConfigError: when the scope is unknown.

    >>> import torch
    >>> from instar.targets import DenseTargets
    >>> teacher = DenseTargets(torch.tensor([[0.1, 0.6, 0.2, 0.1]]).log())
    >>> found = PermutedDarkKnowledge().permuted(teacher.log_probs(1.0), Batch.of_labels(torch.tensor([1])))
    >>> round(found[0, 1].exp().item(), 4), [round(p, 4) for p in found[0].exp().sort().values.tolist()]
    (0.6, [0.1, 0.1, 0.2, 0.6])
    """

    scope: Scope = "sample"

    needs = frozenset({Need.TEACHER})
    name = "permuted_dark_knowledge"

    def __post_init__(self) -> None:
        if self.scope not in get_args(Scope):
            raise ConfigError(f"PermutedDarkKnowledge(scope) must be 'sample', 'batch' or 'fixed', got {self.scope!r}.")

    def __call__(self, logits: Tensor, batch: Batch, targets: Targets | None) -> Value:
        """Return the cross-entropy with the permuted targets per example."""
        assert targets is not None, "Objective.check refuses a run without a teacher"
        teacher = targets.log_probs(1.0).to(logits)
        permuted = self.permuted(teacher, batch).exp()
        # a class of probability 0 may be given to one that the student rules out, and 0 times -inf is NaN
        return Value(-(permuted * floored(torch.log_softmax(logits, dim=-1))).sum(-1))

    def permuted(self, log_probs: Tensor, batch: Batch) -> Tensor:
        """Return `log_probs` `[..., classes]` with all but the largest of each example in the order of this step."""
        keys = self._keys(log_probs, batch)  # random numbers, whose order is the permutation
        top = log_probs.argmax(-1, keepdim=True)
        # where the others come from: in the order of random keys, the largest last
        sources = keys.scatter(-1, top, torch.iinfo(keys.dtype).max).argsort(-1)
        # where they go: in the order of the classes, the largest last; so the largest stays where it is
        classes = torch.arange(log_probs.shape[-1], device=log_probs.device).expand_as(keys)
        places = classes.scatter(-1, top, log_probs.shape[-1]).argsort(-1)
        return torch.empty_like(log_probs).scatter(-1, places, log_probs.gather(-1, sources))

    def _keys(self, log_probs: Tensor, batch: Batch) -> Tensor:
        draws = batch.examples().draws("permutation")  # by the id of each position, which is the same in every tile
        if self.scope == "sample":
            return draws.table(log_probs.shape[batch.labels.dim() :], "order").view(log_probs.shape)
        step = batch.step if self.scope == "batch" else 0
        # one sample with id 0 stands for all, so that any batch and any tile draws the same order
        of_all = Draws(draws.seed, torch.zeros_like(batch.ids[:1]), step)
        return of_all.table(log_probs.shape[-1:], "order").expand_as(log_probs)
