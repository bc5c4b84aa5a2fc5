"""Image classifiers of timm, by name, with the reader of their pretrained configuration."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeGuard

import torch
from torch import Tensor, nn

from instar.compute.inputs import Shapes, describe_shapes
from instar.data.image_form import advise_channels
from instar.errors import ConfigError, MismatchError, shortened
from instar.models.class_names import match_classes, say_new_head
from instar.models.readers.comparison import Picture, find_reader
from instar.models.readers.pixels import Pixels

TIMM_PREFIX = "timm:"
"""Prefix of the names of models of timm."""


class TimmClassifier(nn.Module):
    """z = the logits of a model of timm, in the order of the classes of the data.

    Where timm knows the names of the classes, such as the WordNet ids of ImageNet, they are matched by name, and by
    number otherwise. A pretrained model whose classes are not those of the data gets a new last layer, with new
    weights, and keeps all others.

    Args:
        name: name in `timm.list_models()`, also with a tag, as in `resnet18.a1_in1k`; `hf-hub:` with a Hub id, or
            `local-dir:` with a folder.
        pretrained: start with the weights of timm; otherwise with new weights.
        drop_rate: dropout before the last layer; None: that of the model.
        drop_path_rate: share of residual branches that are left out in training; None: that of the model.
        input_shape: (channels, height, width) of the images, which `timm_reader` has read; None: not known.
        num_classes: number of classes; None: those of the pretrained weights.
        classes: names of the classes of the data.

    Raises:
        ConfigError: when timm is not installed, has no such model, or cannot load its weights.
        MismatchError: when the model takes other channels.
    """

    def __init__(
        self,
        name: str,
        pretrained: bool = True,
        drop_rate: float | None = None,
        drop_path_rate: float | None = None,
        *,
        input_shape: Shapes | None = None,
        num_classes: int | None = None,
        classes: Sequence[str] = (),
    ) -> None:
        super().__init__()
        self.name, self.pretrained = name, pretrained
        self._rates = {"drop_rate": drop_rate, "drop_path_rate": drop_path_rate}
        config = read_pretrained_config(name)
        self._own = pretrained_classes(config)
        number, wanted = int(config["num_classes"]), num_classes or int(config["num_classes"])
        self._has_own_head = pretrained and wanted == number
        # also of a model that is built again to load weights
        self._order, is_same = match_classes(self._own, number, tuple(classes))
        channels = config["input_size"][0]
        if input_shape is not None and not (_is_image(input_shape) and input_shape[0] == channels):
            advice = advise_channels(channels, input_shape[0]) if _is_image(input_shape) else ""
            raise MismatchError(
                f"model '{TIMM_PREFIX}{name}' takes images of {channels} channels, got inputs of shape "
                f"{describe_shapes(input_shape)}{advice}."
            )
        if not pretrained:
            self.model = _create(name, pretrained=False, num_classes=wanted, **self._rates)
            return
        self.model = _create(name, pretrained=True, **self._rates)
        if not is_same or wanted != number:
            say_new_head(TIMM_PREFIX + name, self._own, number, tuple(classes) or tuple(map(str, range(wanted))))
            self.model.reset_classifier(wanted)

    @property
    def arguments(self) -> dict[str, Any]:
        """Arguments that build the network again."""
        found = {"pretrained": None if self.pretrained else False, **self._rates}
        return {name: value for name, value in found.items() if value is not None}

    @property
    def classes(self) -> tuple[str, ...] | None:
        """Names of the classes of the pretrained weights; None where there are none, or timm knows only numbers."""
        return (self._own or None) if self._has_own_head else None

    def forward(self, inputs: Tensor) -> Tensor:
        """Return logits `[batch, classes]` of standardised images `[batch, channels, height, width]`."""
        logits: Tensor = self.model(inputs)
        return logits if self._order is None else logits[:, self._order]


def read_pretrained_config(name: str) -> Mapping[str, Any]:
    """Return the pretrained configuration of a model of timm, without its weights.

    Raises:
        ConfigError: when timm is not installed or has no such model.
    """
    with torch.device("meta"):  # layers without memory, because only a model tells its configuration for every name
        found: Mapping[str, Any] = _create(name, pretrained=False).pretrained_cfg
    return found


def pretrained_classes(config: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names that timm has for the classes of pretrained weights; () where it has none."""
    number, names = int(config["num_classes"]), config.get("label_names")
    if names:
        ordered = [names[at] for at in sorted(names, key=int)] if isinstance(names, Mapping) else names
        return tuple(map(str, ordered)) if len(ordered) == number else ()
    # timm knows those of ImageNet by their number alone, which says nothing about somebody else's weights
    if config.get("source") in ("hf-hub", "local-dir"):
        return ()
    from timm.data import ImageNetInfo, infer_imagenet_subset

    subset = infer_imagenet_subset(dict(config))
    return tuple(ImageNetInfo(subset).label_names()) if subset else ()


