"""The rows of one shard: what a teacher predicts for some samples and views, as records of a target store."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from instar.data.batch import Batch
from instar.data.loader import Loader
from instar.stages.stored_layers import find_positions, refuse_other_shape
from instar.targets.answer import Answer
from instar.targets.layout import RowLayout, StoredLayer
from instar.targets.manifest import PartDescription
from instar.teachers.teacher import Teacher, ask

MAX_PENDING_BYTES = 32 << 20
"""Predictions that are encoded as records at once, because encoding each small batch by itself would be slow."""


@dataclass(frozen=True, eq=False)
class _Labelled:
    """What a teacher predicts for several batches of one view.

    Args:
        view: number of the view.
        ids: sample ids, int64 `[n]`.
        values: what is stored of the targets, `[n, ..., classes]`.
        features: outputs of layers, `[n, ...]` by name.
        lengths: number of positions of each sample in layers that have positions, int32 `[n]`; None if none has.
    """

    view: int
    ids: Tensor
    values: Tensor
    features: Mapping[str, Tensor]
    lengths: Tensor | None

    @classmethod
    def joined(cls, layout: RowLayout, view: int, labelled: list[tuple[Batch, Answer, Tensor | None]]) -> _Labelled:
        """Return the predictions for several batches together, each with the mask of its positions."""
        batches, answers, masks = zip(*labelled, strict=True)
        ids = torch.cat([batch.ids for batch in batches])
        values = layout.record.values_of(answers[0].targets.joined([answer.targets for answer in answers[1:]]))
        features = {
            layer.name: _join([answer.features[layer.name] for answer in answers], layer) for layer in layout.layers
        }
        lengths = None if layout.lengths is None else torch.cat([mask.sum(1).int() for mask in masks])
        return cls(view, ids, values, features, lengths)


def _join(outputs: list[Tensor], layer: StoredLayer) -> Tensor:
    if not layer.has_positions:
        return torch.cat(outputs)
    whole = outputs[0].new_zeros(sum(map(len, outputs)), *layer.shape)
    start = 0
    for output in outputs:
        whole[start : start + len(output), : output.shape[1]] = output
        start += len(output)
    return whole


def make_records(
    teacher: Teacher, loader: Loader, part: PartDescription, rows: range, advance: Callable[[int], None]
) -> tuple[Tensor, list[int]]:
    """Query a teacher about rows of a part of a store.

    Args:
        teacher: the teacher, on the device of the loader.
        loader: samples and views of the part.
        part: description of the part.
        rows: row `view * samples + i` is the view of the i-th sample.
        advance: function that gets the number of samples of each batch, to show progress.

    Returns:
        Records, uint8 `[rows, width]`, and the ids of samples without probabilities.

    Raises:
        MismatchError: when a layer returns another shape for some samples.
        NonFiniteError: when the number type of the store cannot hold what a layer returns.
    """
    layout = part.layout(loader.samples.num_classes)
    records = torch.zeros(len(rows), layout.width, dtype=torch.uint8)  # the checksum covers the padding of rows too
    unanswered: list[int] = []
    for found in _answers(teacher, loader, layout, rows, advance):
        places = loader.samples.places(found.ids.cpu())  # a stream is read in an order of its own
        at = found.view * len(loader.samples) + places - rows.start
        targets = layout.record.encode_values(found.values, part.draws(found.ids, found.view))
        records[at, layout.targets] = targets.reshape(len(at), -1).cpu()
        for layer in layout.layers:
            records[at, layout.spans[layer.name]] = layout.encode_layer(layer, found.features[layer.name]).cpu()
        if found.lengths is not None and layout.lengths is not None:
            records[at, layout.lengths] = found.lengths.cpu().view(-1, 1).view(torch.uint8)
        # not finite for NaN and +inf, and for logits that are -inf for every class
        is_answer = found.values.logsumexp(-1).isfinite()  # [n] or [n, positions]
        longest = is_answer.shape[1] if is_answer.dim() == 2 else None
        if (valid := loader.samples.source.valid(found.ids.cpu(), longest)) is not None:
            is_answer |= ~valid.to(is_answer.device)  # padding may have any prediction
        is_answer = is_answer.view(len(at), -1).all(1)
        if not is_answer.all():
            unanswered += found.ids[~is_answer].tolist()
    return records, unanswered


def _answers(
    teacher: Teacher, loader: Loader, layout: RowLayout, rows: range, advance: Callable[[int], None]
) -> Iterator[_Labelled]:
    """Query rows of a part, and yield the predictions for many of them at a time."""
    samples, names = len(loader.samples), [layer.name for layer in layout.layers]
    for view in range(rows.start // samples, -(-rows.stop // samples)):  # a shard may span several views
        first = view * samples
        stretch = max(rows.start - first, 0), min(rows.stop - first, samples)
        labelled: list[tuple[Batch, Answer, Tensor | None]] = []
        size = 0
        for batch in loader.in_order(view, *stretch, trim=False):
            answer = ask(teacher, batch, names)
            mask = find_positions(teacher, batch) if layout.layers else None
            for layer in layout.layers:
                refuse_other_shape(layer, answer.features[layer.name], mask)
            labelled.append((batch, answer, mask))
            size += batch.labels.numel() * layout.record.num_classes * 4  # bytes of float32
            size += sum(feature.nbytes for feature in answer.features.values())
            advance(len(batch))
            if size >= MAX_PENDING_BYTES:
                yield _Labelled.joined(layout, view, labelled)
                labelled, size = [], 0
        if labelled:
            yield _Labelled.joined(layout, view, labelled)
