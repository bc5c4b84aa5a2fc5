"""A task owns its metrics, and everything that shows numbers reads them from the task."""

import numpy as np
import pytest
import torch
from sklearn import metrics
from torch import nn

from instar import evaluate, inspect, train
from instar.analysis import UNLABELLED
from instar.data import load_data
from instar.models import MLP
from instar.procedures.export import export
from instar.tasks import Classification, Metric, NextToken, Wilson, Words, known_metrics

TOKENS = np.random.default_rng(0).integers(0, 9, (40, 6))


def test_a_metric_added_to_a_task_is_shown_wherever_metrics_are(tmp_path, monkeypatch, instar):
    sure = Metric(
        "sure",
        "share",
        "higher",
        Wilson(),
        measure=lambda scores, _: float((scores.confidence > 0.25).double().mean()),
        label="sure",
        line="{sure:.2%} of {samples}",
        title="Sure predictions",
        meaning="Test samples whose class has a probability above one quarter.",
        how="above one quarter",
    )
    monkeypatch.setattr(Classification, "metrics", (*Classification.metrics, sure))
    run = train("digits", MLP([16]), epochs=2, learning_rate=0.01, out=tmp_path / "runs" / "net")
    value = evaluate(run)["sure"]
    assert 0 < value < 1
    assert run.metrics["sure"] == value
    assert f"  {'sure':17} {value:.2%} of 597" in instar("evaluate", run.path)[1].splitlines()
    (score,) = [score for score in inspect(run).scores if (score.split, score.name) == ("test", "sure")]
    assert (score.value, score.how) == (value, "above one quarter, Wilson")
    assert score.low < value < score.high
    interval = f"{score.low:.2%} to {score.high:.2%}"
    assert interval in instar("inspect", run.path)[1]
    export(run, "hub", out=tmp_path / "hub")
    card = (tmp_path / "hub" / "README.md").read_text()
    assert f"| test | sure | {value:.2%} | {interval} | above one quarter, Wilson |" in card
    instar("report", tmp_path / "runs")
    page = (tmp_path / "runs" / "report.html").read_text()
    assert "Sure predictions (%)" in page
    assert f"{100 * value:.2f}" in page


@pytest.mark.parametrize(
    ("labels", "task"),
    [
        (np.roll(TOKENS, -1, 1), NextToken()),
        (np.where(np.arange(6) == 2, None, np.roll(TOKENS, -1, 1).astype(object)), NextToken()),
        (TOKENS, Classification()),
        (TOKENS[:, 0], Classification()),
    ],
)
def test_labels_of_arrays_are_next_tokens_only_where_they_are_the_inputs_that_follow(labels, task):
    data = load_data((TOKENS, labels, TOKENS, labels), inputs="tokens", unlabelled=None)
    assert data.train.source.task == data.test.source.task == task


def test_an_infinite_number_is_shown_and_its_exponential_is_not():
    lines = [known_metrics()[name].terminal_line({"nll": None, "perplexity": None}) for name in ("nll", "perplexity")]
    assert lines == ["infinite", None]


def test_words_are_counted_once_each_and_only_where_they_are_known():
    task = Words(states=2)
    labels = torch.tensor([[0, 1], [2, 3], [UNLABELLED, UNLABELLED]])
    logits = torch.tensor([[[5.0, 0, 0, 0], [0, 5.0, 0, 0]]]).repeat(3, 1, 1)  # all three are taken for the first word
    assert task.observe(logits.log_softmax(-1), labels, torch.tensor([2, 2, 2]))["wrong_words"].tolist() == [
        False,
        True,
    ]


def uneven(count, classes, seed):
    random = np.random.default_rng(seed)
    shares = np.arange(1, classes + 1) ** 2.0
    labels = random.choice(classes, count, p=shares / shares.sum())
    labels[:classes] = range(classes)
    return (random.normal(size=(count, classes)) + 1.5 * np.eye(classes)[labels]).astype(np.float32), labels


def test_metrics_of_uneven_classes_are_scikit_learns_in_every_verb_that_shows_metrics(tmp_path, instar):
    data = load_data((*uneven(400, 8, 0), *uneven(250, 8, 1)), labels="classes")
    run = train(data, MLP([16]), epochs=3, out=tmp_path / "runs" / "net")
    inputs, labels = data.test.inputs(), data.test.labels
    logits = run.model(inputs).detach()
    answers, p = logits.argmax(1), logits.double().softmax(1).numpy()
    wanted = {
        "balanced_error": 1 - metrics.balanced_accuracy_score(labels, answers),
        "macro_f1": metrics.f1_score(labels, answers, average="macro"),
        "average_precision": metrics.average_precision_score(np.eye(8)[labels], p, average="macro"),
        "top_5_error": 1 - metrics.top_k_accuracy_score(labels, p, k=5),
    }
    found = evaluate(run, data)
    scores = {score.name: score for score in inspect(run).scores if score.split == "test"}
    for name, value in wanted.items():
        assert run.metrics[name] == found[name] == pytest.approx(value, abs=1e-5)
        low, high = found[f"{name}_interval"]
        assert low < value < high
        assert (scores[name].value, scores[name].low, scores[name].high) == (found[name], low, high)
        assert f"{low:.2%} to {high:.2%}" in instar("inspect", run.path)[1]
        line = f"{found[name]:.2%} (95%: {low:.2%} to {high:.2%})"
        assert known_metrics()[name].terminal_line(found) == line
    assert (scores["macro_f1"].how, scores["top_5_error"].how) == ("mean over classes, delta method", "Wilson")
    instar("report", tmp_path / "runs")
    page = (tmp_path / "runs" / "report.html").read_text()
    assert all(title in page for title in ("Balanced error (%)", "Macro F1 (%)", "Average precision (%)"))


def test_few_classes_have_no_top_5_error_and_positions_no_intervals_that_take_them_for_samples():
    inputs, labels = uneven(60, 3, 0)
    single = evaluate(nn.Linear(3, 3), load_data((inputs, labels), labels="classes"))
    several = evaluate(nn.Embedding(9, 3), load_data((TOKENS, TOKENS % 3), inputs="tokens", unlabelled=None))
    assert "top_5_error" not in single
    assert "macro_f1" in several
    assert "macro_f1_interval" in single
    assert not {"macro_f1_interval", "balanced_error_interval", "average_precision_interval"} & several.keys()
