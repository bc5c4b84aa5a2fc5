"""Files of sound: decoding with soundfile, mixing of channels, and resampling."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from instar.errors import DataError

MIN_SOUND_SAMPLES = 2
"""Smallest number of samples of a recording."""

_SOUND_SUFFIX = re.compile(r"\.(wav|flac|mp3|ogg|opus|aiff?|aifc|au|caf|w64|rf64)$", re.IGNORECASE)

_UNKNOWN_BYTES = 0x7FFF_0000  # programs that write into a pipe put such a number into the header

Wave = NDArray[np.float32]
"""Sound samples in -1..1, `[samples]`."""


@dataclass(frozen=True, eq=False)
class Sound:
    """A decoded recording.

    Args:
        wave: mean of its channels, float32 `[samples]` in -1..1.
        rate: sampling rate in Hz.
        channels: number of channels of its file.
        own_rate: sampling rate of its file in Hz.
    """

    wave: Wave
    rate: int
    channels: int
    own_rate: int


def is_recording(feature: Any) -> bool:
    """Return whether a feature type is that of recordings: Audio, or a structure of bytes and path."""
    from datasets import Audio

    return isinstance(feature, Audio) or (isinstance(feature, dict) and set(feature) == {"bytes", "path"})


def is_sound_file(value: object) -> bool:
    """Return whether a value is a path that ends as files of sound do.

    >>> is_sound_file("dogs/a.WAV"), is_sound_file("a.png"), is_sound_file(3)
    (True, False, False)
    """
    return isinstance(value, str | Path) and _SOUND_SUFFIX.search(str(value)) is not None


def decode_sound(recording: Mapping[str, Any] | None, rate: int | None = None) -> Sound:
    """Return a decoded recording. Several channels are mixed as their mean.

    Args:
        recording: `bytes` of a file (FLAC, WAV, OGG, MP3), or its `path`.
        rate: sampling rate in Hz to resample to; None: its own.

    Raises:
        DataError: when the package soundfile is not installed.
        ValueError: when the file cannot be read, is not sound, or has fewer than two samples.
    """
    try:
        import soundfile
    except ImportError:
        raise DataError("recordings need the package soundfile: pip install 'instar[speech]'.") from None
    if not recording or not (recording["bytes"] or recording["path"]):
        raise ValueError("a value is missing")
    if not recording["bytes"] and not Path(recording["path"]).is_file():  # soundfile would call it a "system error"
        raise ValueError("the file does not exist")
    # a data set may hold the bytes and the path on the machine that it was made on; only the bytes are there
    content = io.BytesIO(recording["bytes"]) if recording["bytes"] else recording["path"]
    _refuse_truncated(recording["bytes"] or recording["path"])
    try:
        channels, own_rate = soundfile.read(content, dtype="float32", always_2d=True)
    except soundfile.LibsndfileError as error:
        raise ValueError(error.error_string.rstrip(".")) from None
    if not np.isfinite(channels).all():  # files of floats may hold anything
        raise ValueError("it has NaN or infinite samples")
    if len(channels) < MIN_SOUND_SAMPLES:
        raise ValueError(f"it is too short: expected at least {MIN_SOUND_SAMPLES} samples, found {len(channels)}")
    wave = channels.mean(1)
    return Sound(resample(wave, own_rate, rate or own_rate), rate or own_rate, channels.shape[1], own_rate)


def _refuse_truncated(content: Any) -> None:
    # the library returns what is left of such a file
    if isinstance(content, bytes):
        head, size = content[:12], len(content)
    else:
        with open(content, "rb") as file:
            head, size = file.read(12), Path(content).stat().st_size
    told = int.from_bytes(head[4:8], "little") + 8
    if head[:4] == b"RIFF" and head[8:] == b"WAVE" and size + 1 < told < _UNKNOWN_BYTES:
        raise ValueError(f"it is truncated: its header tells of {told:,} bytes, found {size:,}")


def resample(wave: Wave, rate: int, wanted: int) -> Wave:
    """Return sound `[samples]` of another sampling rate, `[ceil(samples wanted / rate)]`; unchanged if they are equal.

    With wanted / rate = p / q in lowest terms: p - 1 zeros are put behind each sample, a linear-phase low-pass filter
    of 20 max(p, q) + 1 taps (Kaiser window, beta 5) cuts at half of the lower rate, and every q-th sample is kept.
    Computed in float64 by `scipy.signal.resample_poly`.

    Args:
        wave: sound samples.
        rate: their sampling rate in Hz.
        wanted: sampling rate of the result in Hz.

    >>> tone = np.sin(2 * np.pi * 440 * np.arange(16000) / 16000)
    >>> found = resample(tone.astype(np.float32), 16000, 8000)
    >>> len(found), bool(np.abs(found - tone[::2])[50:-50].max() < 1e-3)
    (8000, True)
    """
    if rate == wanted:
        return wave
    from scipy.signal import resample_poly

    common = math.gcd(rate, wanted)
    found: Wave = resample_poly(wave.astype(np.float64), wanted // common, rate // common).astype(np.float32)
    return found
