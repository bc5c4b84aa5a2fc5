"""Whether a model that was read again is the one that was trained: its logits beside those that the run recorded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from instar.analysis import Scores
from instar.data import UNLABELLED, Batch, Data, Loader, Samples
from instar.errors import MismatchError
from instar.models import Normalised
from instar.runs.predictions import read_predictions
from instar.runs.run import Run
from instar.teachers import Module
from instar.training import choose_batch_size

TOLERANCE = 1e-3
"""The largest difference, as a share of the largest recorded logit.

The run may have predicted on an accelerator, whose float32 differs by some 1e-5 of the largest logit.
"""


@dataclass(frozen=True)
class Recorded:
    """What was compared with the predictions of the run.

    Args:
        split: "test" or "validation".
        samples: how many were compared.
        difference: the largest of a logit, in nats; of the NLL, where the run kept no logits.
        allowed: the largest difference that is allowed.
    """

    split: str
    samples: int
    difference: float
    allowed: float

    def as_dict(self) -> dict[str, Any]:
        """Return the values for JSON."""
        return asdict(self)

    def __str__(self) -> str:
        return (
            f"{self.samples} {self.split} samples of the run's predictions: they differ by at most "
            f"{self.difference:.2g} (allowed: {self.allowed:.2g})"
        )


def compare_with_recorded(run: Run, model: Normalised, data: Data, tolerance: float) -> Recorded | None:
    """Compare a model with the predictions that its run recorded; none where these data are not the run's.

    Args:
        run: the folder.
        model: what was built and loaded from it.
        data: the data at hand.
        tolerance: allowed in any case, in nats.

    Raises:
        MismatchError: when the model is not the one that was trained.
        RunError: when the predictions are missing or damaged.
    """
    kept = read_predictions(run)
    for split, samples in (("test", data.test), ("validation", data.held_out)):
        if samples is not None and _are_the_same(run, split, samples, data, kept):
            return _compare(run, model, split, samples, kept, tolerance)
    return None


def _are_the_same(run: Run, split: str, samples: Samples, data: Data, kept: Mapping[str, Tensor]) -> bool:
    """Whether these are the samples that the run predicted, by the fingerprint of their source and their ids."""
    ids, known = kept.get(f"{split}.ids"), run.fingerprints.get("data") or {}
    if ids is None or not torch.equal(ids, samples.ids):
        return False
    found = data.fingerprints()
    needed = ("test",) if split == "test" else ("train", "test")  # validation is set aside from train
    return all(known.get(name) == found[name] for name in needed)


def _compare(
    run: Run, model: Normalised, split: str, samples: Samples, kept: Mapping[str, Tensor], tolerance: float
) -> Recorded:
    # the first batch as the run predicted it: no hidden state comes before, and one that is built otherwise differs
    batch = next(Loader(samples, choose_batch_size(samples), seed=0).in_order())
    logits = Module(model).targets(batch).logits().float()
    expected, found = _alike(batch, logits, samples.places(torch.tensor(batch.host_ids)), split, kept)
    difference = largest_difference(expected, found)
    finite = expected[expected.isfinite()]
    allowed = max(tolerance, TOLERANCE * (float(finite.abs().max()) if len(finite) else 1.0))
    if difference > allowed:
        if not torch.equal(logits, Module(model).targets(batch).logits().float()):
            raise MismatchError(
                f"the model of '{run.path}' answers the same inputs otherwise each time, so that nothing can be "
                "compared with it; let it draw no random numbers in eval mode."
            )
        raise MismatchError(
            f"the model that '{run.path}' describes is not the one that was trained: it differs by {difference:.2g} in "
            f"a logit from the predictions that the run recorded for {len(batch)} {split} samples, and {allowed:.2g} "
            "is allowed; nothing was written. Give the module that was trained, as network=."
        )
    return Recorded(split, len(batch), difference, allowed)


def _alike(
    batch: Batch, logits: Tensor, places: Tensor, split: str, kept: Mapping[str, Tensor]
) -> tuple[Tensor, Tensor]:
    """Return what was recorded at the valid positions of a batch, and the same of its logits; `[examples, ...]`."""
    valid = torch.ones_like(batch.labels, dtype=torch.bool) if batch.mask is None else batch.mask
    found = logits
    if (recorded := kept.get(f"{split}.logits")) is None:  # too many were predicted to keep their logits
        recorded, valid = kept[f"{split}.nll_and_answer"][..., :1], valid & (batch.labels != UNLABELLED)
        nll = Scores.of(logits.flatten(0, -2), batch.examples().labels).nll
        found = nll.view(*batch.labels.shape, 1)
    expected = recorded[places]
    if batch.labels.dim() == 2:
        expected = expected[:, : found.shape[1]]
    if expected.shape != found.shape:
        raise MismatchError(
            f"the model answers with logits of shape {list(found.shape)}, and the run recorded {list(expected.shape)}."
        )
    return expected[valid], found[valid]


def largest_difference(expected: Tensor, found: Tensor) -> float:
    """Return max |z - z'|, with 0 where both are the same infinity, and infinity where one is NaN.

    >>> largest_difference(torch.tensor([1.0, torch.inf]), torch.tensor([1.5, torch.inf]))
    0.5
    """
    apart = torch.where(expected == found, 0.0, (expected - found).abs())
    return float(apart.nan_to_num(nan=torch.inf).max()) if apart.numel() else 0.0
