"""Re-training on a teacher that is sure and right is training on the labels, to the last bit of every weight."""

import pytest
import torch
import torch.nn.functional as F

from instar.data import Batch, load_data
from instar.models import CNN, MLP
from instar.procedures.distill import distill
from instar.procedures.train import train
from instar.targets import DenseTargets, Targets
from instar.teachers import Teacher

DIGITS = load_data("digits", subset=120)


class Oracle(Teacher):
    """Gives the labels as logits whose softmax is exactly one-hot: exp(-200) is 0 in float32."""

    def targets(self, batch: Batch) -> Targets:
        return DenseTargets(200.0 * F.one_hot(batch.labels, 10))

    def fingerprint(self) -> str:
        return "oracle"

    def modules(self) -> list[torch.nn.Module]:
        return []


def test_the_oracle_is_exactly_one_hot():
    found = Oracle().targets(Batch.of_labels(torch.tensor([3, 1]))).log_probs(1.0).exp()
    assert torch.equal(found, F.one_hot(torch.tensor([3, 1]), 10).float())


@pytest.mark.parametrize(
    ("model", "settings"),
    [
        (MLP([16]), {"optimiser": "sgd", "learning_rate": 0.1}),
        (MLP([16], 0.5), {"weight_decay": 0.1, "views": "Shift(1)"}),
        (CNN([4, 6], 8, 0.25), {"micro_batches": 3, "ema": 0.9, "gradient_clip": 0.5}),
    ],
    ids=["sgd", "dropout and views", "convolutions in parts"],
)
def test_one_hot_targets_at_temperature_1_are_labels_to_the_last_bit(tmp_path, model, settings):
    settings = {"epochs": 4, "batch_size": 32, "log_every": 1, "learning_rate": 0.02} | settings
    born_again = distill(DIGITS, Oracle(), model, objective="SoftTargets(1)", out=tmp_path / "again", **settings)
    labelled = train(DIGITS, model, objective="HardLabels()", out=tmp_path / "labels", **settings)
    found, wanted = born_again.model.state_dict(), labelled.model.state_dict()
    assert all(torch.equal(found[name], wanted[name]) for name in wanted)
    losses = [[line["loss"] for line in run.history() if line["kind"] == "train"] for run in (born_again, labelled)]
    assert losses[0] == losses[1]
    assert born_again.metrics["errors"] == labelled.metrics["errors"]
