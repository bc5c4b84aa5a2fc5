"""Image classifiers of Transformers, from a local folder or the Hub."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from torch import Tensor

from instar.compute.inputs import Shapes, describe_shapes
from instar.data.image_form import advise_channels
from instar.errors import MismatchError
from instar.models.transformers_classifier import TransformersClassifier


class ImageClassifier(TransformersClassifier):
    """z = the logits of a Transformers model for images `[channels, height, width]`, which `processor_reader` has read.

    See `TransformersClassifier` for its classes.
    """

    kind: ClassVar[str] = "AutoModelForImageClassification"

    def check_inputs(self, shape: Shapes, config: Any) -> None:
        """Refuse anything but images with the channels of the model."""
        channels = getattr(config, "num_channels", None)
        if isinstance(shape, Mapping) or len(shape) != 3 or channels not in (None, shape[0]):
            advice = "" if isinstance(shape, Mapping) or len(shape) != 3 else advise_channels(channels or 3, shape[0])
            raise MismatchError(
                f"model '{self.path}' takes images of {channels or 3} channels, got inputs of shape "
                f"{describe_shapes(shape)}{advice}."
            )

    def forward(self, inputs: Tensor) -> Tensor:
        """Return logits `[batch, classes]` of standardised images `[batch, channels, height, width]`."""
        return self.in_order(self.model(pixel_values=inputs).logits)
