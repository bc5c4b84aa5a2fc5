"""What has no loss counts nowhere: in no prior, no offset, no covariance and no class of a specialist."""

import numpy as np
import pytest
import torch
from torch import nn

from instar import correct_bias, specialists, train
from instar.data import load_data
from instar.errors import DataError
from instar.models import MLP

RANDOM = np.random.default_rng(0)
SAMPLES, CLASSES = 60, 3
INPUTS = RANDOM.standard_normal((SAMPLES, 4)).astype(np.float32)
LABELS = np.arange(SAMPLES) % CLASSES
NAMES = ["0", "1", "2"]
IN_LOSS = (LABELS != 2) | (np.arange(SAMPLES) < 30)  # "2" has 10 samples with a loss, the others 20


def data(**settings):
    return load_data((INPUTS, LABELS, INPUTS, LABELS), **{"classes": NAMES, "validation": 0.4} | settings)


def without(**settings):
    """The same samples, those without a loss not there at all."""
    kept = (INPUTS[IN_LOSS], LABELS[IN_LOSS])
    return load_data((*kept, *kept), **{"classes": NAMES, "validation": 0.4} | settings)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return train(data(), MLP([8]), out=tmp_path_factory.mktemp("masks") / "run", epochs=2)


def test_the_prior_counts_only_samples_with_a_loss(run, tmp_path):
    masked = correct_bias(run, ["2"], out=tmp_path / "masked", data=data(mask={"train": IN_LOSS}))
    fewer = correct_bias(run, ["2"], out=tmp_path / "fewer", data=without())
    plain = correct_bias(run, ["2"], out=tmp_path / "plain", data=data())
    assert masked.result["offset"]["2"] == pytest.approx(fewer.result["offset"]["2"], abs=1e-5)
    assert masked.result["offset"]["2"] < plain.result["offset"]["2"] - 0.3


def test_labels_without_a_loss_decide_no_offset(run, tmp_path):
    wrong = np.where(IN_LOSS, LABELS, (LABELS + 1) % CLASSES)
    found = [
        correct_bias(
            run,
            ["2"],
            rule="labelled",
            out=tmp_path / name,
            data=load_data(
                (INPUTS, labels, INPUTS, LABELS), mask={"train": IN_LOSS}, classes=NAMES, validation=0.5, split_seed=1
            ),
        ).result["offset"]["2"]
        for name, labels in (("right", LABELS), ("wrong", wrong))
    ]
    assert found[0] == found[1]


def test_a_prior_of_positions_counts_those_with_a_loss(tmp_path):
    tokens, labels = RANDOM.integers(0, 3, (12, 5)), RANDOM.integers(0, 3, (12, 5))
    mask = RANDOM.random((12, 5)) < 0.6
    arrays = load_data((tokens, labels, tokens, labels), classes=NAMES, mask={"train": mask}, validation=0)
    run = train(arrays, nn.Sequential(nn.Embedding(3, 4), nn.Linear(4, 3)), out=tmp_path / "run", epochs=1)
    fixed = correct_bias(run, ["1"], out=tmp_path / "fixed", data=arrays)
    with torch.no_grad():
        mean = torch.softmax(fixed.model(torch.tensor(tokens)), -1)[torch.tensor(mask)][:, 1].mean()
    assert mean.item() == pytest.approx((labels[mask] == 1).mean(), abs=1e-5)


class Table(nn.Module):
    """Looks the logits of a sample up: the generalist of which only the answers matter."""

    def __init__(self, logits):
        super().__init__()
        self.register_buffer("logits", logits)

    def forward(self, ids):
        return self.logits[ids.long().flatten()].view(*ids.shape[: ids.dim() - (ids.dim() == 2)], -1)


def test_clusters_are_those_of_predictions_with_a_loss():
    random = np.random.default_rng(1)
    number, classes = 80, 6
    logits = torch.from_numpy(random.standard_normal((number, classes)).astype(np.float32)) * 3
    has_loss = np.arange(number) < 40
    ids, labels = np.arange(number, dtype=np.float32)[:, None], np.arange(number) % classes
    arrays = (ids, labels, ids, labels)
    some = (ids[has_loss], labels[has_loss])
    names = [str(number) for number in range(classes)]
    masked = load_data(arrays, mask={"train": has_loss}, classes=names, validation=0)
    fewer = load_data((*some, *some), classes=names, validation=0)
    found = [specialists.cluster(Table(logits), which, clusters=3) for which in (masked, fewer)]
    assert found[0] == found[1]
    assert found[0] != specialists.cluster(Table(logits), load_data(arrays, classes=names, validation=0), clusters=3)


@pytest.mark.parametrize(("special", "missing"), [(["2"], "special class '2'"), (["0", "1"], "the rest")])
def test_a_class_without_any_loss_is_no_class_of_a_specialist(special, missing):
    with pytest.raises(DataError, match=f"no training samples of {missing}"):
        data(mask={"train": LABELS != 2}, special_classes=special)


def test_validation_of_a_specialist_is_balanced_in_what_is_judged():
    held_out = data(mask={"train": IN_LOSS}, special_classes=["2"]).held_out
    judged = held_out.judged_labels()
    assert (judged == 2).sum() == (judged != 2).sum() > 0
    assert (judged >= 0).all()
