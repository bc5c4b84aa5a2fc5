"""Recordings of spoken words: decoding, and labels of their frames.

A recording is a sample, and its frames are positions. A word is a sequence of states, each with an equal part of the
frames of a recording. A class is one state of a word, such as "seven/2".
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from instar.analysis.scores import UNLABELLED
from instar.data.log_mel import MIN_SAMPLING_RATE_HZ
from instar.data.recordings import Recordings
from instar.data.source import Source
from instar.errors import DataError, shortened
from instar.tasks.words import Words


def is_recording(feature: Any) -> bool:
    """Return whether a feature type is that of recordings: Audio, or a structure of bytes and path."""
    from datasets import Audio

    return isinstance(feature, Audio) or (isinstance(feature, dict) and set(feature) == {"bytes", "path"})


def decode_recording(recording: Mapping[str, Any]) -> tuple[NDArray[np.float32], int]:
    """Return the sound samples in -1..1 `[samples]`, averaged over channels, and the sampling rate in Hz.

    Args:
        recording: `bytes` of a file (FLAC, WAV, OGG, MP3), or its `path`.

    Raises:
        DataError: when the package soundfile is not installed.
        ValueError: when the file cannot be read, or is not sound.
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
    try:
        wave, rate = soundfile.read(content, dtype="float32", always_2d=True)
    except soundfile.LibsndfileError as error:
        raise ValueError(error.error_string.rstrip(".")) from None
    if not np.isfinite(wave).all():  # files of floats may hold anything
        raise ValueError("it has NaN or infinite samples")
    return wave.mean(1), rate


Frames = NDArray[np.float32]
"""Log-mel frames of a recording, `[frames, bands]`."""


def all_waves(splits: Mapping[str, Any], column: str, name: str) -> Iterator[tuple[str, NDArray[np.float32], int]]:
    """Yield the split, the sound samples in -1..1 `[samples]` and the sampling rate of each recording.

    Args:
        splits: rows by split.
        column: column of recordings that are not decoded.
        name: name of the data, for error messages.

    Raises:
        DataError: when a recording cannot be decoded, has fewer than two samples, or another sampling rate than the
            first; names the row.
    """
    first: int | None = None
    for split, rows in splits.items():
        wanted = rows.features[column].sampling_rate
        for index, row in enumerate(rows.select_columns([column])):  # other columns may hold what cannot be decoded
            where = f"recording {index} of '{name}' ({split})"
            try:
                wave, rate = decode_recording(row[column])
            except DataError:  # soundfile is missing, which is no fault of the recording
                raise
            except (OSError, ValueError, RuntimeError) as error:
                path = row[column] and row[column]["path"]
                where += f", file '{path}'," if path else ""
                raise DataError(f"{where} cannot be decoded: {shortened(error)}.") from None
            first = first or rate
            _require_sound(where, len(wave), rate, first)
            if wanted not in (None, rate):
                raise DataError(
                    f"{where} has a sampling rate of {rate} Hz, but its column asks for {wanted} Hz; resample the "
                    "recordings, or cast the column to Audio() to use them as they are."
                )
            yield split, wave, rate


def _require_sound(where: str, samples: int, rate: int, first: int) -> None:
    if samples < 2:
        raise DataError(f"{where} is too short: expected at least 2 samples, found {samples}.")
    if rate != first:  # frames would have the same shape, but bands of other frequencies
        raise DataError(f"{where} has a sampling rate of {rate} Hz, the first has {first} Hz; resample one of them.")
    if rate < MIN_SAMPLING_RATE_HZ:
        raise DataError(f"{where} has a sampling rate of {rate} Hz; expected at least {MIN_SAMPLING_RATE_HZ} Hz.")


def pad_frames(frames: Frames, count: int) -> Frames:
    """Pad frames to `count` by repeating the last one, as `FrameNet` does beyond the end of a batch.

    >>> pad_frames(np.array([[1.0], [2.0]], dtype=np.float32), 4)[:, 0].tolist()
    [1.0, 2.0, 2.0, 2.0]
    """
    return np.pad(frames, ((0, count - len(frames)), (0, 0)), mode="edge")


def state_labels(words: Tensor, lengths: Tensor, states: int, positions: int) -> Tensor:
    """Return word * states + floor(states t / n) for frame t of n, int64 `[recordings, position]`.

    Frames from n on, and frames of unlabelled words, are `UNLABELLED`.

    Args:
        words: class of each word, int64 `[recordings]`.
        lengths: number of frames n, int64 `[recordings]`.
        states: number of states per word.
        positions: number of frames of the longest recording.

    >>> state_labels(torch.tensor([0, 2]), torch.tensor([6, 4]), 3, 6).tolist()
    [[0, 0, 1, 1, 2, 2], [6, 6, 7, 8, -1, -1]]
    """
    frame, length, word = torch.arange(positions), lengths[:, None], words[:, None]
    known = (frame < length) & (word != UNLABELLED)  # [recordings, position]
    return torch.where(known, word * states + states * frame // length, UNLABELLED)


def state_names(words: tuple[str, ...], states: int) -> tuple[str, ...]:
    """Return the class names of the states of all words.

    >>> state_names(("yes", "no"), 2)
    ('yes/1', 'yes/2', 'no/1', 'no/2')
    """
    return tuple(f"{word}/{state}" for word in words for state in range(1, states + 1))


def make_spoken_source(
    name: str,
    inputs: Tensor,
    words: Tensor,
    lengths: Tensor,
    names: tuple[str, ...],
    states: int,
    sound: Recordings | None = None,
) -> Source:
    """Return a source of recorded words whose frames are labelled with states.

    Args:
        name: name of the source.
        inputs: frames, float32 `[recordings, position, bands]`.
        words: class of each word, int64 `[recordings]`, or `UNLABELLED`.
        lengths: number of frames of each recording, int64 `[recordings]`.
        names: names of the words.
        states: number of states per word.
        sound: sound of the recordings, if it is stored.
    """
    labels = state_labels(words, lengths, states, inputs.shape[1])
    columns = {} if sound is None else {"sound": sound}
    classes = state_names(names, states)
    return Source(name, inputs, labels, classes, lengths=lengths, task=Words(states), columns=columns)
