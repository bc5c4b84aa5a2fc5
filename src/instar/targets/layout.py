"""The layout of a row: a record for each position of its sample, and then the outputs of the layers that are kept."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor

from instar.compute.inputs import Shape
from instar.config import Config
from instar.errors import NonFiniteError
from instar.targets.records import Record

MAX_LAYER_VALUES = 1 << 32
"""Values of a layer for one sample: a manifest may come from a stranger."""

# records begin at multiples of 4 bytes, so that a view as float32 needs no copy. Those with layers are padded by up to
# a sixteenth, to a power of two: then few rows fill whole pages, and a shard of rows of 100 kB may still be small
_ALIGNMENT_BYTES, _MAX_ALIGNMENT_BYTES = 4, 65536
_PADDED_SHARE = 16


class StoredLayer(Config):
    """A layer whose outputs are stored."""

    name: str = Field(min_length=1, max_length=1000)
    shape: tuple[Annotated[int, Field(ge=1)], ...] = Field(max_length=8, description="shape for one sample")
    channels_last: bool = Field(False, description="whether images are stored, and returned, with channels last")
    has_positions: bool = Field(False, description="whether the first axis has the positions of the longest sample")

    @model_validator(mode="after")
    def _has_a_size(self) -> Self:
        if math.prod(self.shape) > MAX_LAYER_VALUES:
            raise ValueError(f"a layer must have at most {MAX_LAYER_VALUES:,} values, got the shape {self.shape}")
        if self.channels_last and (len(self.shape) != 3 or self.has_positions):
            raise ValueError(f"only layers [channels, height, width] have channels last, got the shape {self.shape}")
        if self.has_positions and len(self.shape) < 2:
            raise ValueError(f"only layers [position, ...] have positions, got the shape {self.shape}")
        return self

    @classmethod
    def of(cls, name: str, feature: Tensor, longest: int | None = None) -> StoredLayer:
        """Return the description of a layer with the output `[batch, ...]`, or `[batch, position, ...]` with `longest`.

        >>> StoredLayer.of("stage1", torch.zeros(2, 8, 4, 4)).shape
        (8, 4, 4)
        """
        if longest is not None:
            return cls(name=name, shape=(longest, *feature.shape[2:]), has_positions=True)
        # sums over channels are rounded in the order of the memory, and a store returns the bits of its teacher
        is_last = feature.dim() == 4 and not feature.is_contiguous()
        is_last = is_last and feature.is_contiguous(memory_format=torch.channels_last)
        return cls(name=name, shape=tuple(feature.shape[1:]), channels_last=is_last)


@dataclass(frozen=True)
class RowLayout:
    """Where the targets and the outputs of layers are in a row of a store.

    Args:
        record: layout of the targets of an example.
        positions: shape of the positions of a sample, each an example.
        layers: layers whose outputs follow the records, in the number type of the record.

    >>> from instar.targets.records import Keep
    >>> layout = RowLayout(Record(Keep("all"), "float32", 10, None), layers=(StoredLayer(name="stage1", shape=(8, 2)),))
    >>> layout.targets, layout.spans, layout.width
    (slice(0, 40, None), {'stage1': slice(40, 104, None)}, 104)
    """

    record: Record
    positions: Shape = ()
    layers: tuple[StoredLayer, ...] = ()

    @cached_property
    def targets(self) -> slice:
        """Bytes of the targets."""
        return slice(0, self.record.width * math.prod(self.positions))

    @cached_property
    def spans(self) -> dict[str, slice]:
        """Bytes of each layer, by name."""
        found, at = {}, self.targets.stop
        for layer in self.layers:
            size = self.bytes_of(layer)
            found[layer.name] = slice(at, at + size)
            at += _rounded(size, _ALIGNMENT_BYTES)
        return found

    @cached_property
    def lengths(self) -> slice | None:
        """Bytes of the number of positions of a sample, int32; None if no layer has positions."""
        if not any(layer.has_positions for layer in self.layers):
            return None
        end = _rounded(list(self.spans.values())[-1].stop, _ALIGNMENT_BYTES)
        return slice(end, end + _ALIGNMENT_BYTES)

    def bytes_of(self, layer: StoredLayer) -> int:
        """Return the bytes of a layer in a row."""
        return math.prod(layer.shape) * self.record.dtype.itemsize

    def span_of(self, layer: StoredLayer, positions: int | None) -> slice:
        """Return the bytes of a layer, or of its first positions."""
        span = self.spans[layer.name]
        if not layer.has_positions or positions is None:
            return span
        count = max(1, min(positions, layer.shape[0]))  # a stranger's store may have any lengths
        return slice(span.start, span.start + self.bytes_of(layer) // layer.shape[0] * count)

    @cached_property
    def width(self) -> int:
        """Number of bytes of a row."""
        if not self.layers:
            return int(self.targets.stop)
        last = self.lengths or list(self.spans.values())[-1]
        used = _rounded(last.stop, _ALIGNMENT_BYTES)
        padded = 1 << max(0, (used // _PADDED_SHARE).bit_length() - 1)
        return _rounded(used, min(max(padded, _ALIGNMENT_BYTES), _MAX_ALIGNMENT_BYTES))

    def encode_layer(self, layer: StoredLayer, feature: Tensor) -> Tensor:
        """Return the bytes of the outputs of a layer, uint8 `[n, bytes]`.

        Args:
            layer: the layer.
            feature: its outputs, `[n, *shape]`.

        Raises:
            NonFiniteError: when a value is not finite, or the number type cannot hold it.
        """
        stored = feature.to(self.record.dtype)
        if not bool(stored.isfinite().all()):
            largest = float(feature.abs().max())
            raise NonFiniteError(
                f"the layer '{layer.name}' of the teacher has values up to {largest:.3g}, and {self.record.number} "
                f"holds up to {torch.finfo(self.record.dtype).max:.3g}; store bfloat16 or float32 (dtype)."
                if math.isfinite(largest)
                else f"the layer '{layer.name}' of the teacher returns NaN or infinity; check its weights and inputs."
            )
        stored = stored.permute(0, 2, 3, 1) if layer.channels_last else stored
        return stored.reshape(len(stored), -1).view(torch.uint8)

    def decode_layer(self, layer: StoredLayer, found: Tensor) -> Tensor:
        """Return the outputs of a layer, float32 `[n, *shape]`, of its bytes, uint8 `[n, bytes]`.

        Bytes of fewer positions give fewer positions.
        """
        values = found.view(self.record.dtype).float()
        if layer.has_positions:
            return values.view(len(found), -1, *layer.shape[1:])
        if not layer.channels_last:
            return values.view(len(found), *layer.shape)
        channels, *size = layer.shape
        return values.view(len(found), *size, channels).permute(0, 3, 1, 2)


def _rounded(size: int, multiple: int) -> int:
    return -(-size // multiple) * multiple
