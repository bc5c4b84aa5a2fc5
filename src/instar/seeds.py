"""Random numbers that depend on a seed and on names, and never on the order in which they are drawn.

`derive` turns (seed, names...) into a new seed, for generators that draw many numbers (initial weights, the order of an
epoch). `Draws` is a counter-based generator: each number is a pure function of (seed, sample id, view, stream), so
every worker on every machine draws the same numbers in any order.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

# The increment and multipliers of SplitMix64 (Steele, Lea and Flood 2014), as signed 64-bit integers because torch
# has no unsigned arithmetic; two's complement multiplication wraps the same way.
_GOLDEN = 0x9E3779B97F4A7C15 - 2**64
_MULTIPLIER_1 = 0xBF58476D1CE4E5B9 - 2**64
_MULTIPLIER_2 = 0x94D049BB133111EB - 2**64


def derive(seed: int, *names: str | int) -> int:
    """Return a seed in [0, 2^63) that depends on `seed` and all names.

    >>> derive(0, "order", 3) == derive(0, "order", 3) != derive(0, "order", 4)
    True
    """
    # repr keeps (1, 23) and (12, 3) apart; Python's own hash of a text differs from process to process
    digest = hashlib.blake2b(repr((seed, *names)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1  # torch takes signed seeds


def generator(seed: int, *names: str | int) -> torch.Generator:
    """Return a CPU generator seeded by `derive(seed, *names)`."""
    return torch.Generator().manual_seed(derive(seed, *names))


def seed_everything(seed: int, *names: str | int) -> None:
    """Seed torch's global generators (initial weights, dropout) by `derive(seed, *names)`."""
    torch.manual_seed(derive(seed, *names))


def _shift_right(bits: Tensor, places: int) -> Tensor:
    return (bits >> places) & ((1 << (64 - places)) - 1)  # `>>` on int64 copies the sign bit, and the mask removes it


def mix(bits: Tensor) -> Tensor:
    """Apply the output function of SplitMix64, a bijection of 64-bit integers. `bits`: int64, any shape."""
    bits = (bits ^ _shift_right(bits, 30)) * _MULTIPLIER_1
    bits = (bits ^ _shift_right(bits, 27)) * _MULTIPLIER_2
    return bits ^ _shift_right(bits, 31)


@dataclass(frozen=True)
class Draws:
    """Random numbers for a batch of samples, a pure function of (seed, id, view, stream).

    Args:
        seed: seed of the augmentation.
        ids: sample ids, int64 `[batch]`.
        view: number of the view.
        lengths: number of valid positions of each sample, int64 `[batch]`; None: all positions are valid. What is drawn
            for a sample may depend on its length, and never on the padding of its batch.

    >>> draws = Draws(seed=0, ids=torch.tensor([5, 9]), view=1)
    >>> draws.below(5, "row").tolist() == Draws(0, torch.tensor([9, 5]), 1).below(5, "row").flip(0).tolist()
    True
    """

    seed: int
    ids: Tensor
    view: int
    lengths: Tensor | None = None

    def bits(self, stream: str) -> Tensor:
        """Return 64 random bits per sample, int64 `[batch]`."""
        key = derive(self.seed, stream, self.view)
        # mixed twice with the key, because mixing once only shifts one sequence: id i under key k + _GOLDEN is i + 1
        return mix(mix(self.ids * _GOLDEN + key) + key)

    def table(self, shape: Sequence[int], stream: str) -> Tensor:
        """Return a table of 63 random bits per sample, int64 `[batch, *shape]`, at least 0."""
        cells = torch.arange(math.prod(shape), device=self.ids.device) * _GOLDEN
        bits = mix(self.bits(stream)[:, None] + cells)
        return _shift_right(bits, 1).view(len(self.ids), *shape)

    def table_below(self, limits: Tensor, number: int, stream: str) -> Tensor:
        """Return `number` integers for each sample, uniform in [0, limit), int64 `[batch, number]`.

        Args:
            limits: a limit of each sample, below 2^31, int64 `[batch]`; the bias is under limit / 2^31.
            number: integers for each sample.
            stream: name of the stream.
        """
        half = (number + 1) // 2
        bits = self.table((half,), stream)  # of which each half makes a number: hashing takes most of the time
        found = torch.empty(len(bits), 2 * half, dtype=torch.int64, device=bits.device)
        torch.bitwise_right_shift(bits, 32, out=found[:, :half])
        torch.bitwise_and(bits, 2**31 - 1, out=found[:, half:])
        return found.mul_(limits[:, None]).bitwise_right_shift_(31)[:, :number]

    def below(self, limit: int, stream: str) -> Tensor:
        """Return integers uniform in [0, limit), int64 `[batch]`; the bias is under limit / 2^32."""
        # a 32-bit fraction times the limit: multiplying is faster than a remainder, and needs no rejection
        return _shift_right(_shift_right(self.bits(stream), 32) * limit, 32)

    def uniform(self, stream: str) -> Tensor:
        """Return numbers uniform in (0, 1), float64 `[batch]`."""
        # 52 bits and a half, so that 0 and 1 never occur, of which a logarithm may be infinite
        return (_shift_right(self.bits(stream), 12).double() + 0.5) / 2**52

    def uniform_table(self, shape: Sequence[int], stream: str) -> Tensor:
        """Return numbers uniform in (0, 1), float64 `[batch, *shape]`."""
        return (_shift_right(self.table(shape, stream), 11).double() + 0.5) / 2**52
