"""Weights of classes against torch and scikit-learn, in a run, and what is refused."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.utils.class_weight import compute_class_weight

from instar import distill, train
from instar.data import UNLABELLED, Batch, load_data
from instar.errors import ConfigError, DataError, MismatchError
from instar.models import MLP, Linear
from instar.objectives import HardLabels, WeightedLabels, fit_to_samples, parse_objective

RANDOM = np.random.default_rng(0)
LABELS = RANDOM.choice(3, 400, p=[0.85, 0.1, 0.05])
INPUTS = (RANDOM.normal(size=(400, 4)) + np.eye(3, 4)[LABELS]).astype(np.float32)


def data(**settings):
    return load_data((INPUTS, LABELS, INPUTS[:100], LABELS[:100]), labels="classes", **settings)


def test_balanced_weights_are_those_of_scikit_learn_and_the_loss_that_of_torch():
    counts = np.bincount(LABELS)
    term = WeightedLabels().fit_to_classes(torch.tensor(counts), ("0", "1", "2"))
    weights = compute_class_weight("balanced", classes=np.arange(3), y=LABELS)
    assert term.fitted == pytest.approx(weights)
    logits, labels = torch.randn(400, 3, dtype=torch.float64), torch.tensor(LABELS)
    labels[5] = UNLABELLED
    found = term(logits, Batch.of_labels(labels), None).loss
    wanted = F.cross_entropy(logits, labels, torch.tensor(weights), reduction="none", ignore_index=UNLABELLED)
    assert found == pytest.approx(wanted)


def test_given_weights_have_mean_1_over_the_training_samples():
    term = WeightedLabels({"no": 1, "yes": 9}).fit_to_classes(torch.tensor([6, 2]), ("no", "yes"))
    assert term.fitted == pytest.approx((1 / 3, 3))
    alike = WeightedLabels({"no": 2, "yes": 2}).fit_to_classes(torch.tensor([6, 2]), ("no", "yes"))
    assert alike.fitted == (1, 1)


def test_a_run_with_class_weights_does_not_depend_on_micro_batches_and_finds_the_rare_classes(tmp_path):
    settings = {"epochs": 12, "batch_size": 50, "learning_rate": 0.03}
    plain = train(data(), Linear(), out=tmp_path / "plain", **settings)
    weighted, in_parts = (
        train(data(), Linear(), out=tmp_path / name, objective="WeightedLabels", micro_batches=parts, **settings)
        for name, parts in (("weighted", 1), ("parts", 5))
    )
    assert weighted.config["objective"] == "WeightedLabels"
    losses = [[line["loss"] for line in run.history() if line["kind"] == "train"] for run in (weighted, in_parts)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    assert weighted.metrics["balanced_error"] < plain.metrics["balanced_error"] - 0.1


def test_weights_balanced_batches_and_the_teacher_go_together_as_far_as_they_may(tmp_path):
    teacher = train(data(), MLP([8]), epochs=2, out=tmp_path / "teacher")
    objective = "SoftTargets(2) + 0.5 * WeightedLabels({'2': 5})"
    run = distill(data(), teacher, Linear(), objective=objective, epochs=1, out=tmp_path / "student")
    assert run.config["objective"] == objective
    assert str(parse_objective(objective)).endswith("0.5 * WeightedLabels(class_weights={'2': 5})")
    batches = train(data(balanced=True), Linear(), epochs=6, correct_prior=True, out=tmp_path / "batches")
    assert batches.config["data"]["balanced"]
    with pytest.raises(MismatchError, match=r"WeightedLabels and data\.balanced both make up for rare classes"):
        train(data(balanced=True), Linear(), objective="WeightedLabels()", out=tmp_path / "twice")
    with pytest.raises(DataError, match="class '7' of WeightedLabels is not in the data; known are: 0, 1, 2"):
        train(data(), Linear(), objective="WeightedLabels({'7': 2})", out=tmp_path / "unknown")


@pytest.mark.parametrize("given", ["rare", {}, {"a": 0}, {"a": True}, {"a": "2"}, {"a": float("inf")}])
def test_weights_that_mean_nothing_are_refused(given):
    with pytest.raises(ConfigError, match=r"WeightedLabels\(class_weights\) must be"):
        WeightedLabels(given)


def test_a_term_without_its_weights_says_what_to_call_and_others_stay_as_they_are():
    with pytest.raises(ConfigError, match="has no weights yet; call fit_to_classes"):
        WeightedLabels()(torch.zeros(1, 2), Batch.of_labels(torch.tensor([0])), None)
    objective = 1.0 * HardLabels()
    assert fit_to_samples(objective, data().train) is objective
