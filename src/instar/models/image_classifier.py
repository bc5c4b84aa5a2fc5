"""Image classifiers of Transformers, from a local folder or the Hub."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from instar.errors import MismatchError
from instar.foreign import from_config, from_pretrained, read_config


class ImageClassifier(nn.Module):
    """z = the logits of a Transformers model for image classification, in the order of the classes of the data.

    Classes are matched by name (`id2label`), whatever their order. The names LABEL_0, LABEL_1, ... of Transformers say
    nothing, so such classes are matched by number.

    Args:
        path: folder or Hub id of a configuration, and of weights if `pretrained`.
        pretrained: start with the weights of the model; otherwise with new weights of the same architecture, which may
            then have other classes.
        input_shape: (channels, height, width) of the images, which `processor_reader` has read; None: not known.
        num_classes: number of classes; None: those of the model.
        classes: names of the classes of the data.

    Raises:
        ConfigError: when transformers is not installed, or cannot load the model.
        MismatchError: when the model has other classes or channels, or its weights are not complete.
    """

    def __init__(
        self,
        path: str,
        pretrained: bool = True,
        *,
        input_shape: tuple[int, ...] | None = None,
        num_classes: int | None = None,
        classes: Sequence[str] = (),
    ) -> None:
        super().__init__()
        self.path, self.pretrained = path, pretrained
        config = read_config(path, "model")
        own, names = label_names(config), tuple(classes)
        # column `order[i]` of the model is class i of the data; also of a model that is built again to load weights
        self._order = [own.index(name) for name in names] if own and sorted(own) == sorted(names) else None
        wanted = num_classes or config.num_labels
        # data without names number their classes
        is_named = bool(own) and names != tuple(map(str, range(len(own))))
        if pretrained and self._order is None and names and (is_named or config.num_labels != wanted):
            raise MismatchError(
                f"model '{path}' has other classes than the data: {_list(own) or config.num_labels}, and the data have "
                f"{_list(names)}; rename the classes of the data, or train new weights with --arg pretrained=false."
            )
        if self._order is None and not pretrained and names:
            config.id2label, config.label2id = dict(enumerate(names)), {name: at for at, name in enumerate(names)}
        channels = getattr(config, "num_channels", None)
        if input_shape is not None and (len(input_shape) != 3 or channels not in (None, input_shape[0])):
            raise MismatchError(
                f"model '{path}' takes images of {channels or 3} channels, got inputs of shape {list(input_shape)}."
            )
        self.model = _load(path, config, pretrained).train()  # Transformers returns pretrained models in eval mode

    @property
    def classes(self) -> tuple[str, ...] | None:
        """Names of the classes of the model itself; None where it has only numbers."""
        return label_names(self.model.config) or None

    def forward(self, inputs: Tensor) -> Tensor:
        """Return logits `[batch, classes]` of standardised images `[batch, channels, height, width]`."""
        logits: Tensor = self.model(pixel_values=inputs).logits
        return logits if self._order is None else logits[:, self._order]


def label_names(config: Any) -> tuple[str, ...]:
    """Return the names of the classes in a configuration of Transformers; () where they are only numbers."""
    names = tuple(str(config.id2label[at]) for at in sorted(config.id2label))
    return () if names == tuple(f"LABEL_{at}" for at in range(len(names))) else names


def _load(path: str, config: Any, pretrained: bool) -> Any:
    kind = "AutoModelForImageClassification"
    if not pretrained:
        return from_config(kind, config, path, "model", dtype=torch.float32)
    # only safetensors, because loading other formats unpickles them
    model, report = from_pretrained(
        kind, path, "model", config=config, use_safetensors=True, dtype=torch.float32, output_loading_info=True
    )
    # Transformers would fill them with random numbers
    if missing := sorted(report["missing_keys"]):
        raise MismatchError(
            f"'{path}' lacks weights of {type(model).__name__}, such as '{missing[0]}', so it is no trained classifier "
            "yet; train it first, or train new weights with --arg pretrained=false."
        )
    return model


def _list(names: Sequence[str]) -> str:
    return ", ".join(f"'{name}'" for name in names)
