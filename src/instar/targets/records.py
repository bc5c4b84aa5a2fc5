"""How targets lie on disk: one record of fixed width per example, so that a batch is one gather."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, get_args

import torch
from torch import Tensor

from instar.errors import ConfigError
from instar.seeds import Draws
from instar.targets.sparse import SparseTargets
from instar.targets.targets import DenseTargets, Targets

Kind = Literal["all", "top", "sample"]
Number = Literal["float32", "float16", "bfloat16"]

_ALIGNMENT_BYTES = 4
"""Records begin at multiples of this many bytes, so that their numbers can be read where they lie."""

_WIDE_RECORD_BYTES = 1024, 64
"""From this many bytes on at multiples of this many, so that shards need not be large to end at a page."""


@dataclass(frozen=True)
class Keep:
    """Which classes of an answer are kept: all, the `number` largest, or `number` drawn at random.

    Raises:
        ConfigError: for a text that says none of these.

    >>> Keep.parse("top:32")
    Keep(kind='top', number=32)
    >>> Keep.parse("most")
    Traceback (most recent call last):
    instar.errors.ConfigError: keep must be 'all', 'top:K' or 'sample:N' with a whole number above 0, got 'most'.
    """

    kind: Kind
    number: int = 0

    @classmethod
    def parse(cls, text: str) -> Keep:
        """Read it as a user writes it."""
        if text == "all":
            return cls("all")
        found = re.fullmatch(r"(top|sample):([1-9]\d*)", text)
        if not found:
            raise ConfigError(f"keep must be 'all', 'top:K' or 'sample:N' with a whole number above 0, got '{text}'.")
        return cls("top" if found[1] == "top" else "sample", int(found[2]))

    def __str__(self) -> str:
        return self.kind if self.kind == "all" else f"{self.kind}:{self.number}"


@dataclass(frozen=True)
class Record:
    """The layout of one example: numbers first, then the ids of their classes in the smallest type that holds them.

    | kind | numbers | ids |
    |---|---|---|
    | all | v_c, the logits | none, they are in order |
    | top | log p_i of the k largest, largest first, and log of the mass of the rest | k |
    | sample | the entropy of p | N draws from p with replacement, in order |

    Half-precision logits are kept with their largest at 0, where the numbers lie closest; float32 ones as they came.
    Those further below it than float16 reaches (65,504) are kept at its least number: their probability is 0 in both.

    Args:
        keep: which classes.
        number: type of the numbers.
        num_classes: C.
        temperature: of p; for all classes none, which says that they hold at any, or that of a mixture.

    Raises:
        ConfigError: when more classes are to be kept than there are, or the type is unknown.

    >>> Record(Keep("top", 32), "float16", 1000, 1.0).width
    132
    >>> answers = DenseTargets(torch.tensor([[0.5, 0.25, 0.125, 0.125]]).log())
    >>> record = Record(Keep("top", 2), "float32", 4, 1.0)
    >>> found = record.decode(record.encode(answers, Draws(0, torch.tensor([0]), 0)))
    >>> found.ids.tolist(), found.kept.tolist()
    ([[0, 1]], [[0.5, 0.25, 0.25]])
    """

    keep: Keep
    number: Number
    num_classes: int
    temperature: float | None

    def __post_init__(self) -> None:
        if self.number not in get_args(Number):
            raise ConfigError(f"dtype must be float32, float16 or bfloat16, got {self.number!r}.")
        if self.keep.kind == "top" and self.keep.number > self.num_classes:
            raise ConfigError(f"keep '{self.keep}' asks for more classes than the {self.num_classes} that there are.")

    @cached_property
    def dtype(self) -> torch.dtype:
        """Type of the numbers."""
        found: torch.dtype = getattr(torch, self.number)
        return found

    @cached_property
    def id_dtype(self) -> torch.dtype:
        """Type of the ids."""
        for dtype in (torch.uint8, torch.uint16):
            if self.num_classes - 1 <= torch.iinfo(dtype).max:
                return dtype
        return torch.int32

    @cached_property
    def numbers(self) -> int:
        """How many numbers a record holds."""
        return {"all": self.num_classes, "top": self.keep.number + 1, "sample": 1}[self.keep.kind]

    @cached_property
    def _ids(self) -> slice:
        """Where the ids lie, in bytes."""
        size = self.id_dtype.itemsize
        start = math.ceil(self.numbers * self.dtype.itemsize / size) * size
        return slice(start, start + self.keep.number * size)

    @cached_property
    def width(self) -> int:
        """Bytes of a record."""
        used = self.numbers * self.dtype.itemsize if self.keep.kind == "all" else self._ids.stop
        aligned = _WIDE_RECORD_BYTES[1] if used >= _WIDE_RECORD_BYTES[0] else _ALIGNMENT_BYTES
        return math.ceil(used / aligned) * aligned

    def values_of(self, targets: Targets) -> Tensor:
        """Return what is kept of, float32 `[..., classes]`: logits, or log-probabilities at the temperature."""
        if self.keep.kind != "all":
            return targets.log_probs(self.temperature or 1.0)
        if self.temperature is None:
            return targets.logits()
        return self.temperature * targets.log_probs(self.temperature)

    def encode(self, targets: Targets, draws: Draws) -> Tensor:
        """Return records, uint8 `[..., width]`; `draws` decide which classes a sample holds."""
        return self.encode_values(self.values_of(targets), draws)

    def encode_values(self, values: Tensor, draws: Draws) -> Tensor:
        """Return records of `values_of` some targets."""
        records = torch.zeros(*values.shape[:-1], self.width, dtype=torch.uint8, device=values.device)
        numbers = records[..., : self.numbers * self.dtype.itemsize].view(self.dtype)
        match self.keep.kind:
            case "all":
                if self.dtype == torch.float32:
                    numbers.copy_(values)
                else:  # nothing becomes -inf: it would be NaN as soon as it is subtracted from itself
                    nearest = values - values.amax(-1, keepdim=True)
                    numbers.copy_(nearest.clamp_(min=torch.finfo(self.dtype).min))
                return records
            case "top":
                kept, ids = values.topk(self.keep.number, dim=-1)
                numbers[..., :-1] = kept
                # over the others themselves: 1 - sum p would be rounding error for a teacher that is sure, and below 0
                numbers[..., -1] = values.scatter(-1, ids, -torch.inf).logsumexp(-1)
            case "sample":
                ids = _drawn(values, self.keep.number, draws)
                numbers[..., 0] = torch.special.entr(values.exp()).sum(-1)
        records[..., self._ids].view(self.id_dtype).copy_(ids)
        return records

    def decode(self, records: Tensor) -> DenseTargets | SparseTargets:
        """Return the targets of records, uint8 `[..., width]`."""
        numbers = records[..., : self.numbers * self.dtype.itemsize].view(self.dtype).float()
        if self.keep.kind == "all":
            return DenseTargets(numbers, self.temperature)
        ids = records[..., self._ids].view(self.id_dtype).long()
        temperature = self.temperature or 1.0
        if self.keep.kind == "top":
            kept = numbers.exp()
            kept /= kept.sum(-1, keepdim=True)  # 1 but for rounding
            return SparseTargets(ids, kept, torch.special.entr(kept).sum(-1), self.num_classes, temperature)
        share = numbers.new_full((), 1 / self.keep.number).expand(ids.shape)
        return SparseTargets(ids, share, numbers[..., 0], self.num_classes, temperature)


def _drawn(log_probs: Tensor, number: int, draws: Draws) -> Tensor:
    """Return `number` classes drawn from p with replacement, in order, int64 `[..., number]`."""
    edges = log_probs.double().exp().cumsum(-1)
    shape: Sequence[int] = (*log_probs.shape[1:-1], number)
    uniform = draws.table(shape, "targets").double() / 2**63
    found = torch.searchsorted(edges, uniform * edges[..., -1:], right=True)
    return found.clamp(max=log_probs.shape[-1] - 1).sort(-1).values
