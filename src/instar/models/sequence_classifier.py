"""Text classifiers of Transformers, from a local folder or the Hub."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

from instar.compute.inputs import Shapes, describe_shapes
from instar.errors import MismatchError, nearest
from instar.models.transformers_classifier import TransformersClassifier


class SequenceClassifier(TransformersClassifier):
    """z = the logits of a Transformers model for texts, called with its arguments by name, such as `input_ids`.

    See `TransformersClassifier` for its classes.
    """

    kind: ClassVar[str] = "AutoModelForSequenceClassification"

    def check_inputs(self, shape: Shapes, config: Any) -> None:
        """Refuse a single tensor, because the padding of texts needs a mask, and texts longer than the model allows."""
        if not isinstance(shape, Mapping) or "input_ids" not in shape:
            raise MismatchError(
                f"model '{self.path}' takes input_ids and a mask of their padding (attention_mask) by name, got inputs "
                f"of shape {describe_shapes(shape)}; give them as {{'input_ids': ..., 'attention_mask': ...}}."
            )
        allowed = getattr(config, "max_position_embeddings", None)
        if allowed is not None and shape["input_ids"][0] > allowed:
            raise MismatchError(
                f"model '{self.path}' allows {allowed} positions, but the data have {shape['input_ids'][0]}."
            )

    def forward(self, **inputs: Tensor) -> Tensor:
        """Return logits `[batch, classes]` of `input_ids` `[batch, position]` and other arguments of the model.

        Raises:
            MismatchError: when the model has no such argument.
        """
        known = inspect.signature(self.model.forward).parameters
        for name in inputs:
            if name not in known:
                raise MismatchError(
                    f"model '{self.path}' has no argument '{name}'; {nearest(name, known)} A reader chooses and "
                    "renames inputs, as Named(input_ids=AsIs('ids'))."
                )
        # some models compute with their mask, which a bool does not allow
        given = {name: one.long() if one.dtype == torch.bool else one for name, one in inputs.items()}
        return self.in_order(self.model(**given).logits)
