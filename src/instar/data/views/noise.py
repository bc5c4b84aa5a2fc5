"""Noise that is added to recordings."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from instar.checks import checked
from instar.data.views.frames import index_frames, lengths_of, mean_bands, require_frames, take_frames
from instar.data.views.view import View
from instar.errors import ConfigError
from instar.seeds import Draws

Decibels = Annotated[float, Field(ge=-100, le=100, description="from -100 to 100")]

MIN_ENERGY_SHARE = 1e-30
"""Smallest energy of a noisy frame, as a share of the noise, so that it has a logarithm."""


@checked
@dataclass(frozen=True)
class Noise(View):
    """Add noise with the spectrum of the recording itself, at R decibels uniform in [low, high].

    This view changes frames, not sound. Frames are log energies x in nats, as `log_mel` makes them, and energies of
    sound and noise interfere at a random phase. For the mean energy of band b over the frames of the recording,

        N_b = 10^(-R / 10) mean_t exp(x_tb),    x'_tb = log |exp(x_tb / 2) + sqrt(N_b) z_tb|^2,

    with z complex standard normal (E |z|^2 = 1), drawn for each frame and band. So Gaussian noise changes one frequency
    of a spectrum. A mel band sums several frequencies, so noise in the sound itself would vary less around N_b.

    Args:
        low: smallest signal-to-noise ratio, in decibels.
        high: largest signal-to-noise ratio.

    Raises:
        ConfigError: when `low` is above `high`.

    >>> frames = torch.tensor([[[1.0, 5.0], [2.0, 7.0]]])
    >>> Noise(20, 20)(frames, Draws(seed=0, ids=torch.tensor([1]), view=0)).mul(10).round().tolist()
    [[[5.0, 57.0], [19.0, 70.0]]]
    """

    low: Decibels = 10.0
    high: Decibels = 30.0

    def __post_init__(self) -> None:
        if self.low > self.high:
            raise ConfigError(f"Noise(low) must be at most high, got {self.low} and {self.high}.")

    def __call__(self, inputs: Tensor, draws: Draws) -> Tensor:
        """Add noise to each recording."""
        require_frames(inputs, "Noise")
        frames = inputs.shape[1]
        lengths = lengths_of(frames, draws)
        index = index_frames(frames, lengths)
        values = take_frames(inputs, index).double()  # padding may hold anything
        largest = values.amax(1, keepdim=True)  # [batch, 1, bands]; exp of a difference does not overflow
        means = mean_bands((values - largest).exp(), lengths)
        ratio = self.low + draws.uniform("ratio") * (self.high - self.low)
        noise = largest + means.log() - ratio[:, None, None] * (math.log(10) / 10)  # log N_b
        length = (-_uniform(inputs, draws, "length").log()).sqrt()  # |z|
        angle = 2 * torch.pi * _uniform(inputs, draws, "angle")
        along = ((values - noise) / 2).exp() + length * angle.cos()
        energies = along.square() + (length * angle.sin()).square()  # as a share of N_b
        found = noise + energies.clamp(min=MIN_ENERGY_SHARE).log()
        return take_frames(found, index).to(inputs.dtype)


def _uniform(inputs: Tensor, draws: Draws, stream: str) -> Tensor:
    # in (0, 1); the cells of a frame are the same for any number of frames after it
    bits = draws.table(tuple(inputs.shape[1:]), stream) >> 11
    return (bits.double() + 0.5) / 2**52
