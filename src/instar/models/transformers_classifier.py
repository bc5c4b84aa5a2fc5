"""Classifiers of Transformers, from a local folder or the Hub: their classes, and those of the data."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from instar.compute.inputs import Shapes
from instar.errors import MismatchError, say
from instar.foreign import from_config, from_weights, read_config
from instar.models.class_names import match_classes, say_new_head


class TransformersClassifier(nn.Module):
    """z = the logits of a Transformers model, in the order of the classes of the data.

    Classes are matched by name (`id2label`), whatever their order. The names LABEL_0, LABEL_1, ... of Transformers say
    nothing, so such classes are matched by number. A pretrained model whose classes are not those of the data gets a
    new last layer, with new weights, and keeps all others.

    Args:
        path: folder or Hub id of a configuration, and of weights if `pretrained`.
        pretrained: start with the weights of the model; otherwise with new weights of the same architecture.
        input_shape: shape of one input, or of several by name; None: not known.
        num_classes: number of classes; None: those of the model.
        classes: names of the classes of the data.

    Raises:
        ConfigError: when transformers is not installed, or cannot load the model.
        MismatchError: when the model takes other inputs, or its weights are not complete.
    """

    kind: ClassVar[str]
    """Class of Transformers that opens such models."""

    def __init__(
        self,
        path: str,
        pretrained: bool = True,
        *,
        input_shape: Shapes | None = None,
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
        if input_shape is not None:
            self.check_inputs(input_shape, config)
        if not pretrained:
            model = from_config(self.kind, config, path, "model", dtype=torch.float32)
        elif is_same:
            model = _load(self.kind, path, config, may_lack_head=num_classes is not None)
        else:
            say_new_head(path, own, own_count, names or tuple(map(str, range(config.num_labels))))
            model = _load_with_new_head(self.kind, path, config)
        self.model = model.train()  # Transformers returns pretrained models in eval mode
        # before a network is called, because a call may be watched, traced or compiled
        self.ignores_padding = self.tries_padding()

    @property
    def classes(self) -> tuple[str, ...] | None:
        """Names of the classes of the model itself; None where it has only numbers."""
        return label_names(self.model.config) or None

    @property
    def columns(self) -> list[int]:
        """Column of the model's own logits for each class of the data."""
        return self._order or list(range(self.model.config.num_labels))

    def check_inputs(self, shape: Shapes, config: Any) -> None:
        """Refuse inputs that the model does not take.

        Raises:
            MismatchError: says what it takes.
        """
        raise NotImplementedError

    def tries_padding(self) -> bool:
        """Return whether padding behind a mask changes no logit of the model; models without padding do nothing."""
        return True

    def in_order(self, logits: Tensor) -> Tensor:
        """Return the model's own logits in the order of the classes of the data."""
        return logits if self._order is None else logits[..., self._order]


def label_names(config: Any) -> tuple[str, ...]:
    """Return the names of the classes in a configuration of Transformers; () where they are only numbers."""
    names = tuple(str(config.id2label[at]) for at in sorted(config.id2label))
    return () if names == tuple(f"LABEL_{at}" for at in range(len(names))) else names


def _load(kind: str, path: str, config: Any, *, may_lack_head: bool) -> Any:
    model, missing = from_weights(kind, path, config)
    if not missing:
        return model
    if may_lack_head and missing <= _head_of(kind, path, config):  # Transformers has filled it with new weights
        say(f"instar: model '{path}' has no weights of its last layer, which is new.")
        return model
    raise MismatchError(
        f"'{path}' lacks weights of {type(model).__name__}, such as '{min(missing)}', so it is no trained classifier "
        "yet; train it first, or train new weights with --arg pretrained=false."
    )


def _load_with_new_head(kind: str, path: str, config: Any) -> Any:
    model = from_config(kind, config, path, "model", dtype=torch.float32)
    trained, missing = from_weights(kind, path, read_config(path, "model"))
    head = _head_of(kind, path, config)
    if left := missing - head:
        raise MismatchError(
            f"'{path}' lacks weights of {type(model).__name__}, such as '{min(left)}'; train new weights with --arg "
            "pretrained=false."
        )
    model.load_state_dict(
        {name: value for name, value in trained.state_dict().items() if name not in head}, strict=False
    )
    return model


def _head_of(kind: str, path: str, config: Any) -> set[str]:
    # by shape, because every family names its last layer in its own way
    wider = copy.deepcopy(config)
    wider.num_labels = config.num_labels + 1
    with torch.device("meta"):
        one, other = (from_config(kind, each, path, "model").state_dict() for each in (config, wider))
    return {name for name, value in one.items() if value.shape != other[name].shape}
