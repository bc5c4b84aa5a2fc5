"""Which hidden layers of a teacher a target store keeps, and in which shapes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from instar.content import hash_repr
from instar.data.batch import Batch
from instar.data.loader import Loader
from instar.data.samples import Samples
from instar.data.source import Source
from instar.errors import ConfigError, MismatchError
from instar.models.normalised import reader_in
from instar.models.outputs import refuse_other_rows
from instar.models.readers.encoded import find_attention_mask
from instar.models.readers.reader import Reader
from instar.objectives.features.pairing import STAGES
from instar.targets.layout import StoredLayer
from instar.targets.stored_part import StoredPart
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
    patterns: Sequence[Any] = features if isinstance(features, list | tuple) else [features]
    if not patterns or not all(isinstance(pattern, str) and pattern for pattern in patterns):
        raise ConfigError(f"features must be layers of the teacher, such as 'stage2', or 'stages', got {features!r}.")
    layers = teacher.layers()
    if layers is None:
        raise MismatchError(f"features are outputs of hidden layers, and {teacher.describe_lack()}.")
    if STAGES in patterns and not layers.stages:
        raise MismatchError(f"{layers.who} has no stages; name its layers; instar layers lists them.")
    wanted = {name for one in patterns for name in (layers.stages if one == STAGES else layers.find(one))}
    return tuple(name for name in layers.names if name in wanted)


def find_positions(teacher: Teacher, batch: Batch) -> Tensor | None:
    """Return the positions of each sample in layers of positions, bool `[batch, position]`; None: there are none.

    They are those of the mask of padding that the teacher reads, or else those of the labels.
    """
    networks = teacher.modules()
    mask = find_attention_mask(batch.read(reader_in(networks[0]))) if networks else None
    if mask is None and batch.labels.dim() == 2:
        return torch.ones_like(batch.labels, dtype=torch.bool)
    return mask


def has_positions(feature: Tensor, mask: Tensor | None) -> bool:
    """Return whether a layer returns `[batch, position, ...]`."""
    return mask is not None and feature.dim() > 2 and feature.shape[1] == mask.shape[1]


def describe_stored_layers(
    features: Mapping[str, Tensor], teacher: Teacher, loader: Loader, batch: Batch
) -> tuple[StoredLayer, ...]:
    """Return the descriptions of layers.

    Args:
        features: outputs of the layers for a batch, `[batch, ...]` by name.
        teacher: the teacher.
        loader: all samples.
        batch: the batch.

    Raises:
        MismatchError: when a layer does not return a row for each sample.
    """
    refuse_other_rows(features, len(batch), "the teacher")
    longest = None
    mask = find_positions(teacher, batch) if features else None
    if any(has_positions(feature, mask) for feature in features.values()):
        masks = (find_positions(teacher, one) for one in loader.in_order(trim=False))
        longest = max(one.shape[1] for one in masks if one is not None)
    return tuple(
        StoredLayer.of(name, feature, longest if has_positions(feature, mask) else None)
        for name, feature in features.items()
    )


def measure_layers(
    stored: StoredPart, teacher: Teacher, batch: Batch, features: Mapping[str, Tensor]
) -> dict[str, float]:
    """Return the largest difference of each layer from its teacher's, as a share of its largest value.

    Args:
        stored: part of a store.
        teacher: the teacher.
        batch: samples of the part in one of its views.
        features: outputs of the teacher's layers for them.
    """
    mask, found = find_positions(teacher, batch) if features else None, {}
    positions = None if mask is None else mask.shape[1]
    kept = stored.features(batch.ids.cpu(), batch.view, list(features), positions=positions)
    for name, feature in features.items():
        own, theirs = kept[name], feature.cpu().float()
        if mask is not None and has_positions(feature, mask):  # padding may have any value
            own, theirs = own[mask.cpu()], theirs[mask.cpu()]
        found[name] = float((own - theirs).abs().max() / theirs.abs().max().clamp(min=1e-30))
    return found


def hash_tokens(reader: Reader, source: Source, ids: Tensor) -> dict[str, str]:
    """Return hashes of the tensors that a reader makes of samples, by name; empty where it makes one tensor only."""
    batch = next(Loader(Samples(source, ids), len(ids), seed=0).in_order())
    inputs = batch.read(reader)
    named = inputs if isinstance(inputs, Mapping) else {}
    return {name: hash_repr(tensor.tolist()) for name, tensor in named.items()}


def refuse_other_shape(layer: StoredLayer, feature: Tensor, mask: Tensor | None) -> None:
    """Refuse outputs of a layer that have another shape than those of other samples.

    Args:
        layer: description of the layer.
        feature: its outputs for some samples.
        mask: positions of these samples.

    Raises:
        MismatchError: names both shapes.
    """
    found = tuple(feature.shape[1:])
    if layer.has_positions and has_positions(feature, mask) and found[0] <= layer.shape[0]:
        found = (layer.shape[0], *found[1:])
    if found != layer.shape:
        raise MismatchError(
            f"the layer '{layer.name}' of the teacher returns {list(layer.shape)} for some samples and "
            f"{list(feature.shape[1:])} for others, and a target store keeps layers of one shape; query the teacher "
            "online."
        )
