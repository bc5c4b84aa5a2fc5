"""Which hidden layers of a teacher a target store keeps, and in which shapes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor

from instar.errors import ConfigError, MismatchError
from instar.objectives.features.pairing import STAGES
from instar.targets.layout import StoredLayer
from instar.teachers.teacher import Teacher


def find_stored_layers(teacher: Teacher, features: str | Sequence[str]) -> tuple[str, ...]:
    """Return the layers of a teacher that names or patterns choose, each once, in the order of its network.

    Args:
        teacher: the teacher.
        features: names of layers, patterns such as "blocks.*", or "stages" for all stages.

    Raises:
        ConfigError: when they are no names.
        MismatchError: when the teacher has no such layers.
    """
    patterns = [features] if isinstance(features, str) else list(features)
    if not patterns or not all(isinstance(pattern, str) and pattern for pattern in patterns):
        raise ConfigError(f"features must be layers of the teacher, such as 'stage2', or 'stages', got {features!r}.")
    layers = teacher.layers()
    if layers is None:
        raise MismatchError(f"features are outputs of hidden layers, and {teacher.describe_lack()}.")
    if STAGES in patterns and not layers.stages:
        raise MismatchError(f"{layers.who} has no stages; name its layers; instar layers lists them.")
    wanted = {name for one in patterns for name in (layers.stages if one == STAGES else layers.find(one))}
    return tuple(name for name in layers.names if name in wanted)


def describe_stored_layers(features: Mapping[str, Tensor], samples: int) -> tuple[StoredLayer, ...]:
    """Return the descriptions of layers, whose outputs for some samples are `[samples, ...]` by name.

    Raises:
        MismatchError: when a layer does not return a row for each sample.
    """
    for name, feature in features.items():
        if feature.dim() == 0 or len(feature) != samples or not feature.is_floating_point():
            raise MismatchError(
                f"the layer '{name}' of the teacher returns {list(feature.shape)} {feature.dtype} for {samples} "
                "samples; a target store keeps one row of floating-point numbers for each sample."
            )
    return tuple(StoredLayer.of(name, feature) for name, feature in features.items())


def refuse_other_shape(layer: StoredLayer, feature: Tensor) -> None:
    """Refuse outputs of a layer that have another shape than those of other samples.

    Raises:
        MismatchError: names both shapes.
    """
    if tuple(feature.shape[1:]) != layer.shape:
        raise MismatchError(
            f"the layer '{layer.name}' of the teacher returns {list(layer.shape)} for some samples and "
            f"{list(feature.shape[1:])} for others, and a target store keeps layers of one shape; query the teacher "
            "online."
        )
