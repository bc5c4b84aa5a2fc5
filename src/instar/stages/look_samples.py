"""The few samples that a first look at a teacher queries it about, without changing anything."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor

from instar.analysis.scores import UNLABELLED
from instar.data.dataset import Data
from instar.data.samples import Samples
from instar.teachers.teacher import Teacher

MAX_LOOK_SAMPLES, MAX_LOOK_POSITIONS, LOOK_BATCH_SIZE = 256, 1024, 64
"""Samples that a teacher is queried about; where samples have positions, about so many positions."""


def choose_labelled(teacher: Teacher, data: Data) -> tuple[str | None, Samples | None]:
    """Return a split and its labelled samples; None, None if there are none."""
    # validation first, because the teacher may have learnt the training samples by heart
    for split, samples in (("validation", data.held_out), ("train", data.train)):
        if samples is None:
            continue
        known = torch.cat([_are_judged(part) for part in samples.parts()])
        # a store of augmented training samples knows them with their views, which the caller then uses
        if known.any() and (split == "train" or teacher.knows(samples)):
            # a stream is read in order, so none of its windows can be left out
            return split, samples if known.all() or samples.source.task.is_stream else samples.select(known)
    return None, None


def _are_judged(samples: Samples) -> Tensor:
    return (samples.judged_labels() != UNLABELLED).reshape(len(samples), -1).any(1)


def draw_few(samples: Samples) -> Samples:
    """Return a few samples at random, the same in every call."""
    positions = samples.source.positions
    most = (
        MAX_LOOK_SAMPLES
        if positions is None
        else min(MAX_LOOK_SAMPLES, max(4, math.ceil(MAX_LOOK_POSITIONS / positions)))
    )
    return samples.subset(min(most, len(samples)), seed=0)  # draws from a generator of its own, not from the run's


@contextmanager
def keep_unchanged(teacher: Teacher, device: torch.device) -> Iterator[None]:
    """Restore random states afterwards, and drop hidden states."""
    # the user's teacher may draw from any of the three, and a look must not change what training draws
    devices = [device] if device.type == "cuda" else []
    of_numpy, of_python = np.random.get_state(), random.getstate()
    try:
        with torch.random.fork_rng(devices):
            yield
    finally:
        np.random.set_state(of_numpy)
        random.setstate(of_python)
        for carried in teacher.carried():
            carried.load({}, device)
