"""Texts: the hidden state goes from window to window, over parts of batches, kills and passes, and never astray."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from tests.same_runs import assert_same

from instar.config import DataConfig
from instar.data import Data, Loader, Samples
from instar.data.text import cut_windows
from instar.errors import MismatchError
from instar.models import LSTM, Carried
from instar.procedures.distill import distill
from instar.procedures.evaluate import evaluate
from instar.procedures.train import train
from instar.runs.files import read_tensors
from instar.runs.run import Run
from instar.teachers import Ensemble, Module
from instar.training import predict

WORDS = tuple("abcdefg")
RANDOM = np.random.default_rng(0)
SETTINGS = {
    "epochs": 3,
    "batch_size": 3,
    "optimiser": "sgd",
    "momentum": 0.0,
    "learning_rate": 2.0,
    "log_every": 1,
    "checkpoint_seconds": 0,
}
MODEL = LSTM(6, 2, 0.3)


def text(tokens):
    return Samples.all_of(cut_windows("text", RANDOM.integers(0, 7, tokens).astype(np.int32), WORDS, end=0, length=5))


DATA = Data(DataConfig(source="arrays"), text(103), text(41), text(62))


def network(**arguments):
    torch.manual_seed(0)
    return LSTM(6, 2, **arguments, input_shape=(5,), num_classes=7).eval()


def test_windows_one_after_another_are_one_long_text():
    model, samples = network(), text(100)
    carried = Carried(model)
    loader = Loader(samples, 4, seed=0)
    found = torch.cat([carried(model, batch.inputs, batch).logits() for batch in loader.in_order()], 1)
    columns = samples.source.inputs.view(4, 25)  # 20 windows of 5 tokens
    torch.testing.assert_close(found, model(columns))
    assert not torch.allclose(found[:, 5:10], model(columns[:, 5:10]), atol=1e-3)  # the state matters


def test_every_pass_begins_anew():
    model = network()
    carried, loader = Carried(model), Loader(text(100), 4, seed=0)
    steps = loader.steps_per_epoch
    found = [carried(model, loader.batch(step).inputs, loader.batch(step)).hidden for step in range(2 * steps)]
    assert all(torch.equal(a, b) for a, b in zip(found[:steps], found[steps:], strict=True))


def test_parts_of_a_batch_have_states_of_their_own():
    model, loader = network(), Loader(text(100), 4, seed=0)
    whole, parts = Carried(model), Carried(model)
    for step in range(4):
        batch = loader.batch(step)
        expected = whole(model, batch.inputs, batch).hidden
        found = torch.cat([parts(model, part.inputs, part).hidden for part in batch.parts(3)])
        torch.testing.assert_close(found, expected)


def test_a_state_is_not_used_for_another_window():
    model, loader = network(), Loader(text(100), 4, seed=0)
    carried = Carried(model)
    for step in (0, 1):
        carried(model, loader.batch(step).inputs, loader.batch(step))
    with pytest.raises(
        MismatchError, match=r"starts with windows \[3, 8, 13, 18\] .* belongs to windows \[1, 6, 11, 16\]"
    ):
        carried(model, loader.batch(3).inputs, loader.batch(3))


def test_a_pass_begins_without_what_was_loaded_in_the_one_before():
    model, loader = network(), Loader(text(100), 4, seed=0)
    before, after = Carried(model), Carried(model)
    before(model, loader.batch(0).inputs, loader.batch(0))
    after.load(before.tensors(), torch.device("cpu"))
    _, second = loader.batch(loader.steps_per_epoch).parts(2)  # the share of a second process
    after(model, second.inputs, second)
    assert after.tensors()["ids"].tolist() == second.host_ids


def test_a_network_without_a_state_is_called_as_it_is():
    model, loader = torch.nn.Embedding(7, 7), Loader(text(100), 4, seed=0)
    batch = loader.batch(3)
    assert torch.equal(Carried(model)(model, batch.inputs, batch), model(batch.inputs))


@pytest.mark.parametrize("changes", [{}, {"micro_batches": 2, "ema": 0.5}], ids=["plain", "parts"])
@pytest.mark.parametrize("step", [0, 1, 4, 9, 17])
def test_a_stopped_run_goes_on_with_its_hidden_state(tmp_path, stop_before, step, changes):
    settings = SETTINGS | changes
    straight = train(DATA, MODEL, out=tmp_path / "straight", **settings)
    stopped = stop_before(step)
    with pytest.raises(stopped):
        train(DATA, MODEL, out=tmp_path / "run", **settings)
    assert_same(straight, train(DATA, MODEL, out=tmp_path / "run", **settings))


@pytest.mark.parametrize("step", [3, 11])
def test_a_stopped_student_goes_on_with_the_hidden_states_of_its_teachers(tmp_path, stop_before, step):
    teachers = [train(DATA, LSTM(4, 1), out=tmp_path / name, **SETTINGS, seed=int(name)) for name in "12"]
    settings = SETTINGS | {"objective": "SoftTargets(2) + HardLabels()"}
    straight = distill(DATA, Ensemble(teachers), MODEL, out=tmp_path / "straight", **settings)
    stopped = stop_before(step)
    with pytest.raises(stopped):
        distill(DATA, Ensemble(teachers), MODEL, out=tmp_path / "run", **settings)
    tensors, _ = read_tensors(Run(tmp_path / "run").checkpoint)
    assert sum(name.endswith(".ids") for name in tensors) == 3  # of the student and both teachers
    assert_same(straight, distill(DATA, Ensemble(teachers), MODEL, out=tmp_path / "run", **settings))


def test_perplexity_is_that_of_every_word_given_all_before_it(tmp_path):
    run = train(DATA, MODEL, out=tmp_path / "run", **SETTINGS)
    source = DATA.test.source
    found = 0.0
    rows = -(-len(source) // 10)
    with torch.no_grad():
        for start in range(0, len(source), rows):  # ten columns at most, each a text of its own
            ids = slice(start, start + rows)
            logits = run.model(source.inputs[ids].view(1, -1))[0]
            labels = source.labels[ids].flatten()
            found += float(F.cross_entropy(logits.double(), labels, ignore_index=-1, reduction="sum"))
    assert run.metrics["samples"] == 62
    assert run.metrics["nll"] == pytest.approx(found / 62, rel=1e-6)
    assert run.metrics["perplexity"] == pytest.approx(math.exp(found / 62), rel=1e-6)
    assert evaluate(run, DATA)["perplexity"] == run.metrics["perplexity"]


def test_predictions_stand_in_the_order_of_the_samples(tmp_path):
    run = train(DATA, MODEL, out=tmp_path / "run", **SETTINGS)
    tensors, _ = read_tensors(run.path / "predictions.safetensors")
    source = DATA.test.source
    assert tensors["test.logits"].shape == (13, 5, 7)
    assert tensors["test.logits"][-1, 2:].abs().sum() == 0  # 62 words fill two positions of the last window
    answers = tensors["test.logits"].argmax(-1)[source.labels >= 0]
    assert (answers != source.labels[source.labels >= 0]).sum() == run.metrics["errors"]


def test_of_too_many_logits_few_numbers_are_kept(tmp_path, monkeypatch):
    monkeypatch.setattr("instar.training.scoring.MAX_PREDICTION_BYTES", 1000)
    run = train(DATA, MODEL, out=tmp_path / "run", **SETTINGS)
    tensors, _ = read_tensors(run.path / "predictions.safetensors")
    assert "test.logits" not in tensors
    nll, answers = tensors["test.nll_and_answer"].unbind(-1)
    known = DATA.test.labels >= 0
    assert nll[known].double().mean() == pytest.approx(run.metrics["nll"], rel=1e-6)
    assert (answers[known] != DATA.test.labels[known]).sum() == run.metrics["errors"]


def test_an_ensemble_of_texts_is_the_mean_of_its_members():
    members = [Module(network()), Module(LSTM(4, 1, input_shape=(5,), num_classes=7))]
    expected = sum(torch.softmax(predict(member, DATA.test), -1) for member in members) / 2
    found = torch.softmax(predict(Ensemble(members, "arithmetic"), DATA.test), -1)
    known = DATA.test.labels >= 0
    torch.testing.assert_close(found[known], expected[known])


def test_a_tied_matrix_is_one_and_the_same_before_and_after(tmp_path):
    run = train(DATA, MODEL, out=tmp_path / "run", **SETTINGS | {"epochs": 1})
    inner = run.model.network
    assert inner.output.weight is inner.embedding.weight
    untied = network(tied=False)
    assert untied.output.weight is not untied.embedding.weight
    assert sum(p.numel() for p in untied.parameters()) == sum(p.numel() for p in network().parameters()) + 42
