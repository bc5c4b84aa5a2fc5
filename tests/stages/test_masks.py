"""Where a mask is false, nothing is learnt or judged; and a run reads arrays as it read its own."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from instar import distill, evaluate, models, train
from instar.compute.tiling import use_tile_bytes
from instar.data import Loader, load_data
from instar.errors import DataError, MismatchError
from instar.objectives import parse_objective
from instar.runs.files import read_tensors
from instar.targets import DenseTargets

RANDOM = np.random.default_rng(0)
CLASSES, SAMPLES, LENGTH = 7, 24, 8
TOKENS = torch.tensor(RANDOM.integers(0, CLASSES, (SAMPLES, LENGTH)))
LABELS = torch.tensor(RANDOM.integers(0, CLASSES, (SAMPLES, LENGTH)))
MASK = torch.tensor(RANDOM.random((SAMPLES, LENGTH)) < 0.5)
VECTORS = torch.tensor(RANDOM.standard_normal((SAMPLES, 5)), dtype=torch.float32)
TOKEN_DATA = (TOKENS, LABELS, TOKENS, LABELS)
ROW_DATA = (VECTORS, LABELS[:, 0], VECTORS, LABELS[:, 0])
NAMES = [str(number) for number in range(CLASSES)]


def token_teacher(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Embedding(CLASSES, 4), nn.Linear(4, CLASSES))


def by_hand(logits, labels, teacher, mask, temperature):
    """Return the mean of SoftTargets(T) + 0.3 HardLabels() over what has a loss."""
    losses = []
    for place in mask.nonzero():
        z, v, label = logits[tuple(place)], teacher[tuple(place)], labels[tuple(place)]
        soft = -(torch.softmax(v / temperature, 0) * torch.log_softmax(z / temperature, 0)).sum()
        losses.append(temperature**2 * soft + 0.3 * F.cross_entropy(z, label))
    return torch.stack(losses).mean()


@pytest.mark.parametrize("tile_bytes", [1 << 20, 4 * CLASSES * 3])
@pytest.mark.parametrize("arrays", [TOKEN_DATA, ROW_DATA])
def test_the_loss_is_the_mean_over_what_has_one(arrays, tile_bytes):
    mask = MASK if arrays is TOKEN_DATA else MASK[:, 0]
    data = load_data(arrays, mask={"train": mask}, classes=NAMES, validation=0)
    objective = parse_objective("SoftTargets(3) + 0.3 * HardLabels()")
    loader = Loader(data.train, 10, seed=0)
    for step in range(loader.steps_per_epoch):
        batch = loader.batch(step)
        shape = (*batch.labels.shape, CLASSES)
        logits, teacher = (torch.tensor(RANDOM.standard_normal(shape)).requires_grad_() for _ in range(2))
        expected = by_hand(logits, batch.labels, teacher.detach(), mask[batch.ids], 3)
        (wanted,) = torch.autograd.grad(expected, logits)
        with use_tile_bytes(loss=tile_bytes):
            loss = objective(logits, batch, DenseTargets(teacher.detach()))[0] / batch.count()
        assert batch.count() == mask[batch.ids].sum() == len(batch.valid())
        assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
        torch.testing.assert_close(torch.autograd.grad(loss, logits)[0], wanted, rtol=1e-5, atol=1e-7)


def weights_of(run):
    return torch.cat([weight.detach().flatten() for weight in run.model.parameters()])


def test_soft_targets_are_not_learnt_where_there_is_no_loss_and_are_where_there_is_no_label(tmp_path):
    first_half = torch.arange(LENGTH).expand(SAMPLES, LENGTH) >= LENGTH // 2
    unlabelled = LABELS.masked_fill(~first_half, -100)
    odd = LABELS.masked_fill(~first_half, 0)

    def distilled(name, labels, mask):
        data = load_data((TOKENS, labels, TOKENS, LABELS), mask=mask, validation=0, unlabelled=-100, classes=NAMES)
        student = token_teacher(seed=1)
        return distill(
            data, token_teacher(), student, objective="SoftTargets(2)", out=tmp_path / name, epochs=2, batch_size=8
        )

    whole, hidden = distilled("whole", LABELS, None), distilled("hidden", unlabelled, None)
    masked = distilled("masked", LABELS, {"train": first_half})
    assert torch.equal(weights_of(whole), weights_of(hidden))  # a teacher says more than labels do
    assert not torch.equal(weights_of(whole), weights_of(masked))
    assert torch.equal(weights_of(masked), weights_of(distilled("odd", odd, {"train": first_half})))
    assert whole.metrics["samples"] == SAMPLES * LENGTH


@pytest.mark.parametrize("arrays", [TOKEN_DATA, ROW_DATA])
def test_scores_and_kept_labels_are_of_what_has_a_loss(arrays, tmp_path):
    inputs, labels = arrays[:2]
    mask = MASK if arrays is TOKEN_DATA else MASK[:, 0]
    data = load_data(arrays, mask=(None, mask), validation=0)
    network = token_teacher() if arrays is TOKEN_DATA else nn.Linear(5, CLASSES)
    wrong = network(inputs).argmax(-1) != labels
    found = evaluate(network, data)
    assert found["samples"] == mask.sum()
    assert found["errors"] == wrong[mask].sum()
    run = train(data, network, out=tmp_path / "run", epochs=1)
    kept = read_tensors(run.path / "predictions.safetensors")[0]
    assert torch.equal(kept["test.labels"] >= 0, mask)
    assert run.metrics["samples"] == mask.sum()


def test_windows_of_text_have_a_mask_that_ends_with_them(tmp_path):
    for split in ("train", "test"):
        (tmp_path / "text").mkdir(exist_ok=True)
        (tmp_path / "text" / f"{split}.txt").write_text("a b c d e\n" * 3)
    plain = load_data(str(tmp_path / "text"), length=4, validation=0)
    shape = plain.train.labels.shape
    data = load_data(
        str(tmp_path / "text"), length=4, validation=0, mask={"train": np.arange(4)[None] % 2 * np.ones(shape)}
    )
    source = data.train.source
    assert source.lengths.tolist() == [4, 4, 4, 4, 2]
    assert source.mask.sum(1).tolist() == [2, 2, 2, 2, 1]
    batch = Loader(data.train, 5, seed=0).batch(0)
    assert batch.count() == batch.mask.sum() == 9
    run = train(data, models.LSTM(4, 1), out=tmp_path / "run", epochs=1, batch_size=2)
    assert run.metrics["perplexity"] > 1


def test_a_mask_is_part_of_the_content_where_there_is_one():
    plain, everywhere, masked = (
        load_data(ROW_DATA, mask=mask, validation=0).fingerprints()["train"]
        for mask in (None, {"train": torch.ones(SAMPLES)}, {"train": MASK[:, 0]})
    )
    assert len({plain, everywhere, masked}) == 3
    halves = load_data(ROW_DATA[:2], mask=MASK[:, 0], validation=0)
    of_row = {tuple(row): loss for row, loss in zip(VECTORS.tolist(), MASK[:, 0].tolist(), strict=True)}
    for samples in (halves.train, halves.test):
        assert samples.source.mask.tolist() == [of_row[tuple(row)] for row in samples.inputs().tolist()]


@pytest.mark.parametrize(
    ("mask", "told"),
    [
        ({"train": MASK}, r"must have the shape of its labels, \[24\], or \[24\] for whole samples; got \[24, 8\]"),
        ({"train": MASK[:, 0].long() * 2}, "must be True and False, or 1 and 0; got int64 values"),
        ({"train": MASK[:, 0] & False}, "is False everywhere"),
        ({"dev": MASK[:, 0]}, "the mask names an unknown split 'dev'; the data have: train, test"),
        (MASK[:, 0], "expected one mask per split"),
    ],
)
def test_a_mask_that_does_not_fit_is_refused(mask, told):
    with pytest.raises(DataError, match=told):
        load_data(ROW_DATA, mask=mask, validation=0)


def test_a_run_reads_arrays_as_it_read_its_own_and_by_the_values_of_their_labels(tmp_path):
    images = RANDOM.standard_normal((SAMPLES, 4, 4, 4))
    labels = LABELS[:, 0] % 3 * 2
    data = load_data((images, labels, images, labels), layout="HWC", validation=0)
    run = train(data, models.MLP([4]), out=tmp_path / "run", epochs=1)
    fewer = labels != 0
    found = evaluate(run, (images, labels, images[fewer], labels[fewer]))
    assert found["class_errors"]["4"] == run.metrics["class_errors"]["4"]
    others = load_data((images, labels + 2, images, labels + 2), layout="HWC", validation=0)
    with pytest.raises(MismatchError, match=r"has other classes \(0, 2, 4\) than 'train arrays' \(2, 4, 6\)"):
        distill(others, run, models.MLP([4]), out=tmp_path / "student", epochs=1)


@pytest.mark.parametrize("targets", ["online", "memory", "store"])
def test_a_teacher_may_predict_nan_where_there_is_no_loss(tmp_path, targets):
    class Blind(nn.Module):
        def forward(self, inputs):
            return torch.stack([inputs[:, 0].log(), inputs[:, 1]], 1)

    inputs = torch.rand(20, 2)
    mask = torch.arange(20) % 3 > 0
    inputs[~mask, 0] = -1
    data = load_data((inputs, torch.arange(20) % 2, inputs, torch.arange(20) % 2), mask=(mask, mask), validation=0)
    settings = {"objective": "SoftTargets(2)", "targets": targets, "epochs": 1}
    run = distill(data, Blind(), models.MLP([4]), out=tmp_path / "run", **settings)
    assert run.metrics["kl_to_teacher"] > 0
