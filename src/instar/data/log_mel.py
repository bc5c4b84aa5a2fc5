"""Log-mel frames of recordings, the inputs of speech recognisers."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

NUM_BANDS = 40
"""Number of mel bands, the width of a frame."""

WINDOW_SECONDS, HOP_SECONDS = 0.025, 0.010
"""Length of the window of a frame, and distance of two frames, in seconds."""

MIN_ENERGY = 1e-10
"""Smallest energy, so that silence has a logarithm; lower than the rounding noise of 16-bit samples."""

MIN_SAMPLING_RATE_HZ = 4000
"""Lowest sampling rate in Hz at which each band contains a frequency of the transform."""


Frames = NDArray[np.float32]
"""Log-mel frames of a recording, `[frames, bands]`."""


def log_mel(wave: NDArray[np.floating], rate: int) -> Frames:
    """Return the log energies of mel bands, in nats, float32 `[frames, bands]`.

    A window has w = round(0.025 rate) samples, and the next starts h = round(0.010 rate) samples later. For frame t,
    and the smallest power of two F that is at least w,

        P_t(k) = |sum_i v_i x_(t h + i) exp(-2 pi j i k / F)|^2, v_i = 1/2 - cos(2 pi i / w) / 2 (Hann),
        frame_t(b) = log max(10^-10, sum_k H_b(k rate / F) P_t(k)).

    The bands H_b are triangles of height 1 and equal width on the mel scale. Each ends at the peaks of its neighbours:
    H_b(f) = max(0, 1 - |mel(f) / d - b|) for b = 1..40, with d = mel(rate / 2) / 41 and HTK's formula
    mel(f) = 1127 log(1 + f / 700 Hz). Computed in float64.

    A recording of n samples has 1 + floor((n - w) / h) frames; one shorter than a window is padded with zeros.

    Source: Young et al., "The HTK book", section 5.6.

    Args:
        wave: samples in -1..1, `[samples]`.
        rate: sampling rate in Hz, at least 4,000.

    >>> log_mel(np.zeros(8000), 8000).shape, log_mel(np.zeros(3), 8000).shape
    ((98, 40), (1, 40))
    """
    width, hop = round(WINDOW_SECONDS * rate), round(HOP_SECONDS * rate)
    wave = np.pad(wave, (0, max(0, width - len(wave))))
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(width) / width)  # v_i
    windows = np.lib.stride_tricks.sliding_window_view(wave, width)[::hop] * hann  # [frames, width]
    power = np.abs(np.fft.rfft(windows, _transform_size(rate))) ** 2  # P_t(k), [frames, F / 2 + 1]
    return np.log(np.maximum(power @ mel_bands(rate), MIN_ENERGY)).astype(np.float32)


def pad_frames(frames: Frames, count: int) -> Frames:
    """Pad frames to `count` by repeating the last one, as `FrameNet` does beyond the end of a batch.

    >>> pad_frames(np.array([[1.0], [2.0]], dtype=np.float32), 4)[:, 0].tolist()
    [1.0, 2.0, 2.0, 2.0]
    """
    return np.pad(frames, ((0, count - len(frames)), (0, 0)), mode="edge")


@cache  # the same for every recording of a data set
def mel_bands(rate: int) -> NDArray[np.float64]:
    """Return the weight of each frequency in each band, `[frequencies, bands]`."""
    frequencies = np.fft.rfftfreq(_transform_size(rate), 1 / rate)
    places = _mel(frequencies) / _mel(rate / 2) * (NUM_BANDS + 1)  # mel(f) / d: band b has its peak at b
    weights: NDArray[np.float64] = np.maximum(0, 1 - np.abs(places[:, None] - np.arange(1, NUM_BANDS + 1)))
    return weights


def _mel(frequency: NDArray[np.floating] | float) -> NDArray[np.float64]:
    mels: NDArray[np.float64] = 1127 * np.log1p(np.asarray(frequency, dtype=np.float64) / 700)
    return mels


def _transform_size(rate: int) -> int:
    return 1 << (round(WINDOW_SECONDS * rate) - 1).bit_length()  # F: a power of two, as the HTK book computes it
