"""New recordings for the model of a run: files of sound, read as the run read its own."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import torch

from instar.analysis.scores import UNLABELLED
from instar.data.columns.sounds import Sounds
from instar.data.in_order import map_in_order
from instar.data.log_mel import log_mel, pad_frames
from instar.data.sound import Sound, decode_sound
from instar.data.source import Source
from instar.data.speech import make_recorded_source, make_spoken_source
from instar.errors import DataError, MismatchError, say, shortened
from instar.runs.run import Run
from instar.stages.run_data import recorded_rate, run_classes
from instar.tasks.words import Words

MAX_LISTED_FILES = 5
"""Files that cannot be decoded and that an error names."""


def read_recordings(run: Run, items: Sequence[Any]) -> Source:
    """Return files of sound as a source without labels; those of another sampling rate are resampled, with a notice.

    Args:
        run: complete run that was trained on recordings.
        items: paths of the files.

    Raises:
        DataError: when files cannot be decoded; names them.
        MismatchError: when the run does not know the rate of its recordings.
    """
    rate = recorded_rate(run)
    if rate is None:
        raise MismatchError(f"'{run.path}' does not know the sampling rate of its recordings, so it cannot read files.")

    def decode(item: Any) -> Sound | str:
        try:
            if os.path.isdir(item):
                raise OSError("it is a folder; give the files in it")
            return decode_sound({"bytes": None, "path": os.fspath(item)}, rate)
        except DataError:  # soundfile is missing, which is no fault of the recording
            raise
        except (OSError, ValueError, RuntimeError, TypeError) as error:
            return f"'{item}' ({shortened(error).rstrip('.')})"

    found = list(map_in_order(decode, items))
    sounds = [one for one in found if isinstance(one, Sound)]
    if failed := [one for one in found if isinstance(one, str)]:
        more = f" and {len(failed) - MAX_LISTED_FILES} more" if len(failed) > MAX_LISTED_FILES else ""
        told = ", ".join(failed[:MAX_LISTED_FILES]) + more
        raise DataError(f"{len(failed)} of {len(items)} recordings cannot be read: {told}.")
    if num_resampled := sum(sound.own_rate != rate for sound in sounds):
        say(f"instar: {num_resampled} recordings are resampled to {rate:,} Hz, the rate of those of '{run.path}'.")
    frames = [log_mel(sound.wave, rate) for sound in sounds]
    longest = max(map(len, frames))
    inputs = torch.stack([torch.from_numpy(pad_frames(one, longest)) for one in frames])
    lengths = torch.tensor(list(map(len, frames)))
    unknown, classes, states = torch.full((len(frames),), UNLABELLED), run_classes(run), run.config["data"]["states"]
    if not states:
        waves = Sounds([sound.wave for sound in sounds].__getitem__, len(sounds), rate)
        return make_recorded_source("new recordings", inputs, unknown, lengths, classes, waves=waves)
    words = Words(states).class_names(classes)
    return make_spoken_source("new recordings", inputs, unknown, lengths, words, states)
