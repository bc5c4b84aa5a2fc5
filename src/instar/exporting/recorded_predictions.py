"""Checks that a rebuilt model is the trained one: compares its logits with those that the run recorded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from instar.analysis.scores import UNLABELLED, Scores
from instar.data.batch import Batch
from instar.data.dataset import Data
from instar.data.loader import Loader
from instar.data.samples import Samples
from instar.errors import MismatchError
from instar.models.normalised import Normalised
from instar.runs.predictions import read_predictions
from instar.runs.run import Run
from instar.teachers.module import Module
from instar.training.scoring import choose_batch_size

MAX_RELATIVE_DIFFERENCE = 1e-3
"""Largest allowed difference, as a share of the largest recorded logit.

The run may have predicted on an accelerator, whose float32 differs by about 1e-5 of the largest logit.
"""


@dataclass(frozen=True)
class Recorded:
    """A comparison of a model with the recorded predictions of its run.

    Args:
        split: "test" or "validation".
        samples: number of samples that were compared.
        difference: largest difference of a logit, in nats; of the NLL, if the run recorded no logits.
        allowed: largest difference that is allowed.
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
            f"predictions of the run on {self.samples} {self.split} samples differ by at most {self.difference:.2g} "
            f"(allowed: {self.allowed:.2g})"
        )


def compare_with_recorded(run: Run, model: Normalised, data: Data, tolerance: float) -> Recorded | None:
    """Compare a model with the recorded predictions of its run; None if these are not the data of the run.

    Args:
        run: run folder.
        model: model that was rebuilt from the folder.
        data: data to predict.
        tolerance: difference in nats that is always allowed.

    Raises:
        MismatchError: if the model is not the trained one.
        RunError: if the predictions are missing or damaged.
    """
    kept = read_predictions(run)
    # a run that was not judged on the test split has predictions of validation samples alone
    for split, samples in (("test", data.test), ("validation", data.held_out)):
        if samples is not None and _are_recorded(run, split, samples, data, kept):
            return _compare(run, model, split, samples, kept, tolerance)
    return None


def _are_recorded(run: Run, split: str, samples: Samples, data: Data, kept: Mapping[str, Tensor]) -> bool:
    # the same ids of other content are other samples, and so are other ids of the same content
    ids, known = kept.get(f"{split}.ids"), run.fingerprints.get("data") or {}
    if ids is None or not torch.equal(ids, samples.ids):
        return False
    found = data.fingerprints()
    needed = ("test",) if split == "test" else ("train", "test")  # validation samples are a part of train
    return all(known.get(name) == found[name] for name in needed)


def _compare(
    run: Run, model: Normalised, split: str, samples: Samples, kept: Mapping[str, Tensor], tolerance: float
) -> Recorded:
    # the first batch, cut as in the run: no hidden state precedes it, and other batches round differently
    batch = next(Loader(samples, choose_batch_size(samples), seed=0).in_order())
    logits = Module(model).targets(batch).logits().float()
    expected, found = _select_valid(batch, logits, samples.places(torch.tensor(batch.host_ids)), split, kept)
    difference = largest_difference(expected, found)
    finite = expected[expected.isfinite()]
    allowed = max(tolerance, MAX_RELATIVE_DIFFERENCE * (float(finite.abs().max()) if len(finite) else 1.0))
    if difference > allowed:
        # a model that draws random numbers differs from itself, and giving network= would not help
        if not torch.equal(logits, Module(model).targets(batch).logits().float()):
            raise MismatchError(
                f"the model of '{run.path}' returns different logits for the same inputs each time, so nothing can be "
                "compared with it; it must not draw random numbers in eval mode."
            )
        raise MismatchError(
            f"the model that '{run.path}' describes is not the trained one: a logit differs by {difference:.2g} from "
            f"the predictions that the run recorded for {len(batch)} {split} samples, and {allowed:.2g} is allowed; "
            "nothing was written. Give the trained module as network=."
        )
    return Recorded(split, len(batch), difference, allowed)


def _select_valid(
    batch: Batch, logits: Tensor, places: Tensor, split: str, kept: Mapping[str, Tensor]
) -> tuple[Tensor, Tensor]:
    # both are [example, class], or [example, 1] for the NLL; the run recorded zeros beyond the end of a sample
    valid = torch.ones_like(batch.labels, dtype=torch.bool) if batch.mask is None else batch.mask
    found = logits
    if (recorded := kept.get(f"{split}.logits")) is None:  # a large test set, whose logits the run did not store
        recorded, valid = kept[f"{split}.nll_and_answer"][..., :1], valid & (batch.labels != UNLABELLED)
        nll = Scores.of(logits.flatten(0, -2), batch.examples().labels).nll
        found = nll.view(*batch.labels.shape, 1)
    expected = recorded[places]
    if batch.labels.dim() == 2:  # a batch is as long as its longest sample, and the recording as the longest of all
        expected = expected[:, : found.shape[1]]
    if expected.shape != found.shape:
        raise MismatchError(
            f"the model returns logits of shape {list(found.shape)}, but the run recorded {list(expected.shape)}."
        )
    return expected[valid], found[valid]


def largest_difference(expected: Tensor, found: Tensor) -> float:
    """Return max |z - z'|; equal infinities differ by 0, and NaN differs by infinity.

    >>> largest_difference(torch.tensor([1.0, torch.inf]), torch.tensor([1.5, torch.inf]))
    0.5
    """
    apart = torch.where(expected == found, 0.0, (expected - found).abs())  # inf - inf would be NaN
    return float(apart.nan_to_num(nan=torch.inf).max()) if apart.numel() else 0.0
