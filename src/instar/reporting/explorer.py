"""Dark knowledge: test samples with the predictions of teacher and student, softened live by the reader."""

from __future__ import annotations

import base64
import io
import wave
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import numpy as np
from PIL import Image

from instar.reporting.runs import Array, Runs, log_softmax
from instar.reporting.section import Section

MAX_REPORT_LOGIT_BYTES, MAX_REPORT_IMAGE_BYTES, MAX_REPORT_SOUND_BYTES = 1_500_000, 2_000_000, 2_000_000
"""Upper bounds for the whole report, over all runs."""
NATS_PER_STEP = 0.001
"""Resolution of the logits, which the page stores as whole steps below the largest of their sample."""
MAX_FEATURES = 64
HARDEST_SAMPLES = 12


def collect_samples(runs: Runs) -> Mapping[str, Any] | None:
    """Return the runs with a teacher that recorded samples to show, or None."""
    taught = [row for row in runs.complete if "shown.inputs" in runs.examples(row)]
    found = []
    pictures, sounds = Pictures(), Sounds()
    names: dict[tuple[str, ...], int] = {}
    shows: set[str] = set()
    for row in taught:
        kept = runs.examples(row)
        classes = kept["shown.logits"].shape[1]
        # all runs share the room equally, with at least 4 samples each; two uint16 logits take 4 bytes
        most = min(len(kept["shown.inputs"]), max(4, MAX_REPORT_LOGIT_BYTES // (len(taught) * classes * 4)))
        first = {name.removeprefix("shown."): kept[name][:most] for name in kept if name.startswith("shown.")}
        student = runs.logits(row, first["ids"], first.get("positions"))
        if student is None:  # its predictions are missing, damaged or of other samples
            continue
        class_names = runs.classes(row, classes)
        samples = _samples(first, student)
        recordings, texts = _recordings(kept), _texts(kept)
        for place, (sample, inputs) in enumerate(zip(samples, first["inputs"], strict=True)):
            # runs with the same test data share images and sounds
            key = f"{(row.fingerprints.get('data') or {}).get('test')}/{sample['id']}"
            if recordings is not None:
                sample["sound"] = sounds.add(key, recordings.get(sample["id"]), int(kept["sounds.rate"][0]))
            if texts is not None:
                sample["text"] = texts[place]
            elif inputs.ndim > 1:
                sample["image"] = pictures.add(key, inputs)
            # whole numbers with a position are a text; whole numbers without one are a row of features
            elif np.issubdtype(inputs.dtype, np.integer) and "position" in sample:
                tokens = inputs[: sample["position"] + 1].tolist()
                # a vocabulary may have tokens that are no classes
                sample["text"] = " ".join(class_names[token] if token < classes else "?" for token in tokens)
            else:
                sample["features"] = [float(f"{value:.4g}") for value in inputs[:MAX_FEATURES].tolist()]
        shows |= {kind for sample in samples for kind in sample}
        found.append(
            {
                "name": row.name,
                "classes": names.setdefault(tuple(class_names), len(names)),  # each list of names is written once
                "samples": samples,
                "teacher": in_steps(first["logits"].astype(float)),
                "student": in_steps(student),
                "mixture": len(row.teachers) > 1 and row.config.get("combine") == "arithmetic",
            }
        )
    if not found:
        return None
    # runs refer to these by key: a thousand class names or a picture may be in every run
    shared = {"classes": list(names), "images": pictures.images, "sounds": sounds.sounds, "step": NATS_PER_STEP}
    return {"data": {"runs": found, **shared}, "shows": shows}


class Pictures:
    """Images as PNG data URLs, each once, up to `MAX_REPORT_IMAGE_BYTES`."""

    def __init__(self) -> None:
        self.images: dict[str, str] = {}
        self._room = MAX_REPORT_IMAGE_BYTES

    def add(self, key: str, inputs: Array) -> str | None:
        """Add an image `[channels, height, width]` of uint8, and return its key; None if there is no room left."""
        if key not in self.images:
            # pictures are at most 48 pixels wide, so the last one exceeds the room only a little
            if self._room <= 0 or inputs.ndim != 3 or inputs.dtype != np.uint8:
                return None
            self.images[key] = _picture(inputs)
            self._room -= len(self.images[key])
        return key


class Sounds:
    """Recordings as WAV data URLs, each once, up to `max_bytes` in all."""

    def __init__(self, max_bytes: int = MAX_REPORT_SOUND_BYTES) -> None:
        self.sounds: dict[str, dict[str, Any]] = {}
        self._room = max_bytes

    def add(self, key: str, samples: Array | None, rate: int) -> str | None:
        """Add a sound `[samples]` of int16, and return its key; None if the run folder or the page had no room."""
        if key not in self.sounds:
            # a sound may be large, so its size is known before it is taken
            if samples is None or len(sound := _wav(samples, rate)) > self._room:
                return None
            self.sounds[key] = {"address": sound, "seconds": f"{len(samples) / rate:.2f}"}
            self._room -= len(sound)
        return key


def in_steps(logits: Array) -> str:
    """Return the distance of logits from the largest of their row, in steps of 0.001 nats, as uint16 in base 64.

    >>> base64.b64decode(in_steps(np.array([[2.0, 1.75]]))).hex()
    '0000fa00'
    """
    below = (logits.max(-1, keepdims=True) - logits) / NATS_PER_STEP
    # uint16 ends 65.5 nats below the largest logit, where a probability of 1e-28 is 0 to any reader; so does -inf
    return base64.b64encode(np.minimum(np.rint(below), 65535).astype("<u2").tobytes()).decode()


def _samples(kept: Mapping[str, Array], student: Array) -> list[dict[str, Any]]:
    labels, teacher = kept["labels"], kept["logits"]
    loss = -log_softmax(student)[np.arange(len(labels)), labels]
    hardest = set(np.argsort(-loss)[:HARDEST_SAMPLES].tolist())
    wrong, differs = teacher.argmax(1) != labels, teacher.argmax(1) != student.argmax(1)
    found = []
    for place, (number, label) in enumerate(zip(kept["ids"].tolist(), labels.tolist(), strict=True)):
        kinds = [("hardest", place in hardest), ("wrong", bool(wrong[place])), ("differs", bool(differs[place]))]
        sample = {"id": number, "label": label, "kinds": [kind for kind, holds in kinds if holds]}
        found.append(sample | ({"position": int(kept["positions"][place])} if "positions" in kept else {}))
    return found


def _recordings(kept: Mapping[str, Array]) -> dict[int, Array] | None:
    """Return the sounds in a run folder by sample id; None if the data have none, or an older version wrote it."""
    if "sounds.ids" not in kept:
        return None
    # starts has 0 in front and the end of the last sound behind, where nothing is split
    waves = np.split(kept["sounds.waves"], kept["sounds.starts"][1:-1])
    # not strict: splitting an empty array leaves one empty part, where no sound had room
    return dict(zip(kept["sounds.ids"].tolist(), waves, strict=False))


def _texts(kept: Mapping[str, Array]) -> list[str] | None:
    """Return the texts in a run folder in the order of the samples; None if samples are no texts."""
    if "texts.ends" not in kept:
        return None
    content, ends = kept["texts.content"].tobytes(), kept["texts.ends"].tolist()
    return [content[start:end].decode(errors="replace") for start, end in pairwise([0, *ends])]


def _wav(samples: Array, rate: int) -> str:
    """Return int16 samples of sound as a WAV data URL."""
    file = io.BytesIO()
    with wave.open(file, "wb") as written:
        written.setparams((1, 2, rate, len(samples), "NONE", ""))
        written.writeframes(samples.astype("<i2").tobytes())
    return "data:audio/wav;base64," + base64.b64encode(file.getvalue()).decode()


def _picture(inputs: Array) -> str:
    """Return an image `[channels, height, width]` of uint8 as a PNG data URL."""
    # Pillow wants grey images without a channel, and colours last
    pixels = inputs[0] if inputs.shape[0] == 1 else np.moveaxis(inputs, 0, -1)
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(file, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


SECTION = Section("explorer", "Dark knowledge", collect_samples, ("sort.js", "explorer.js"))
