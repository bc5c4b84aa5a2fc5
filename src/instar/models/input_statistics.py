"""Mean and standard deviation of inputs, which a model is built with."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from instar.data.samples import Samples
from instar.data.source import Source
from instar.models.normalised import MeanAndStd, is_tokens
from instar.models.readers.cells import Cells
from instar.models.readers.named import Named
from instar.models.readers.reader import Reader
from instar.models.readers.text_reader import TextReader

MAX_STATISTICS_SAMPLES = 100_000
"""Most samples to compute mean and standard deviation from."""

_PIXELS_PART_BYTES = 128 << 10
_FLOATS_PART_BYTES = 64 << 20
_MIN_RELATIVE_STD = 1e-7  # float32 inputs are this far apart, and the sums below round to a fifth of it
_EXACT_PIXELS = 256  # pixels whose squares float32 adds without rounding: 256 * 255^2 < 2^24


def statistics(samples: Samples) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation of the inputs, per channel of images and per feature of vectors and frames.

    Shapes are `[channels, 1, 1]` or `[features]`. Constant features get std 1, and padding frames of recordings are
    left out. Samples of weight 0 are left out too, and vectors count as often as their weights say. From a
    large data set, 100,000 evenly spaced samples are used. They are kept beside inputs in the cache.

    >>> from instar.data import load_data
    >>> mean, std = statistics(load_data("digits").train)
    >>> mean.shape, round(mean.item(), 2), round(std.item(), 2)
    (torch.Size([1, 1, 1]), 0.31, 0.38)
    """
    source = samples.source
    if is_tokens(source.inputs):
        return torch.zeros(1), torch.ones(1)
    # evenly spaced, because data may be sorted by class
    ids, weights = samples.ids, source.weights
    if weights is not None and not weights[ids].any():
        weights = None
    if weights is not None:
        ids = ids[weights[ids] > 0]
    ids = ids[:: -(-len(ids) // MAX_STATISTICS_SAMPLES)]
    weights = weights[ids] if weights is not None and len(samples.input_shape) == 1 else None
    has_positions = source.positions is not None or source.lengths is not None
    has_frames = has_positions and len(samples.input_shape) == 2
    is_pixels = source.inputs.dtype == torch.uint8 and len(samples.input_shape) == 3

    def compute() -> dict[str, Tensor]:
        if is_pixels:
            mean, std = _statistics_of_pixels(source, ids)
        else:
            mean, std = _statistics_of_floats(source, ids, has_frames, weights)
        return {"mean": mean, "std": std}

    depends_on = {
        "shape": str(list(source.inputs.shape)),
        "ids": ids,
        "lengths": source.lengths if has_frames else None,
    } | ({} if weights is None else {"weights": weights})
    found = source.keep("statistics-2", depends_on, compute)
    return found["mean"], found["std"]


def find_statistics(samples: Samples, reader: Reader) -> tuple[MeanAndStd | None, dict[str, MeanAndStd]]:
    """Return the statistics of the inputs that a reader leaves to the data: of the only one, or of several by name."""
    if isinstance(reader, TextReader | Cells):  # tokens have no statistics, and cells are standardised by their reader
        return None, {}
    if isinstance(reader, Named):
        left = {name: one for name, one in reader.readers if one.statistics() is None}
        columns = {name: samples.source.column(one.column) for name, one in left.items()}
        return None, {
            name: _statistics_of(samples, values) for name, values in columns.items() if not is_tokens(values)
        }
    return None if reader.statistics() else _statistics_of(samples, samples.source.column(reader.column)), {}


def _statistics_of(samples: Samples, values: Tensor) -> MeanAndStd:
    source = samples.source
    if values is source.inputs:
        return statistics(samples)
    return statistics(replace(samples, source=replace(source, inputs=values, columns={}, input_names=(), given=None)))


def _statistics_of_pixels(source: Source, ids: Tensor) -> tuple[Tensor, Tensor]:
    # whole numbers, so that mean and variance are exact until they are rounded, whatever the order of the sums
    images, (channels, *size) = source.inputs.numpy(), source.inputs.shape[1:]
    total = square = np.zeros(channels, dtype=np.int64)
    # a few images at a time, so that each part stays in the processor's cache
    count = max(1, _PIXELS_PART_BYTES // images[0].nbytes)
    # the pixels of a channel in blocks; zeros at the end add nothing
    blocks = np.zeros((count, channels, -(-math.prod(size) // _EXACT_PIXELS), _EXACT_PIXELS), dtype=np.float32)
    room = blocks.reshape(count, channels, -1)[..., : math.prod(size)].reshape(count, channels, *size)
    ones = np.ones(_EXACT_PIXELS, dtype=np.float32)
    for part in np.split(ids.numpy(), range(count, len(ids), count)):
        np.copyto(room[: len(part)], images[part] if len(part) > 1 else images[part[0]])
        filled = blocks[: len(part)]
        total = total + np.vecdot(filled, ones).sum((0, 2), dtype=np.float64).astype(np.int64)
        square = square + np.vecdot(filled, filled).sum((0, 2), dtype=np.float64).astype(np.int64)
    number = len(ids) * math.prod(size)
    sums = list(zip(total.tolist(), square.tolist(), strict=True))  # Python's integers do not overflow below
    mean = [one / (255 * number) for one, _ in sums]
    std = [math.sqrt(number * two - one * one) / (255 * number) or 1.0 for one, two in sums]
    return torch.tensor(mean)[:, None, None], torch.tensor(std)[:, None, None]


def _statistics_of_floats(
    source: Source, ids: Tensor, has_frames: bool, weights: Tensor | None
) -> tuple[Tensor, Tensor]:
    axes = (0, 2, 3) if source.inputs.dim() == 4 else (0,)
    total = square = torch.zeros(1, dtype=torch.float64)
    count = 0.0
    # in parts, because all samples as float64 take eight times the memory of pixels
    size = min(4096, max(1, _FLOATS_PART_BYTES // source.inputs[0].nbytes))
    # at most 1 each, so that no sum of them is infinite
    counts = torch.ones(len(ids)) if weights is None else weights / weights.max()
    for part, own in zip(ids.split(size), counts.double().split(size), strict=True):
        inputs = _valid_frames(source, part) if has_frames else source.inputs[part]
        inputs = inputs.double() / 255 if inputs.dtype == torch.uint8 else inputs.double()
        weighed = inputs if weights is None else inputs * own[:, None]
        total = total + weighed.sum(axes, keepdim=True)[0]  # [channels, 1, 1] or [features]
        square = square + (weighed * inputs).sum(axes, keepdim=True)[0]
        count += inputs.numel() / total.numel() if weights is None else float(own.sum())
    mean = total / count
    std = (square / count - mean.square()).clamp(min=0).sqrt()  # rounding may leave a constant feature below 0
    is_constant = (std <= _MIN_RELATIVE_STD * mean.abs()) | (std < torch.finfo(torch.float32).tiny)
    return mean.float(), torch.where(is_constant, 1.0, std).float()


def _valid_frames(source: Source, ids: Tensor) -> Tensor:
    inputs = source.inputs[ids]
    if source.lengths is None:
        return inputs.flatten(0, 1)
    # without padding, which repeats the last frame of short recordings: [valid frame, feature]
    return inputs[torch.arange(inputs.shape[1]) < source.lengths[ids][:, None]]
