"""Answers about positions are kept and found again: recordings of all lengths, and texts that are read in columns."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from instar.config import DataConfig
from instar.data import UNLABELLED, Data, Loader, Samples, Source
from instar.data.text import cut_windows
from instar.errors import MismatchError
from instar.models import LSTM, FrameNet
from instar.procedures.distill import distill
from instar.procedures.label import label
from instar.procedures.train import train
from instar.teachers import Module, Remembered, Stored

RANDOM = np.random.default_rng(0)
CLASSES = ("a", "b", "c", "d", "e")
SETTINGS = {"epochs": 2, "batch_size": 4, "log_every": 1}


def recordings(count):
    """Frames of 3 to 8 positions, padded with the last."""
    lengths = torch.from_numpy(RANDOM.integers(3, 9, count))
    inputs = torch.from_numpy(RANDOM.standard_normal((count, 8, 3)).astype(np.float32))
    inputs = inputs.gather(1, torch.arange(8).minimum(lengths[:, None] - 1)[..., None].expand(-1, -1, 3))
    labels = torch.from_numpy(RANDOM.integers(0, 5, (count, 8)))
    labels[torch.arange(8) >= lengths[:, None]] = UNLABELLED
    return Samples.all_of(Source("recordings", inputs, labels, CLASSES, lengths=lengths))


def text(count):
    return Samples.all_of(cut_windows("text", RANDOM.integers(0, 5, count).astype(np.int32), CLASSES, end=0, length=5))


CASES = {
    "recordings": (Data(DataConfig(source="arrays"), *map(recordings, (23, 9, 11))), FrameNet([8], (1, 1))),
    "text": (Data(DataConfig(source="arrays"), *map(text, (113, 41, 52))), LSTM(6, 1)),
}


@pytest.fixture(params=CASES)
def case(request, tmp_path):
    data, model = CASES[request.param]
    return data, model, train(data, model, out=tmp_path / "teacher", **SETTINGS)


def asked(teacher, loader):
    """Answers about each sample, and which of its positions are valid."""
    found = {}
    for batch in loader.in_order():
        masks = torch.ones_like(batch.labels, dtype=torch.bool) if batch.mask is None else batch.mask
        answers = teacher.targets(batch).logits()
        found |= {index: pair for index, *pair in zip(batch.ids.tolist(), answers, masks, strict=True)}
    return found


def test_remembered_answers_are_those_of_each_sample(case):
    data, _, teacher = case
    loader = Loader(data.train, 4, seed=3)
    live = asked(Module(teacher.model), loader)
    remembered = Remembered(Module(teacher.model), loader)
    for step in range(loader.steps_per_epoch):
        batch = loader.batch(step)
        found = remembered.targets(batch).logits()
        assert found.shape == (*batch.labels.shape, 5)
        for index, answers in zip(batch.ids.tolist(), found, strict=True):
            expected, mask = live[index]
            number = int(mask.sum())
            torch.testing.assert_close(answers[:number], expected[:number])


@pytest.mark.parametrize("keep", ["all", "top:2", "sample:3"])
def test_a_store_of_positions_teaches(case, tmp_path, keep):
    data, model, teacher = case
    store = label(data, teacher, out=tmp_path / "store", keep=keep, dtype="float32")
    loader = Loader(data.train, 4, seed=3)
    stored = Stored(store.path)
    for step in range(loader.steps_per_epoch):
        batch = loader.batch(step)
        logits = torch.zeros(*batch.labels.shape, 5)
        assert stored.targets(batch).cross_entropy(logits, 1.0)[0].shape == batch.labels.shape
    if keep == "all" and not data.train.source.task.is_stream:  # a text is read in other columns than were kept
        live = asked(Module(teacher.model), loader)
        for batch in loader.in_order():
            for index, answers in zip(batch.ids.tolist(), stored.targets(batch).logits(), strict=True):
                expected, mask = live[index]
                torch.testing.assert_close(answers[mask], expected[mask])
    student = distill(data, store.path, model, out=tmp_path / "student", objective="SoftTargets(1)", **SETTINGS)
    assert student.complete
    if keep == "all":
        live = distill(data, teacher, model, out=tmp_path / "live", objective="SoftTargets(1)", **SETTINGS)
        assert student.metrics["nll"] == pytest.approx(live.metrics["nll"], abs=0.02)


def other_content(samples):
    """The same samples, one label of which is another."""
    source = samples.source
    labels = source.labels.clone()
    labels[1, 2] = (labels[1, 2] + 1) % 5
    return Samples.all_of(replace(source, labels=labels))


def other_windows(samples):
    """The same tokens in windows of another length; recordings that end a frame sooner."""
    source = samples.source
    if source.task.is_stream:
        tokens = source.labels[source.labels >= 0].numpy().astype(np.int32)
        return Samples.all_of(cut_windows("text", tokens, CLASSES, end=0, length=7))
    return Samples.all_of(replace(source, lengths=(source.lengths - 1)))


@pytest.mark.parametrize("change", [other_content, other_windows])
def test_a_store_whose_positions_do_not_line_up_with_the_data_is_refused(case, tmp_path, change):
    data, model, teacher = case
    store = label(data, teacher, out=tmp_path / "store")
    other = Data(data.config, change(data.train), data.validation, data.test)
    fingerprints = [samples.source.fingerprint()[:8] for samples in (data.train, other.train)]
    with pytest.raises(MismatchError) as refused:
        distill(other, store.path, model, out=tmp_path / "student", objective="SoftTargets(1)", **SETTINGS)
    assert all(fingerprint in str(refused.value) for fingerprint in fingerprints)


def test_parts_of_a_batch_have_the_mean_over_its_valid_positions(case, tmp_path):
    data, model, teacher = case
    for objective in ("HardLabels()", "SoftTargets(2) + HardLabels()"):
        given = [] if objective == "HardLabels()" else [teacher]
        verb = distill if given else train
        runs = []
        for parts in (1, 3):
            order = [data, *given, model]
            out = tmp_path / f"{objective}-{parts}"
            runs.append(verb(*order, out=out, objective=objective, micro_batches=parts, seed=5, **SETTINGS))
        for first, second in zip(*(run.history() for run in runs), strict=True):
            for name in first.keys() & {"loss", "nll"}:
                assert first[name] == pytest.approx(second[name], rel=1e-4)
