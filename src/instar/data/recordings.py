"""The sound of recordings, kept for people to hear; networks see frames."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Wave = NDArray[np.int16]
"""The samples of sound, from -32768 to 32767."""


@dataclass(frozen=True, eq=False)
class Recordings:
    """The sound of a row of recordings.

    Args:
        waves: of all, one behind the other, int16 `[samples of sound]`.
        starts: where each begins, and last of all where the last one ends, int64 `[recordings + 1]`.
        rate: samples of sound in a second.

    >>> Recordings(np.array([7, 8, 9], np.int16), np.array([0, 1, 3]), 8000).wave(1).tolist()
    [8, 9]
    """

    waves: Wave
    starts: NDArray[np.int64]
    rate: int

    def __len__(self) -> int:
        return len(self.starts) - 1

    def wave(self, number: int) -> Wave:
        """Return the sound of one recording, `[samples of sound]`."""
        return self.waves[self.starts[number] : self.starts[number + 1]]

    def some(self, numbers: Iterable[int], room: int) -> tuple[list[int], Recordings]:
        """Return which of these recordings have room, and their sound; one too long makes way for those after it.

        Args:
            numbers: of recordings, the most wanted first; one may be there again.
            room: bytes that their sound may take.
        """
        chosen: list[int] = []
        for number in dict.fromkeys(numbers):
            size = self.wave(number).nbytes
            if size <= room:
                chosen.append(number)
                room -= size
        waves = [self.wave(number) for number in chosen]
        starts = np.cumsum([0, *map(len, waves)])
        return chosen, Recordings(np.concatenate([self.waves[:0], *waves]), starts, self.rate)


@contextmanager
def recorder(folder: Path, split: str) -> Iterator[Callable[[NDArray[np.float32], int], None]]:
    """Give what writes the recordings of a split one by one, so that memory does not grow with the data.

    It takes the sound of one, `[samples of sound]`, of which what lies outside -1..1 is cut, and the rate of all.

    Args:
        folder: of decoded data.
        split: name of the split.
    """
    starts: list[int] = [0]
    rates: set[int] = set()

    def write(wave: NDArray[np.float32], rate: int) -> None:
        file.write(np.rint(wave * 32768).clip(-32768, 32767).astype("<i2").tobytes())
        starts.append(starts[-1] + len(wave))
        rates.add(rate)

    with _waves(folder, split).open("wb") as file:
        yield write
    np.savez(_about(folder, split), starts=np.array(starts), rate=np.array(list(rates)))


def read_recordings(folder: Path, split: str) -> Recordings | None:
    """Return the recordings of a split, mapped; none where they were not kept."""
    if not _about(folder, split).is_file():
        return None
    with np.load(_about(folder, split), allow_pickle=False) as about:
        return Recordings(np.memmap(_waves(folder, split), "<i2", "r"), about["starts"], int(about["rate"][0]))


def _waves(folder: Path, split: str) -> Path:
    return folder / f"{split}-waves.pcm"


def _about(folder: Path, split: str) -> Path:
    return folder / f"{split}-waves.npz"
