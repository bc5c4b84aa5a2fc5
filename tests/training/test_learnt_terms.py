"""Runs with terms that own layers and memories: they resume bit for bit, and are refused where batches are split."""

import pytest
import torch
import torch.nn.functional as F
from tests.same_runs import assert_same

from instar.data import Loader, load_data
from instar.errors import ConfigError, MismatchError
from instar.models import MLP, WideResNet
from instar.models.copying import copy_network
from instar.models.hooks import keep_outputs
from instar.models.named_layers import Layers
from instar.objectives import Contrastive
from instar.procedures.distill import distill
from instar.procedures.label import label
from instar.procedures.train import train
from instar.runs.files import read_tensors
from instar.runs.run import Run
from instar.seeds import seed_everything

DIGITS = load_data("digits", subset=60)
SETTINGS = {"epochs": 3, "batch_size": 25, "optimiser": "sgd", "learning_rate": 0.01, "schedule": "constant"}
SETTINGS |= {"log_every": 1}
CONTRASTIVE = "SoftTargets(4) + 0.8 * Contrastive({'pooled': 'pooled'}, negatives=40, embedding=16)"
REVIEW = "ReviewDistillation({'stage?': 'stage?', 'pooled': 'pooled'})"
ALL = f"{CONTRASTIVE} + VariationalInformation('stages') + warmup(2, 0.5) * {REVIEW}"


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    out = tmp_path_factory.mktemp("teachers") / "wide"
    return train(DIGITS, WideResNet(10, 2), out=out, **SETTINGS | {"epochs": 1})


def test_a_stopped_run_ends_alike_with_memories_and_statistics(tmp_path, teacher, stop_before):
    settings = SETTINGS | {"objective": ALL, "checkpoint_seconds": 0, "views": "Shift(1)"}
    straight = distill(DIGITS, teacher, WideResNet(10, 1), out=tmp_path / "straight", **settings)
    stopped = stop_before(5)
    with pytest.raises(stopped):
        distill(DIGITS, teacher, WideResNet(10, 1), out=tmp_path / "stopped", **settings)
    tensors, _ = read_tensors(Run(tmp_path / "stopped").checkpoint)
    assert tensors["adapters.contrastive.of_student"].shape == (60, 16)
    assert bool(tensors["adapters.contrastive.is_estimated"])
    assert "adapters.review_distillation.fusions.0.project.1.running_var" in tensors
    assert_same(straight, distill(DIGITS, teacher, WideResNet(10, 1), out=tmp_path / "stopped", **settings))
    lines = [line for line in straight.history() if line["kind"] == "train"]
    assert all(line[name] > 0 for line in lines for name in ("contrastive", "variational_information"))


