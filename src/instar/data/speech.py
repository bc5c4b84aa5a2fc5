"""Sources of recordings: of spoken words, whose frames are labelled, and of recordings with a class each.

A recording is a sample. Of spoken words, its frames are positions. A word is a sequence of states, each with an equal
part of the frames of a recording. A class is one state of a word, such as "seven/2".
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from instar.analysis.scores import UNLABELLED
from instar.data.columns.held import Held
from instar.data.columns.sounds import WAVES, Sounds
from instar.data.recordings import Recordings
from instar.data.source import Source
from instar.tasks.words import Words


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


FRAMES, MASK = "frames", "mask"
"""Names of the inputs of recordings with a class each: their frames, and which of them are no padding."""


def make_recorded_source(
    name: str,
    inputs: Tensor,
    labels: Tensor,
    lengths: Tensor,
    classes: tuple[str, ...],
    sound: Recordings | None = None,
    waves: Sounds | None = None,
) -> Source:
    """Return a source of recordings with one class each, whose inputs are `frames` and their `mask`.

    Args:
        name: name of the source.
        inputs: frames, float32 `[recordings, frames, bands]`, padded by repeating the last one.
        labels: class of each recording, int64 `[recordings]`, or `UNLABELLED`.
        lengths: number of frames of each recording, int64 `[recordings]`.
        classes: class names.
        sound: sound of the recordings, if it is stored.
        waves: their sound, for networks that read it.

    >>> found = make_recorded_source(
    ...     "two", torch.zeros(2, 3, 40), torch.tensor([0, 1]), torch.tensor([3, 1]), ("a", "b")
    ... )
    >>> found.positions, found.column("mask").tolist()
    (None, [[True, True, True], [True, False, False]])
    """
    mask = torch.arange(inputs.shape[1]) < lengths[:, None]
    columns: dict[str, Any] = {MASK: Held(mask), "sound": sound, WAVES: waves}
    columns = {name: column for name, column in columns.items() if column is not None}
    return Source(name, inputs, labels, classes, lengths=lengths, columns=columns, input_names=(FRAMES, MASK))
