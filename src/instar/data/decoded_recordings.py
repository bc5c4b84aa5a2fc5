"""Decoding of all recordings of a data set into frames, one file per split."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from instar.config import DataConfig
from instar.data.array_files import write_inputs
from instar.data.bad_files import BadFile, refuse_bad_files, write_skipped
from instar.data.in_order import map_in_order
from instar.data.log_mel import MIN_SAMPLING_RATE_HZ, Frames, log_mel, pad_frames
from instar.data.recordings import recorder
from instar.data.sound import Sound, decode_sound
from instar.errors import DataError, shortened

_Row = tuple[int, dict[str, Any] | None]  # its number, with `path` and `bytes` of a recording or a missing value


@dataclass
class _Rates:
    """The sampling rate of all recordings, and what was changed to make them alike.

    Args:
        name: name of the data, for messages.
        wanted: rate that all are resampled to; None: all must have one.
        first: rate of the first recording.
        num_all: recordings of all splits.
        num_resampled: recordings that had another rate.
        num_mixed: recordings that had several channels.
    """

    name: str
    wanted: int | None
    first: int | None = None
    num_all: int = field(default=0)
    num_resampled: int = field(default=0)
    num_mixed: int = field(default=0)

    def add(self, split: str, index: int, path: str | None, sound: Sound, asked: int | None) -> None:
        """Count a recording; `asked` is the rate that its column asks for.

        Raises:
            DataError: when it has another rate than it must have.
        """
        self.first = self.first or sound.rate
        self.num_all += 1
        self.num_resampled += sound.rate != sound.own_rate
        self.num_mixed += sound.channels > 1
        where = f"recording {index} of '{self.name}' ({split})" + (f", file '{path}'," if path else "")
        told = f"{where} has a sampling rate of {sound.rate} Hz"
        if sound.rate != self.first:  # frames would have the same shape, but bands of other frequencies
            rate = max(MIN_SAMPLING_RATE_HZ, min(sound.rate, self.first))
            raise DataError(
                f"{told}, the first has {self.first} Hz. Set data.sample_rate={rate} to resample all to one rate."
            )
        if sound.rate < MIN_SAMPLING_RATE_HZ:
            raise DataError(f"{told}; expected at least {MIN_SAMPLING_RATE_HZ} Hz.")
        if self.wanted is None and asked not in (None, sound.rate):
            raise DataError(
                f"{told}, but its column asks for {asked} Hz; set data.sample_rate={asked} to resample the recordings, "
                "or cast the column to Audio() to use them as they are."
            )

    def describe(self) -> str:
        """Return what was changed, for the line about the data; empty if nothing was."""
        counts = {
            f"resampled to {self.first:,} Hz": self.num_resampled,
            "mixed as the mean of their channels": self.num_mixed,
        }
        # of all splits, because the same line is told for each of them
        return "".join(f", {count:,} of all {self.num_all:,} {how}" for how, count in counts.items() if count)


def write_recordings(folder: Path, splits: Mapping[str, Any], column: str, config: DataConfig) -> dict[str, Any]:
    """Write the log-mel frames of each split into a folder, `[recordings, frames, bands]`, and the sound of the test.

    Args:
        folder: folder to write to.
        splits: rows by split, with recordings that are not decoded.
        column: column of the recordings.
        config: name of the data, and settings of recordings.

    Returns:
        `told`: how recordings were changed, for the line about the data. `skipped`: see `write_skipped`.

    Raises:
        DataError: when recordings cannot be decoded, with their paths, or have several sampling rates.
    """
    # the report plays test samples, so the sound of the last split, which is the test split, is written too
    test, rates = list(splits)[-1], _Rates(config.source, config.sample_rate)
    found: dict[str, list[Frames]] = {split: [] for split in splits}
    bad: dict[str, list[BadFile]] = {split: [] for split in splits}
    with recorder(folder, test) as record:
        for split, rows in splits.items():
            for sound, frames in _decode_split(rows, column, split, rates, bad[split]):
                found[split].append(frames)
                if split == test:
                    record(sound.wave, sound.rate)
    if config.on_error == "refuse" or not all(found.values()):
        refuse_bad_files(bad, column, config.source, "recordings")
    # of all splits, because inputs must have one shape in all of them
    longest = max((len(frames) for recordings in found.values() for frames in recordings), default=0)
    for split, recordings in found.items():
        np.save(folder / f"{split}-lengths.npy", np.array([len(frames) for frames in recordings], dtype=np.int64))
        padded = (pad_frames(frames, longest) for frames in recordings)
        write_inputs(folder / f"{split}.npy", padded, len(recordings), config.source)
    return write_skipped(folder, bad) | {"told": rates.describe()}


def _decode_split(
    rows: Any, column: str, split: str, rates: _Rates, bad: list[BadFile]
) -> Iterator[tuple[Sound, Frames]]:
    asked = rows.features[column].sampling_rate
    # other columns may hold what cannot be decoded
    values: Iterator[_Row] = ((index, row[column]) for index, row in enumerate(rows.select_columns([column])))
    for index, path, found in map_in_order(partial(_decode_row, rate=rates.wanted), values):
        if isinstance(found, BadFile):
            bad.append(found)
            continue
        rates.add(split, index, path, found, asked)
        yield found, log_mel(found.wave, found.rate)


def _decode_row(row: _Row, rate: int | None) -> tuple[int, str | None, Sound | BadFile]:
    index, value = row
    path = (value or {}).get("path")
    try:
        return index, path, decode_sound(value, rate)
    except DataError:  # soundfile is missing, which is no fault of the recording
        raise
    except (OSError, ValueError, RuntimeError) as error:
        return index, path, BadFile(index, path, shortened(error).rstrip("."))