def timm_reader(name: str) -> Pixels:
    """Return a reader that does what timm's transform for evaluation does; both are compared on a few pictures.

    Raises:
        ConfigError: when timm is not installed or has no such model, or `Pixels` cannot do the same.
    """
    config = read_pretrained_config(name)
    from timm.data import create_transform, resolve_data_config

    resolved = resolve_data_config({}, pretrained_cfg=dict(config))
    transform = create_transform(**resolved, is_training=False)

    def process(picture: Picture) -> Tensor:
        from PIL import Image

        found: Tensor = transform(Image.fromarray(picture))
        return found

    reader = find_reader(process, _candidates(resolved)) if resolved["input_size"][0] == 3 else None
    if reader is None:
        raise ConfigError(
            f"timm reads pictures for '{name}' in a way that Pixels(...) cannot express ({_describe(resolved)}); give "
            "a reader that comes near with --reader (or --teacher-reader)."
        )
    return reader


def _is_image(shape: Shapes) -> TypeGuard[tuple[int, int, int]]:
    return not isinstance(shape, Mapping) and len(shape) == 3


def _candidates(resolved: Mapping[str, Any]) -> Iterator[Pixels]:
    if resolved["interpolation"] not in ("bilinear", "bicubic"):
        return
    _, height, width = resolved["input_size"]
    size = height if height == width else (height, width)
    shared: dict[str, Any] = {key: tuple(map(float, resolved[key])) for key in ("mean", "std")}
    shared |= {"resample": resolved["interpolation"], "arithmetic": "pillow"}  # timm resizes images of Pillow
    edge = math.floor(min(height, width) / resolved["crop_pct"])
    yield Pixels(size, resize="squash", **shared)
    if edge >= max(height, width):
        yield Pixels(size, shorter=edge if edge > height else None, odd_margin="even", **shared)


def _describe(resolved: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in resolved.items() if key not in ("mean", "std"))


def _create(name: str, *, pretrained: bool, **options: Any) -> Any:
    given = {key: value for key, value in options.items() if value is not None}
    try:
        import timm
    except Exception as error:  # also of a torchvision that does not fit torch
        missing = "" if isinstance(error, ImportError) else f" ({shortened(error)})"
        raise ConfigError(
            f"'{TIMM_PREFIX}{name}' needs the extra: pip install 'instar[timm]'{missing}; or give package.module:"
            "function of a function that returns the module, with the mean, std and size of its images in a reader."
        ) from None
    try:
        return timm.create_model(name, pretrained=pretrained, **given)
    except Exception as error:  # timm, its downloads and the models raise a dozen classes
        advice = (
            "; without the Hub, give a file of weights (--teacher-weights), or train new weights with --arg "
            "pretrained=false"
            if pretrained
            else ""
        )
        raise ConfigError(f"timm cannot make '{name}': {shortened(error)}{advice}.") from None
