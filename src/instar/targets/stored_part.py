"""One part of a target store, memory-mapped: its targets and outputs of layers, looked up by id and view."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from instar.data.placement import gather_inputs
from instar.targets.layout import RowLayout
from instar.targets.manifest import PartDescription
from instar.targets.targets import Targets


class StoredPart:
    """The memory-mapped targets of one part of a store.

    Args:
        records: records, uint8 `[rows, width]`.
        part: description of the part.
        layout: layout of a row.
        ids: sorted sample ids, int64; None: all samples of the source.
    """

    def __init__(self, records: Tensor, part: PartDescription, layout: RowLayout, ids: Tensor | None) -> None:
        self.records, self.part, self.layout, self.record, self.ids = records, part, layout, layout.record, ids
        # only the bytes that are asked for are read, however wide the layers beside them are
        self._targets = records[:, layout.targets]
        self._layers = {layer.name: layer for layer in layout.layers}

    @property
    def decoded_bytes(self) -> int:
        """Memory of the decoded targets of one sample: numbers in float32, and ids in int64."""
        of_record = self.record.numbers * 4 + self.record.keep.number * 8
        return of_record * math.prod(self.part.positions)

    def unknown(self, ids: Tensor) -> Tensor:
        """Return those of `ids` that have no stored targets."""
        if self.ids is None:  # all ids of the source, which are 0..samples-1
            return ids[ids >= self.part.samples]
        # an id above all stored ones is found one place behind the last
        at = torch.searchsorted(self.ids, ids).clamp(max=len(self.ids) - 1)
        return ids[self.ids[at] != ids]

    def rows(self, ids: Tensor, view: int) -> Tensor:
        """Return the rows of `ids`, all of which must be stored."""
        at = ids if self.ids is None else torch.searchsorted(self.ids, ids)
        return at + view * self.part.samples if view else at  # one view, the usual case, costs no operation

    def targets(self, ids: Tensor, view: int, device: torch.device | str = "cpu") -> Targets:
        """Return the targets of `ids`, int64 `[batch]` on the host, in one view."""
        found = gather_inputs(self._targets, self.rows(ids, view), torch.device(device))
        if self.part.positions:
            found = found.view(len(ids), *self.part.positions, self.record.width)
        return self.record.decode(found)

    def features(
        self,
        ids: Tensor,
        view: int,
        names: Sequence[str],
        device: torch.device | str = "cpu",
        positions: int | None = None,
    ) -> dict[str, Tensor]:
        """Return the outputs of some layers, float32 `[batch, ...]` by name.

        Args:
            ids: sample ids, int64 `[batch]` on the host.
            view: number of the view.
            names: names of the layers.
            device: device of the outputs.
            positions: number of positions of the batch, for layers that have positions; None: that of its longest
                sample.
        """
        rows, found = self.rows(ids, view), {}
        if positions is None and self.layout.lengths is not None:
            # on the host, so that a shape needs no accelerator
            positions = int(self.records[:, self.layout.lengths].index_select(0, rows).view(torch.int32).max())
        for name in names:
            layer = self._layers[name]
            values = self.records[:, self.layout.span_of(layer, positions)]
            found[name] = self.layout.decode_layer(layer, gather_inputs(values, rows, torch.device(device)))
        return found
