"""Audio classifiers of Transformers, from a local folder or the Hub."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from instar.compute.inputs import Shapes, describe_shapes
from instar.errors import MismatchError
from instar.models.padding import call_by_length, ignores_padding
from instar.models.transformers_classifier import TransformersClassifier

MASK_TOLERANCE = 1e-4
"""Largest difference of logits, relative to their size, by which padding behind a mask may change them."""

_COMPARED_SAMPLES = (4000, 6000)  # a recording alone, and padded to this


class AudioClassifier(TransformersClassifier):
    """z = the logits of a Transformers model for recordings, whose features `Extracted` has read.

    Padding changes no logit. Recordings of several lengths are computed together if the model ignores what its mask
    hides, which is tried on noise; otherwise those of each length are computed by themselves.
    Models such as Wav2Vec2 "base" normalise over the whole length, so they need that, and are slower for it.

    See `TransformersClassifier` for its classes.
    """

    kind: ClassVar[str] = "AutoModelForAudioClassification"

    def check_inputs(self, shape: Shapes, config: Any) -> None:
        """Refuse anything but the features of recordings."""
        if not isinstance(shape, Mapping) or not any(name.startswith("input_") for name in shape):
            raise MismatchError(
                f"model '{self.path}' takes recordings with a class each, got inputs of shape "
                f"{describe_shapes(shape)}; load recordings with data.states=0."
            )

    def forward(self, attention_mask: Tensor | None = None, **features: Tensor) -> Tensor:
        """Return logits `[batch, classes]`.

        Args:
            attention_mask: which positions are no padding, bool `[batch, position]`; None: all are valid.
            features: `input_values` or `input_features`, `[batch, position, ...]`.
        """
        with _seeded_numpy() if self.training else _nothing():
            return self.in_order(self._logits(features, attention_mask))

    def _logits(self, features: Mapping[str, Tensor], mask: Tensor | None) -> Tensor:
        # a graph has no branches that depend on the lengths of its recordings
        if mask is None or (not torch.compiler.is_exporting() and bool(mask.all())):
            return self._call(features)
        if self.ignores_padding:
            return self._call({**features, "attention_mask": mask.long()})
        return call_by_length(self._call, features, mask)

    def _call(self, features: Mapping[str, Tensor]) -> Tensor:
        logits: Tensor = self.model(**features).logits
        return logits

    def tries_padding(self) -> bool:
        """Return whether the model ignores noise that its mask hides."""
        short, long = _COMPARED_SAMPLES
        noise = torch.randn(1, short, generator=torch.Generator().manual_seed(0))
        padded = torch.nn.functional.pad(noise, (0, long - short))
        mask = (torch.arange(long) < short)[None].long()
        given = {"input_values": padded, "attention_mask": mask}
        return ignores_padding(self.model, {"input_values": noise}, given, MASK_TOLERANCE)


@contextmanager
def _seeded_numpy() -> Iterator[None]:
    # Transformers draws the masks of SpecAugment with NumPy, and checkpoints restore torch's generator
    state = np.random.get_state()
    np.random.seed(int(torch.randint(2**31, ())))
    try:
        yield
    finally:
        np.random.set_state(state)


@contextmanager
def _nothing() -> Iterator[None]:
    yield
