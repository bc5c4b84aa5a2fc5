"""Windows of instructions: one example each, or several that are packed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from instar.analysis.scores import UNLABELLED
from instar.compute.packed import PACKED_INPUTS
from instar.data.columns.held import Held
from instar.data.instructions.encoding import Encoded
from instar.data.instructions.packing import pack
from instar.data.source import Source
from instar.errors import DataError
from instar.tasks.next_token import NextToken

Truncation = Literal["refuse", "left", "right"]


@dataclass(frozen=True, eq=False)
class Plan:
    """Where each example of a split stands.

    Args:
        starts: index of its first token, int64.
        lengths: positions that it takes, one fewer than its tokens, int64.
        windows: number of its window, int64.
        offsets: its first position in the window, int64.
        told: what was cut or left out, in words; empty if nothing was.
    """

    starts: NDArray[np.int64]
    lengths: NDArray[np.int64]
    windows: NDArray[np.int64]
    offsets: NDArray[np.int64]
    told: str

    @property
    def width(self) -> int:
        """Positions of the longest window."""
        return int((self.offsets + self.lengths).max())


def plan_windows(
    name: str, encoded: Encoded, length: int, *, truncation: Truncation, packing: bool, skips: bool
) -> Plan:
    """Decide what of each example stands in which window.

    An example of n tokens takes n - 1 positions: the label of a position is the token behind it.

    Args:
        name: name of the split, for messages.
        encoded: tokens.
        length: positions of a window.
        truncation: side on which longer examples are cut: "left" keeps their end, and "right" their beginning.
        packing: several examples per window.
        skips: leave longer examples out where they are not cut.

    Raises:
        DataError: when examples are longer than a window and are neither cut nor left out, or none is left.
    """
    starts = np.concatenate([[0], encoded.lengths.cumsum()])[:-1]
    counts = encoded.lengths - 1
    is_longer, notes = counts > length, []
    if is_longer.any() and truncation == "refuse" and not skips:
        raise DataError(
            f"{int(is_longer.sum()):,} of {len(counts):,} examples of '{name}' are longer than data.length={length} "
            f"tokens, the longest has {int(counts.max()):,}; set data.length={int(counts.max())}, cut them with "
            "data.truncation=left (the beginning of prompts) or right (the end of completions), or leave them out with "
            "data.on_error=skip."
        )
    if is_longer.any() and truncation == "refuse":
        starts, counts = starts[~is_longer], counts[~is_longer]
        notes.append(f"{int(is_longer.sum()):,} longer than {length} tokens left out")
    elif is_longer.any():
        starts = np.where(is_longer & (truncation == "left"), starts + counts - length, starts)
        counts = np.minimum(counts, length)
        notes.append(f"{int(is_longer.sum()):,} cut on the {truncation} to {length} tokens")
    # the first token of a window is no label
    totals = np.concatenate([[0], encoded.has_loss.cumsum()])
    has_loss = totals[starts + counts + 1] > totals[starts + 1]
    if not has_loss.all():
        starts, counts = starts[has_loss], counts[has_loss]
        notes.append(f"{int((~has_loss).sum()):,} left out because no completion remained")
    if not len(counts):
        raise DataError(f"no example of '{name}' is left to learn from; {', '.join(notes) or 'it has no rows'}.")
    windows, offsets = pack(counts, length) if packing else (np.arange(len(counts)), np.zeros_like(counts))
    told = f"of {len(encoded.lengths):,} examples of '{name}', {' and '.join(notes)}" if notes else ""
    return Plan(starts, counts, windows, offsets, told)


def make_source(
    name: str,
    encoded: Encoded,
    plan: Plan,
    width: int,
    classes: tuple[str, ...],
    reading: str = "",
    *,
    packing: bool = False,
) -> Source:
    """Return the windows of a split; the label of each position is the token behind it.

    Args:
        name: name of the source.
        encoded: tokens.
        plan: where each example stands.
        width: positions of each window.
        classes: tokens of the tokenizer by number.
        reading: description of how they were read.
        packing: windows have several examples, so the inputs are `PACKED_INPUTS`.

    >>> encoded = Encoded(np.arange(5, dtype=np.int32), np.array([0, 0, 1, 0, 1], bool), np.array([3, 2]))
    >>> plan = plan_windows("two", encoded, 3, truncation="refuse", packing=True, skips=False)
    >>> source = make_source("two", encoded, plan, 3, tuple("abcde"), packing=True)
    >>> source.inputs.tolist(), source.labels.tolist(), source.mask.tolist()
    ([[0, 1, 3]], [[1, 2, 4]], [[False, True, True]])
    >>> source.column("position_ids").tolist()
    [[0, 1, 0]]
    """
    count = int(plan.windows.max()) + 1
    inputs, positions = (np.zeros((count, width), np.int32) for _ in range(2))
    labels, mask = np.full((count, width), UNLABELLED, np.int64), np.zeros((count, width), np.bool_)
    # of every token: its place in its example, and with that its window and its position there
    places = np.arange(plan.lengths.sum()) - np.repeat(plan.lengths.cumsum() - plan.lengths, plan.lengths)
    at = np.repeat(plan.windows, plan.lengths), np.repeat(plan.offsets, plan.lengths) + places
    token = np.repeat(plan.starts, plan.lengths) + places
    inputs[at], labels[at], mask[at] = encoded.tokens[token], encoded.tokens[token + 1], encoded.has_loss[token + 1]
    positions[at] = places
    lengths = np.zeros(count, np.int64)
    np.maximum.at(lengths, plan.windows, plan.offsets + plan.lengths)
    return Source(
        name,
        torch.from_numpy(inputs),
        torch.from_numpy(labels),
        classes,
        lengths=torch.from_numpy(lengths),
        mask=torch.from_numpy(mask),
        task=NextToken(),
        reading=reading,
        columns={PACKED_INPUTS[1]: Held(torch.from_numpy(positions))} if packing else {},
        input_names=PACKED_INPUTS if packing else (),
        is_bucketed=not packing,
    )


def describe_plans(plans: Mapping[str, Plan]) -> str:
    """Return what was cut or left out of all splits, as the end of a description."""
    return "".join(f"; {plan.told}" for plan in plans.values() if plan.told)
