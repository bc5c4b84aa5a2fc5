"""Labelling of random rows of a target store again, to compare them with what is stored."""

from __future__ import annotations

import torch
from torch import Tensor

from instar.compute.accelerator import make_accelerator
from instar.data.dataset import Data
from instar.data.loader import Loader
from instar.data.samples import Samples
from instar.data.source import Source
from instar.data.views.notation import as_view
from instar.data.views.view import View
from instar.errors import StoreError
from instar.seeds import generator
from instar.stages.stored_layers import measure_layers
from instar.targets.manifest import PartDescription
from instar.targets.sparse import SparseTargets
from instar.targets.store import TargetStore
from instar.targets.stored_part import StoredPart
from instar.targets.targets import Targets
from instar.teachers.teacher import Teacher
from instar.training.scoring import BATCH_SIZE

MAX_PROBABILITY_DIFFERENCES = {"float32": 1e-4, "float16": 2e-3, "bfloat16": 2e-2}
"""Largest difference of a probability through rounding, of the dtype and of sums in another order."""

MAX_LAYER_DIFFERENCES = {"float32": 1e-3, "float16": 5e-3, "bfloat16": 2e-2}
"""Largest difference of a layer as a share of its largest value; hidden layers are not bounded as probabilities are."""


def label_again(
    store: TargetStore, teacher: Teacher, data: Data, rows: int, seed: int, *, trust: bool
) -> tuple[int, float, str]:
    """Query the teacher of a store about random rows of each part, and compare what it predicts with what is stored.

    Args:
        store: the store.
        teacher: its teacher, on the device of the process.
        data: the data that it labelled.
        rows: number of rows of each part.
        seed: seed of the choice of rows.
        trust: allow views outside Instar.

    Returns:
        The number of rows, the largest difference of a probability, and its part, id and view.

    Raises:
        StoreError: when the data are others, or predictions or layers differ by more than rounding.
    """
    count, worst, where = 0, 0.0, "everywhere"
    for name, part in store.manifest.parts.items():
        stored, views = store.part(name), as_view(part.views, trust=trust)
        chosen = torch.randperm(part.rows, generator=generator(seed, name))[:rows]
        count += len(chosen)
        for view in range(part.num_views):
            # row v * samples + i is view v of the sample with the i-th smallest id
            at = chosen[chosen // part.samples == view].sort().values - view * part.samples
            ids = at if stored.ids is None else stored.ids[at]
            if len(ids):
                source = _find_source(data, part, store)
                differences = _measure_differences(teacher, stored, source, views, ids, view)
                differences = differences.nan_to_num(nan=torch.inf)  # NaN must not pass as a small difference
                if float(differences.max()) >= worst:  # "or equal", so that a place is named also where all agree
                    worst, where = float(differences.max()), f"{name}, id {int(ids[differences.argmax()])}, view {view}"
        if worst > MAX_PROBABILITY_DIFFERENCES[part.dtype]:
            raise StoreError(f"'{store.path}' differs from its teacher by {worst:.2g} in a probability ({where}).")
    return count, worst, where


def _find_source(data: Data, part: PartDescription, store: TargetStore) -> Source:
    # by content and not by name: the same data may be called otherwise here, and another split may have them
    splits = [samples for samples in (data.train, data.validation, data.test) if samples is not None]
    for samples in splits:
        if samples.source.fingerprint() == part.fingerprint:
            return samples.source
    raise StoreError(
        f"'{store.path}' was made from '{part.source}' (fingerprint {part.fingerprint[:8]}), and the data have "
        + ", ".join(f"'{samples.source.name}' ({samples.source.fingerprint()[:8]})" for samples in splits)
        + "."
    )


def _measure_differences(
    teacher: Teacher, stored: StoredPart, source: Source, views: View, ids: Tensor, view: int
) -> Tensor:
    part = stored.part
    of_all = torch.arange(part.samples) if stored.ids is None else stored.ids
    samples, partners = Samples(source, ids), Samples(source, of_all)
    loader = Loader(
        samples,
        BATCH_SIZE,
        seed=0,  # in_order draws nothing, and the views have the seed of the store
        views=views,
        num_views=part.num_views,
        view_seed=part.view_seed,
        device=make_accelerator().device,
        partners=partners,
    )
    names, found = [layer.name for layer in part.layers], []
    for batch in loader.in_order(view):
        answer, ids = teacher.answer(batch, names), batch.ids.cpu()
        for name, difference in measure_layers(stored, teacher, batch, answer.features).items():
            if not difference <= MAX_LAYER_DIFFERENCES[part.dtype]:  # NaN must not pass as a small difference
                raise StoreError(
                    f"the layer '{name}' in the store differs from that of its teacher by {difference:.2g} of its "
                    f"largest value (view {view})."
                )
        found.append(_measure_batch(stored, stored.targets(ids, view), answer.targets, ids, view))
    return torch.cat(found)


def _measure_batch(stored: StoredPart, kept: Targets, live: Targets, ids: Tensor, view: int) -> Tensor:
    temperature = stored.part.temperature or 1.0  # logits hold at any; probabilities at 1 are the plainest measure
    predicted = live.log_probs(temperature).cpu()
    if kept.num_classes != predicted.shape[-1]:  # a manifest that was changed and sealed again
        raise StoreError(
            f"the store has predictions of {kept.num_classes} classes, and its teacher predicts {predicted.shape[-1]}."
        )
    # what a record holds is compared: all probabilities, the largest and the rest, or the drawn classes
    if not isinstance(kept, SparseTargets):
        difference = (kept.log_probs(temperature).exp() - predicted.exp()).abs().amax(-1)
    elif kept.rest is not None:
        # at the stored classes, not the teacher's own largest: ties may be broken otherwise
        rest = predicted.scatter(-1, kept.ids, -torch.inf).logsumexp(-1, keepdim=True)
        difference = (kept.kept - torch.cat([predicted.gather(-1, kept.ids), rest], -1).exp()).abs().amax(-1)
    else:  # the same draws again; rounding may move a draw across the edge between two classes
        again = stored.record.decode(stored.record.encode_values(predicted, stored.part.draws(ids, view)))
        assert isinstance(again, SparseTargets)
        # two draws may differ through rounding; more than two count as a difference
        moved = (again.ids != kept.ids).double().mean(-1) - 2 / kept.ids.shape[-1]
        difference = torch.maximum(moved.clamp(min=0), (again.entropy - kept.entropy).abs().double())
    return difference.reshape(len(ids), -1).amax(1).double()  # over the positions of a sample
