"""Recordings of spoken words: their bytes become log-mel frames, and their frames the states of the word.

A recording is a sample and its frames are positions. A word is a row of states, which share the frames of a recording
out in equal parts, so that a class is a part of a word, such as "seven/2".
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from instar.analysis.scores import UNLABELLED
from instar.data.log_mel import SLOWEST
from instar.data.recordings import Recordings
from instar.data.samples import Source
from instar.errors import DataError, shortened
from instar.tasks.words import Words


def is_recording(feature: Any) -> bool:
    """Return whether a column of this feature type holds recordings: Audio, or a structure of bytes and path."""
    from datasets import Audio

    return isinstance(feature, Audio) or (isinstance(feature, dict) and set(feature) == {"bytes", "path"})


def decode_recording(recording: Mapping[str, Any]) -> tuple[NDArray[np.float32], int]:
    """Return samples in -1..1 `[samples]`, the mean of all channels, and how many there are in a second.

    Args:
        recording: the `bytes` of a file (FLAC, WAV, OGG, MP3), or its `path`.

    Raises:
        DataError: when the package that reads such files is not installed.
        ValueError: when the file cannot be read, or holds what is no sound.
    """
    try:
        import soundfile
    except ImportError:
        raise DataError("recordings need the package soundfile: pip install 'instar[speech]'.") from None
    if not recording or not (recording["bytes"] or recording["path"]):
        raise ValueError("a value is missing")
    content = io.BytesIO(recording["bytes"]) if recording["bytes"] else recording["path"]
    try:
        wave, rate = soundfile.read(content, dtype="float32", always_2d=True)
    except soundfile.LibsndfileError as error:
        raise ValueError(error.error_string.rstrip(".")) from None
    if not np.isfinite(wave).all():
        raise ValueError("it holds NaN or infinite samples")
    return wave.mean(1), rate


Frames = NDArray[np.float32]
"""The log-mel frames of a recording, `[frames, bands]`."""


def all_waves(splits: Mapping[str, Any], column: str, name: str) -> Iterator[tuple[str, NDArray[np.float32], int]]:
    """Give the split, the samples in -1..1 `[samples]` and the rate of every recording, one by one.

    Args:
        splits: rows by split.
        column: of the recordings, whose type does not decode them.
        name: of the data, for people.

    Raises:
        DataError: with the row, for a recording that cannot be decoded, has fewer than two samples, or another rate
            than the first.
    """
    first: int | None = None
    for split, rows in splits.items():
        for index, row in enumerate(rows.select_columns([column])):
            where = f"recording {index} of '{name}' ({split})"
            try:
                wave, rate = decode_recording(row[column])
            except DataError:
                raise
            except (OSError, ValueError, RuntimeError) as error:
                path = row[column] and row[column]["path"]
                where += f", file '{path}'," if path else ""
                raise DataError(f"{where} cannot be decoded: {shortened(error)}.") from None
            first = first or rate
            _require_sound(where, len(wave), rate, first)
            yield split, wave, rate


def _require_sound(where: str, samples: int, rate: int, first: int) -> None:
    if samples < 2:
        raise DataError(f"{where} is too short: it has {samples} of at least 2 samples.")
    if rate != first:
        raise DataError(f"{where} has {rate} samples a second, the first has {first}; all must be alike.")
    if rate < SLOWEST:
        raise DataError(f"{where} has {rate} samples a second; it needs at least {SLOWEST}.")


def padded(frames: Frames, count: int) -> Frames:
    """Return `count` frames: those that there are, then the last one again and again.

    What lies beyond the end is so what `FrameNet` takes it for, however far a batch reaches.

    >>> padded(np.array([[1.0], [2.0]], dtype=np.float32), 4)[:, 0].tolist()
    [1.0, 2.0, 2.0, 2.0]
    """
    return np.pad(frames, ((0, count - len(frames)), (0, 0)), mode="edge")


def state_labels(words: Tensor, lengths: Tensor, states: int, positions: int) -> Tensor:
    """Return word * states + floor(states t / n) for frame t of n, int64 `[recordings, position]`.

    `UNLABELLED` from frame n on, and where the word is.

    Args:
        words: int64 `[recordings]`.
        lengths: n, int64 `[recordings]`.
        states: of a word.
        positions: the frames of the longest recording.

    >>> state_labels(torch.tensor([0, 2]), torch.tensor([6, 4]), 3, 6).tolist()
    [[0, 0, 1, 1, 2, 2], [6, 6, 7, 8, -1, -1]]
    """
    frame, length, word = torch.arange(positions), lengths[:, None], words[:, None]
    known = (frame < length) & (word != UNLABELLED)
    return torch.where(known, word * states + states * frame // length, UNLABELLED)


def state_names(words: tuple[str, ...], states: int) -> tuple[str, ...]:
    """Return the names of the states of all words.

    >>> state_names(("yes", "no"), 2)
    ('yes/1', 'yes/2', 'no/1', 'no/2')
    """
    return tuple(f"{word}/{state}" for word in words for state in range(1, states + 1))


def spoken(
    name: str,
    inputs: Tensor,
    words: Tensor,
    lengths: Tensor,
    names: tuple[str, ...],
    states: int,
    sound: Recordings | None = None,
) -> Source:
    """Return recordings of words as a source of frames, each labelled with its state.

    Args:
        name: of the source.
        inputs: frames, float32 `[recordings, position, bands]`.
        words: int64 `[recordings]`, `UNLABELLED` where it is not known.
        lengths: the frames of each recording, int64 `[recordings]`.
        names: of the words.
        states: of a word.
        sound: of the recordings, where it was kept.
    """
    labels = state_labels(words, lengths, states, inputs.shape[1])
    columns = {} if sound is None else {"sound": sound}
    classes = state_names(names, states)
    return Source(name, inputs, labels, classes, lengths=lengths, task=Words(states), columns=columns)