def test_a_run_with_a_contrast_is_a_loop_by_hand_that_copies_rows(tmp_path):
    taught = train(DIGITS, MLP([8]), out=tmp_path / "teacher", **SETTINGS | {"epochs": 1})
    start = train(DIGITS, MLP([6]), out=tmp_path / "start", **SETTINGS | {"epochs": 1})
    pairs = {"hidden1": "hidden1"}
    objective = f"HardLabels() + 0.8 * Contrastive({pairs}, negatives=30, embedding=5)"
    run = distill(DIGITS, taught, MLP([6]), out=tmp_path / "run", objective=objective, start=start, **SETTINGS)
    model, master = copy_network(start.model).train(), copy_network(taught.model).eval()
    seed_everything(0, "adapters")
    memory = Contrastive(pairs, negatives=30, embedding=5).make_adapters([(6,)], [(8,)], DIGITS.train)
    own, theirs = memory.embeddings
    banks, constants = [bank.clone() for bank in memory.memories], None
    weights = [*model.parameters(), *memory.embeddings.parameters()]
    optimiser = torch.optim.SGD(weights, 0.01, momentum=0.9, nesterov=True)
    loader, losses = Loader(DIGITS.train, 25, seed=0), []
    for step in range(3 * loader.steps_per_epoch):
        batch = loader.batch(step)
        rows = memory.rows_of(batch)  # the draws are tested apart
        with keep_outputs({"own": Layers.of(model, "").modules["hidden1"]}, "") as kept:
            logits = model(batch.inputs)
        with torch.no_grad(), keep_outputs({"theirs": Layers.of(master, "").modules["hidden1"]}, "") as known:
            master(batch.inputs)
        embedded = [F.normalize(own(kept["own"])), F.normalize(theirs(known["theirs"]))]
        powers = [
            (torch.einsum("bke,be->bk", bank[rows], one) / 0.07).exp()
            for one, bank in zip(embedded, reversed(banks), strict=True)
        ]
        constants = constants or [power.mean().item() * 60 for power in powers]
        loss = F.cross_entropy(logits, batch.labels)
        for power, constant in zip(powers, constants, strict=True):
            share = power / constant / (power / constant + 30 / 60)
            loss = loss - 0.8 * (share[:, 0].log() + (1 - share[:, 1:]).log().sum(1)).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        for bank, one in zip(banks, embedded, strict=True):
            bank[rows[:, 0]] = F.normalize(0.5 * bank[rows[:, 0]] + 0.5 * one).detach()
        losses.append(loss.item())
    found = [line["loss"] for line in run.history() if line["kind"] == "train"]
    assert found == pytest.approx(losses, rel=1e-5)
    torch.testing.assert_close(read_tensors(run.weights)[0], dict(model.state_dict()), rtol=1e-4, atol=1e-5)


def refused(tmp_path, teacher, sentence, data=DIGITS, objective=CONTRASTIVE, kind=MismatchError, **settings):
    with pytest.raises(kind, match=sentence):
        distill(data, teacher, WideResNet(10, 1), out=tmp_path / "run", objective=objective, **SETTINGS | settings)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("term", ["Contrastive({'pooled': 'pooled'})", "ReviewDistillation('stages')"])
def test_batches_that_are_split_or_of_one_sample_are_refused(tmp_path, teacher, term):
    objective, name = f"SoftTargets(4) + {term}", term.partition("(")[0]
    for settings in ({"micro_batches": 2}, {"batch_size": 1}):
        sentence = f"{name} relates the samples of a batch to each other"
        refused(tmp_path, teacher, sentence, objective=objective, kind=ConfigError, **settings)


def test_what_a_contrast_lacks_is_told_before_the_first_step(tmp_path, teacher):
    some = load_data("digits", subset=60, drop_labels=0.5)
    refused(tmp_path, teacher, "Contrastive needs a label of every sample, and 30 of 60 have none", some)
    none = load_data("digits", subset=60, drop_labels=1.0)
    refused(tmp_path, teacher, "Contrastive needs labels, but the run has none", none)
    refused(tmp_path, teacher, "Contrastive is not defined for a sample with two labels", views="Mixup()")
    refused(tmp_path, teacher, "compares one layer of each network, got 3", objective="SoftTargets() + Contrastive()")
    store = label(DIGITS, teacher, out=tmp_path / "store")
    refused(tmp_path, store, "Contrastive compares hidden layers, and the teacher Stored keeps predictions alone")


def test_unlabelled_samples_have_a_contrast_with_all_others(tmp_path):
    none = load_data("digits", subset=60, drop_labels=1.0)
    taught = train(DIGITS, MLP([8]), out=tmp_path / "teacher", **SETTINGS | {"epochs": 1})
    objective = "SoftTargets(4) + Contrastive({'hidden1': 'hidden1'}, negatives=30, embedding=8, by_class=False)"
    run = distill(none, taught, MLP([6]), out=tmp_path / "run", objective=objective, **SETTINGS | {"epochs": 20})
    lines = [line["contrastive"] for line in run.history() if line["kind"] == "train"]
    assert lines[-1] < lines[0]
