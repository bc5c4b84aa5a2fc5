"""Image classifiers of Transformers, from a local folder or the Hub."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from instar.errors import MismatchError, say
from instar.foreign import from_config, from_pretrained, read_config
from instar.models.class_names import match_classes, say_new_head

_KIND = "AutoModelForImageClassification"


class ImageClassifier(nn.Module):
    """z = the logits of a Transformers model for image classification, in the order of the classes of the data.

    Classes are matched by name (`id2label`), whatever their order. The names LABEL_0, LABEL_1, ... of Transformers say
    nothing, so such classes are matched by number. A pretrained model whose classes are not those of the data gets a
    new last layer, with new weights, and keeps all others.

    Args:
        path: folder or Hub id of a configuration, and of weights if `pretrained`.
        pretrained: start with the weights of the model; otherwise with new weights of the same architecture.
        input_shape: (channels, height, width) of the images, which `processor_reader` has read; None: not known.
        num_classes: number of classes; None: those of the model.
        classes: names of the classes of the data.

    Raises:
        ConfigError: when transformers is not installed, or cannot load the model.
        MismatchError: when the model takes other channels, or its weights are not complete.
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
        own_count = config.num_labels  # before it is that of the data
        # also of a model that is built again to load weights
        self._order, is_same = match_classes(own, own_count, names)
        if self._order is None and names:
            config.id2label, config.label2id = dict(enumerate(names)), {name: at for at, name in enumerate(names)}
        elif num_classes is not None and num_classes != own_count:
            config.num_labels, is_same = num_classes, False
        channels = getattr(config, "num_channels", None)
        if input_shape is not None and (len(input_shape) != 3 or channels not in (None, input_shape[0])):
            raise MismatchError(
                f"model '{path}' takes images of {channels or 3} channels, got inputs of shape {list(input_shape)}."
            )
        if not pretrained:
            model = from_config(_KIND, config, path, "model", dtype=torch.float32)
        elif is_same:
            model = _load(path, config, may_lack_head=num_classes is not None)
        else:
            say_new_head(path, own, own_count, names or tuple(map(str, range(config.num_labels))))
            model = _load_with_new_head(path, config)
        self.model = model.train()  # Transformers returns pretrained models in eval mode

    @property
    def classes(self) -> tuple[str, ...] | None:
        """Names of the classes of the model itself; None where it has only numbers."""
        return label_names(self.model.config) or None

    @property
    def columns(self) -> list[int]:
        """Column of the model's own logits for each class of the data."""
        return self._order or list(range(self.model.config.num_labels))

    def forward(self, inputs: Tensor) -> Tensor:
        """Return logits `[batch, classes]` of standardised images `[batch, channels, height, width]`."""
        logits: Tensor = self.model(pixel_values=inputs).logits
        return logits if self._order is None else logits[:, self._order]


def label_names(config: Any) -> tuple[str, ...]:
    """Return the names of the classes in a configuration of Transformers; () where they are only numbers."""
    names = tuple(str(config.id2label[at]) for at in sorted(config.id2label))
    return () if names == tuple(f"LABEL_{at}" for at in range(len(names))) else names


def _load(path: str, config: Any, *, may_lack_head: bool) -> Any:
    model, missing = _load_known(path, config)
    if not missing:
        return model
    if may_lack_head and missing <= _head_of(path, config):  # Transformers has filled it with new weights
        say(f"instar: model '{path}' has no weights of its last layer, which is new.")
        return model
    raise MismatchError(
        f"'{path}' lacks weights of {type(model).__name__}, such as '{min(missing)}', so it is no trained classifier "
        "yet; train it first, or train new weights with --arg pretrained=false."
    )


def _load_known(path: str, config: Any) -> tuple[Any, set[str]]:
    # only safetensors, because loading other formats unpickles them
    model, report = from_pretrained(
        _KIND, path, "model", config=config, use_safetensors=True, dtype=torch.float32, output_loading_info=True
    )
    return model, set(report["missing_keys"])


def _load_with_new_head(path: str, config: Any) -> Any:
    model = from_config(_KIND, config, path, "model", dtype=torch.float32)
    trained, missing = _load_known(path, read_config(path, "model"))
    head = _head_of(path, config)
    if left := missing - head:
        raise MismatchError(
            f"'{path}' lacks weights of {type(model).__name__}, such as '{min(left)}'; train new weights with --arg "
            "pretrained=false."
        )
    model.load_state_dict(
        {name: value for name, value in trained.state_dict().items() if name not in head}, strict=False
    )
    return model


def _head_of(path: str, config: Any) -> set[str]:
    # by shape, because every family names its last layer in its own way
    wider = copy.deepcopy(config)
    wider.num_labels = config.num_labels + 1
    with torch.device("meta"):
        one, other = (from_config(_KIND, each, path, "model").state_dict() for each in (config, wider))
    return {name for name, value in one.items() if value.shape != other[name].shape}
