"""Records: the targets of one example as bytes of fixed width, so that reading a batch is one gather."""

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

# records begin at multiples of 4 bytes, so that a view as float32 needs no copy; wide ones at multiples of 64, because
# whole records that fill whole pages are up to 16,384 for multiples of 4, and up to 1,024 for multiples of 64
_ALIGNMENT_BYTES = 4
_WIDE_ALIGNMENT_BYTES = 64
_MIN_WIDE_BYTES = 1024


@dataclass(frozen=True)
class Keep:
    """Which classes are stored: all, the `number` likeliest, or `number` drawn at random.

    Raises:
        ConfigError: when a text is none of these.

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
        """Read the text of a user."""
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
    """The layout of one example: numbers, then the ids of their classes in the smallest type that holds C - 1.

    | kind | numbers | ids |
    |---|---|---|
    | all | the logits v_c | none, because all classes are in order |
    | top | log p_i of the k largest, in descending order, and log of the mass of the rest | k |
    | sample | the entropy of p | N draws from p with replacement, in ascending order |

    Half-precision logits are stored with their largest at 0, where numbers are densest; float32 logits are unchanged.
    Logits that are more than 65,504 below the largest are stored as float16's smallest number: either way their
    probability is 0.

    Args:
        keep: which classes are stored.
        number: type of the numbers.
        num_classes: number of classes C.
        temperature: temperature of p. For all classes: None if they hold at any temperature, or that of a mixture.

    Raises:
        ConfigError: when `keep` asks for more classes than there are, or the type is unknown.

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
        # ids are half of a top-k record of float16 numbers, so those of 50,000 words must not take four bytes
        for dtype in (torch.uint8, torch.uint16):
            if self.num_classes - 1 <= torch.iinfo(dtype).max:
                return dtype
        return torch.int32

    @cached_property
    def numbers(self) -> int:
        """Number of numbers in a record."""
        return {"all": self.num_classes, "top": self.keep.number + 1, "sample": 1}[self.keep.kind]

    @cached_property
    def _id_bytes(self) -> slice:
        size = self.id_dtype.itemsize
        start = math.ceil(self.numbers * self.dtype.itemsize / size) * size  # a view needs aligned ids
        return slice(start, start + self.keep.number * size)

    @cached_property
    def width(self) -> int:
        """Number of bytes of a record."""
        used = self.numbers * self.dtype.itemsize if self.keep.kind == "all" else self._id_bytes.stop
        aligned = _WIDE_ALIGNMENT_BYTES if used >= _MIN_WIDE_BYTES else _ALIGNMENT_BYTES
        return math.ceil(used / aligned) * aligned

    def values_of(self, targets: Targets) -> Tensor:
        """Return the values to encode, float32 `[..., classes]`: logits, or log-probabilities at the temperature."""
        if self.keep.kind != "all":
            return targets.log_probs(self.temperature or 1.0)
        if self.temperature is None:
            return targets.logits()
        # a mixture has no logits; those that `DenseTargets` would divide by T are T log p^T
        return self.temperature * targets.log_probs(self.temperature)

    def encode(self, targets: Targets, draws: Draws) -> Tensor:
        """Return records, uint8 `[..., width]`; `draws` decide which classes are drawn for a sample."""
        return self.encode_values(self.values_of(targets), draws)

    def encode_values(self, values: Tensor, draws: Draws) -> Tensor:
        """Return records, uint8 `[..., width]`, of what `values_of` returned."""
        # zeros, because the checksum of a shard covers the padding too
        records = torch.zeros(*values.shape[:-1], self.width, dtype=torch.uint8, device=values.device)
        numbers = records[..., : self.numbers * self.dtype.itemsize].view(self.dtype)
        match self.keep.kind:
            case "all":
                if self.dtype == torch.float32:
                    numbers.copy_(values)
                else:  # the smallest number and never -inf, which is NaN as soon as it is subtracted from itself
                    shifted = values - values.amax(-1, keepdim=True)
                    numbers.copy_(shifted.clamp_(min=torch.finfo(self.dtype).min))
                return records
            case "top":
                kept, ids = values.topk(self.keep.number, dim=-1)
                numbers[..., :-1] = kept
                # summed over the other classes: 1 - sum p is rounding error if the teacher is confident, even below 0
                numbers[..., -1] = values.scatter(-1, ids, -torch.inf).logsumexp(-1)
            case "sample":
                ids = _draw(values, self.keep.number, draws)
                # of all classes, so that the KL that is recorded is right on average
                numbers[..., 0] = torch.special.entr(values.exp()).sum(-1)
        records[..., self._id_bytes].view(self.id_dtype).copy_(ids)
        return records

    def decode(self, records: Tensor) -> DenseTargets | SparseTargets:
        """Return the targets of records, uint8 `[..., width]`."""
        numbers = records[..., : self.numbers * self.dtype.itemsize].view(self.dtype).float()
        if self.keep.kind == "all":
            return DenseTargets(numbers, self.temperature)
        ids = records[..., self._id_bytes].view(self.id_dtype).long()
        temperature = self.temperature or 1.0
        if self.keep.kind == "top":
            kept = numbers.exp()
            # half precision has rounded them, and only numbers that sum to 1 have a KL of at least 0
            kept /= kept.sum(-1, keepdim=True)
            return SparseTargets(ids, kept, torch.special.entr(kept).sum(-1), self.num_classes, temperature)
        # each draw counts 1/N: one number, expanded to [..., N] without memory
        share = numbers.new_full((), 1 / self.keep.number).expand(ids.shape)
        return SparseTargets(ids, share, numbers[..., 0], self.num_classes, temperature)


def number_of_values(keep: Keep) -> Number:
    """Return the type in which predicted numbers are stored: float32, because half precision rounds a price to tens.

    Raises:
        ConfigError: when some classes are to be stored, and there are none.
    """
    if keep.kind != "all":
        raise ConfigError(f"keep '{keep}' chooses among classes, and the labels are numbers; leave it out.")
    return "float32"


def _draw(log_probs: Tensor, number: int, draws: Draws) -> Tensor:
    # by the inverse of the cumulative distribution; in float32, 1 + 1e-8 is 1, and such a class would never be drawn
    edges = log_probs.double().exp().cumsum(-1)
    shape: Sequence[int] = (*log_probs.shape[1:-1], number)
    uniform = draws.table(shape, "targets").double() / 2**63  # [..., number], of 63 random bits
    # times the last edge, which is 1 up to rounding; right: a class of probability 0 has the edge of the class before
    # it, and is never the first above a number
    found = torch.searchsorted(edges, uniform * edges[..., -1:], right=True)
    # 63 bits may round up to 1.0, which is above all edges
    return found.clamp(max=log_probs.shape[-1] - 1).sort(-1).values
