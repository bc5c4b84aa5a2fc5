"""The gradient of a step in two terms: the part of the label, and the part of all other classes."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from instar.analysis.scores import UNLABELLED
from instar.data.batch import Batch
from instar.errors import MismatchError
from instar.targets.targets import Targets

if TYPE_CHECKING:
    from accelerate import Accelerator


class GradientTerms:
    """dL/dw = J^T g_true + J^T g_dark, with g = dL/dz split into the coordinate of the label and all others.

    L is the mean loss of a batch, z are the logits, and J = dz/dw. For cross-entropy with a teacher at temperature 1, g
    of N examples is (q - p) / N: the ground-truth term is (q_t - p_t) / N at the label t, the dark-knowledge term
    (q_c - p_c) / N at the others. So the terms are orthogonal at the logits, and rarely at the weights. The sums of
    their coordinates cancel for every loss that does not change if a constant is added to all logits. With a teacher,
    importance sampling would weigh the examples by w_s = p_t, the teacher's probability of the label at temperature 1.

    Unlabelled examples and invalid positions are left out of both terms. The parts of a batch are added up, also over
    processes. The terms come from the graph of the step itself, by two more backward passes, so random draws and
    running statistics do not change. A compiled network cannot do this: its graph allows one backward pass.

    Source: Furlanello et al. 2018, "Dark knowledge under the light".

    Args:
        model: model with trained weights; frozen weights are left out.

    Attributes:
        vectors: ground-truth and dark-knowledge gradient of the added parts, float32 `[2, weights]`.

    >>> model = nn.Linear(2, 3, bias=False)
    >>> inputs, batch = torch.tensor([[3.0, 4.0]]), Batch.of_labels(torch.tensor([1]))
    >>> terms, logits = GradientTerms(model), 0 * model(inputs)
    >>> terms.add(nn.functional.cross_entropy(logits, batch.labels), logits, batch)
    >>> {name: round(value.item(), 3) for name, value in terms.numbers().items() if name.endswith("norm_logits")}
    {'ground_truth_norm_logits': 0.667, 'dark_knowledge_norm_logits': 0.471}
    """

    def __init__(self, model: nn.Module) -> None:
        self._weights = [weight for weight in model.parameters() if weight.requires_grad]
        empty = torch.zeros((), device=self._weights[0].device)
        self.vectors = empty.new_zeros(2, sum(weight.numel() for weight in self._weights))
        self._squares, self._sums = empty.new_zeros(2), empty.new_zeros(2)
        self._importance = empty.new_zeros(3)  # number of labelled examples, sum of w, sum of w^2
        self._extremes = empty.new_full((2,), -torch.inf)  # maximum of -w and of w, so that one `max` serves both
        self._has_teacher = False

    def add(self, loss: Tensor, logits: Tensor, batch: Batch, targets: Targets | None = None) -> None:
        """Add a part of a batch, before its backward pass.

        Args:
            loss: sum of the losses of the part, divided by the number of examples of the whole batch.
            logits: logits of the student that the loss was computed from, `[..., classes]`.
            batch: the part, with labels and mask.
            targets: the teacher's targets for the part; None: there is no teacher.
        """
        # g = dL/dz, `[..., classes]`
        (gradient,) = torch.autograd.grad(loss, logits, retain_graph=True)
        labels = batch.labels if batch.mask is None else torch.where(batch.mask, batch.labels, UNLABELLED)
        known = labels != UNLABELLED
        # no label is -1 among the classes, so an unlabelled example has no coordinate at its label
        at_label = torch.arange(logits.shape[-1], device=labels.device) == labels[..., None]
        # [2, ..., classes]; `where` and not a product, because NaN of an invalid position times 0 is NaN
        split = torch.stack([torch.where(where, gradient, 0.0) for where in (at_label, known[..., None] & ~at_label)])
        # J^T g, one term after the other; the graph stays for the step's own backward pass
        for row, part in enumerate(split):
            # zeros for weights that the logits do not depend on, so that all vectors have the same coordinates
            found = torch.autograd.grad(logits, self._weights, part, retain_graph=True, materialize_grads=True)
            self.vectors[row] += torch.cat([weight.reshape(-1) for weight in found])
        split = split.flatten(1).to(self._sums)
        self._squares += split.square().sum(1)
        self._sums += split.sum(1)
        self._importance[0] += known.sum()
        if targets is not None:
            with suppress(MismatchError):  # targets of a few classes, or of another temperature, have no weights
                self._weigh(labels, known, targets)

    def _weigh(self, labels: Tensor, known: Tensor, targets: Targets) -> None:
        log_probs = targets.log_probs(1.0).to(self._sums)
        self._has_teacher = True
        # w = p_t; unlabelled examples read class 0, and are masked below
        weights = log_probs.gather(-1, labels.clamp(min=0)[..., None])[..., 0].exp()
        w = torch.where(known, weights, 0.0)
        self._importance[1:] += torch.stack([w.sum(), w.square().sum()])
        ends = torch.stack([torch.where(known, sign * weights, -torch.inf).max() for sign in (-1, 1)])
        self._extremes = torch.maximum(self._extremes, ends)

    def numbers(self, accelerator: Accelerator | None = None) -> dict[str, Tensor]:
        """Return the measurements, still on the device; NaN or infinite if no example was labelled.

        Args:
            accelerator: processes that have added a share of the batch each; None: this process has added all of it.

        Returns:
            `ground_truth_norm` and `dark_knowledge_norm` of the gradients at the weights, `angle` between these
            (degrees), `..._norm_logits` and `..._sum` of g, `labelled` examples; and with a teacher `importance_mean`,
            `importance_smallest` and `importance_largest` of w, and `effective_share`, (sum w)^2 / (n sum w^2).
        """
        vectors, extremes = self.vectors, self._extremes
        sums = torch.cat([self._squares, self._sums, self._importance])
        if accelerator is not None and accelerator.num_processes > 1:
            vectors, sums = accelerator.reduce(vectors), accelerator.reduce(sums)
            extremes = accelerator.gather(extremes[None]).amax(0)
        norms = vectors.norm(dim=1)
        cosine = (vectors[0] * vectors[1]).sum() / norms.prod()
        names = ("ground_truth_norm", "dark_knowledge_norm")
        found = dict(zip(names, norms, strict=True))
        found["angle"] = cosine.clamp(-1, 1).acos().rad2deg()  # rounding may leave it beyond 1, where acos is NaN
        found |= dict(zip((f"{name}_logits" for name in names), sums[:2].sqrt(), strict=True))
        found |= dict(zip(("ground_truth_sum", "dark_knowledge_sum"), sums[2:4], strict=True))
        labelled, total, squares = sums[4:]
        found["labelled"] = labelled
        if self._has_teacher:
            found |= {
                "importance_mean": total / labelled,
                "importance_smallest": -extremes[0],
                "importance_largest": extremes[1],
                "effective_share": total.square() / (labelled * squares),  # effective sample size (Kish) over n
            }
        return found
