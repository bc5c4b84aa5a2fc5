"""What a reader makes of texts: sequences of any length, padded to the longest of a batch when they are taken."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from instar.compute.inputs import Inputs

ANY_LENGTH = -1
"""Size of an axis whose length is that of the longest sample of a batch."""

ATTENTION_MASK = "attention_mask"
"""Name of the tensor that is True where a sequence has a token, and False where it is padded."""

WORD_STARTS = "word_starts"
"""Name of the tensor with the place of the first token of each word, int64 `[batch, words]`, padded with 0."""


def find_attention_mask(inputs: Inputs) -> Tensor | None:
    """Return the mask of the padding of inputs, if they have one.

    >>> find_attention_mask({"attention_mask": torch.tensor([[1, 0]])}), find_attention_mask(torch.zeros(1, 2))
    (tensor([[ True, False]]), None)
    """
    mask = inputs.get(ATTENTION_MASK) if isinstance(inputs, Mapping) else None
    return None if mask is None else mask.bool()


@dataclass(frozen=True, eq=False)
class Encoded:
    """Sequences of whole numbers, one behind the other.

    Args:
        flat: by name, the numbers of all sequences, int32 `[tokens]`.
        lengths: tokens of each sequence, int64 `[samples]`, at least 1.
        padding: by name, the number that sequences are padded with.

    >>> encoded = Encoded.of({"input_ids": [[5, 6, 7], [8]]}, {"input_ids": 0})
    >>> rows = encoded.rows(torch.tensor([1, 0]))
    >>> rows["input_ids"].tolist(), rows["attention_mask"].tolist()
    ([[8, 0, 0], [5, 6, 7]], [[True, False, False], [True, True, True]])
    """

    flat: Mapping[str, Tensor]
    lengths: Tensor
    padding: Mapping[str, int]
    # of each device: starts, lengths, and the numbers by name
    _copies: dict[torch.device, tuple[Tensor, Tensor, dict[str, Tensor]]] = field(
        default_factory=dict, init=False, repr=False
    )

    @classmethod
    def of(cls, sequences: Mapping[str, Sequence[Sequence[int]]], padding: Mapping[str, int]) -> Encoded:
        """Return sequences by name, all of one length for each sample."""
        lengths = torch.tensor([len(sequence) for sequence in next(iter(sequences.values()))])
        flat = {
            name: torch.from_numpy(np.fromiter((one for some in each for one in some), np.int32, int(lengths.sum())))
            for name, each in sequences.items()
        }
        return cls(flat, lengths, padding)

    def rows(self, ids: Tensor, on_host: Tensor | None = None) -> dict[str, Tensor]:
        """Return some sequences padded at their end, int64 `[n, longest]` by name, and their mask, bool.

        Args:
            ids: sample ids, int64 `[n]`, on the device of the result.
            on_host: the same ids on the host, so that their longest is known without waiting for an accelerator.
        """
        starts, lengths, flat = self._on(ids.device)
        longest = int(self.lengths[ids.cpu() if on_host is None else on_host].max())
        at = torch.arange(longest, device=ids.device)
        mask = at < lengths[ids][:, None]
        index = torch.where(mask, starts[ids][:, None] + at, 0)
        found = {name: values[index].long().masked_fill(~mask, self.padding[name]) for name, values in flat.items()}
        return {**found, ATTENTION_MASK: mask}

    def _on(self, device: torch.device) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        if device not in self._copies:
            starts = self.lengths.cumsum(0) - self.lengths
            moved = {name: values.to(device) for name, values in self.flat.items()}
            self._copies[device] = starts.to(device), self.lengths.to(device), moved
        return self._copies[device]
