"""Training that ends when validation gets no better: when it ends, with which weights, and after a kill."""

import importlib
import json

import pytest
import torch
from accelerate import Accelerator
from tests.older import as_older
from tests.same_runs import assert_same, same_weights, without_seconds
from torch import nn

from instar.config import RunConfig, TrainingConfig, validate
from instar.data import UNLABELLED, load_data
from instar.errors import ConfigError, NonFiniteError, RunError
from instar.models import MLP, Normalised
from instar.procedures.report import report
from instar.procedures.train import train
from instar.runs.run import Run
from instar.stages.components import GivenObjects
from instar.stages.stage import Stage
from instar.training import loop, validation
from instar.training.state import initial_state
from instar.training.validation import Validation

DIGITS = load_data("digits", subset=60)
STEPS = 2  # of an epoch
SETTINGS = {
    "epochs": 12,
    "batch_size": 32,
    "learning_rate": 0.02,
    "schedule": "constant",  # a run with fewer epochs is the beginning of one with more
    "log_every": 1,
    "checkpoint_seconds": 0,
}
SCORES = [3.0, 1.0, 2.0, 0.5, 0.6, 0.7, 0.8, 0.1, 0.2, 0.3, 0.4, 0.5]
"""With patience 2 the sixth is the last, and the fourth the best."""
FIRST = 9.0
"""That of the initial weights."""

MODELS = {
    "plain": (MLP([8]), {}),
    "everything": (MLP([8], 0.5, 0.2), {"ema": 0.9, "views": "Shift(1)", "micro_batches": 3, "evaluate_every": 2}),
}
every_model = pytest.mark.parametrize("name", MODELS)


def epochs_of(name, validations):
    return validations * MODELS[name][1].get("evaluate_every", 1)


class StoppedError(Exception):
    pass


def tell(patch, scores, every=1, first=FIRST):
    """Let validation find what a test says: one NLL for each number of steps."""
    told = {number * every * STEPS: score for number, score in enumerate([first, *scores])}
    original = Validation.score

    def score(self, step, *arguments):
        patch.setattr(validation, "measure_validation", lambda *_: {"error": 0.5, "nll": told[step]})
        original(self, step, *arguments)

    patch.setattr(Validation, "score", score)


@pytest.fixture
def fail_once(monkeypatch):
    """Let a function of a module fail when it is called for the n-th time, counted from 0."""

    def arrange(module_name, name, call=0):
        module = importlib.import_module(module_name)
        original, left = getattr(module, name), iter(range(call))

        def fail(*arguments, **named):
            if next(left, None) is None:
                monkeypatch.setattr(module, name, original)
                raise StoppedError
            return original(*arguments, **named)

        monkeypatch.setattr(module, name, fail)

    return arrange


def run_to(folder, name="plain", **settings):
    model, own = MODELS[name]
    return train(DIGITS, model, out=folder, **SETTINGS | {"epochs": epochs_of(name, 12)} | own | settings)


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    """Runs with patience 2 that nothing happened to, by the name of the model."""
    folder, found = tmp_path_factory.mktemp("straight"), {}
    for name in MODELS:
        with pytest.MonkeyPatch.context() as patch:
            tell(patch, SCORES, epochs_of(name, 1))
            found[name] = run_to(folder / name, name, patience=2)
    return found


def watched(run, scores, patch, done=0, first=FIRST, **settings):
    """Score a model whose weight is the number of steps, until it is over; return the steps and the model."""

    def tell_next(found):
        patch.setattr(validation, "measure_validation", lambda *_: {"error": 0.5, "nll": found})

    model = Normalised(nn.Linear(1, 2), torch.zeros(1), torch.ones(1))
    config = TrainingConfig(epochs=len(scores), **settings)
    watch = Validation(run, DIGITS.validation, config, 1, done, Accelerator(cpu=True))
    state = initial_state(model, config, None)
    nn.init.constant_(model.network.weight, 0)
    tell_next(first)
    watch.begin(state)
    for step in range(done + 1, len(scores) + 1):
        nn.init.constant_(model.network.weight, step)
        if watch.is_due(step):
            tell_next(scores[step - 1])
            watch.score(step, state)
        if watch.is_over:
            break
    watch.finish(state)
    return step, int(model.network.weight[0])


CASES = [
    (SCORES, 1, (3, 2)),
    (SCORES, 2, (6, 4)),
    (SCORES, 3, (7, 4)),
    (SCORES, 5, (12, 8)),
    (SCORES, 0, (12, 12)),  # never ends, and leaves the weights alone
    ([1.0, 1.0, 1.0, 0.9], 2, (3, 1)),  # an equal score is no lower one, and the first of equals is the best
    ([1.0, 2.0, 3.0, 4.0], 1, (2, 1)),
    ([4.0, 3.0, 2.0, 1.0], 1, (4, 4)),
    ([4.0, 5.0, 3.0, 4.0], 2, (4, 3)),
    ([1.0], 1, (1, 1)),
]


@pytest.mark.parametrize(("scores", "patience", "expected"), CASES)
def test_ends_after_so_many_validations_without_a_lower_nll(tmp_path, monkeypatch, scores, patience, expected):
    run = Run.start(tmp_path / "run", {}, {})
    assert watched(run, scores, monkeypatch, patience=patience) == expected
    assert run.best.exists() == (patience > 0)


@pytest.mark.parametrize(
    ("first", "scores", "patience", "expected"),
    [
        (0.4, [1.0, 0.9, 0.5, 0.4], 3, (3, 0)),  # training made them worse
        (0.4, [1.0, 0.9, 0.3, 0.4], 3, (4, 3)),
        (0.4, [1.0, 0.9], 5, (2, 0)),
        (0.4, [1.0, 0.9], 0, (2, 2)),
    ],
)
def test_initial_weights_are_kept_where_none_are_better(tmp_path, monkeypatch, first, scores, patience, expected):
    run = Run.start(tmp_path / "run", {}, {})
    assert watched(run, scores, monkeypatch, first=first, patience=patience) == expected
    assert next(line["step"] for line in run.history()) == (0 if patience else 1)


def test_a_run_that_nothing_makes_better_ends_with_the_weights_it_starts_with(tmp_path, monkeypatch, stop_before):
    before = run_to(tmp_path / "before", epochs=2)
    training = before.config["training"] | {"epochs": 12, "patience": 2}
    config = validate(RunConfig, before.config | {"training": training, "start": str(before.path)})
    tell(monkeypatch, SCORES, first=0.1)
    stage, stopped = Stage(config, tmp_path / "run", GivenObjects(DIGITS)), stop_before(2)
    with pytest.raises(stopped):
        stage.run()
    run = stage.run()
    assert same_weights(before, run)
    assert [line["nll"] for line in run.history() if line["kind"] == "validation"] == [0.1, *SCORES[:2]]


@pytest.mark.parametrize("done", range(1, 7))
def test_knows_the_scores_before_a_kill_and_none_of_later_steps(tmp_path, monkeypatch, done):
    run = Run.start(tmp_path / "run", {}, {})
    watched(run, SCORES[:5], monkeypatch, patience=2)  # of which those after `done` are lost with the weights
    assert watched(run, SCORES, monkeypatch, done=min(done, 5), patience=2) == (6, 4)


@pytest.mark.parametrize(("every", "expected"), [(1, [1, 2, 3, 4, 5]), (2, [2, 4, 5]), (5, [5]), (7, [5])])
def test_validates_every_few_epochs_and_after_the_last(tmp_path, monkeypatch, every, expected):
    run = Run.start(tmp_path / "run", {}, {})
    assert watched(run, [5.0, 4.0, 3.0, 2.0, 1.0], monkeypatch, patience=1, evaluate_every=every) == (5, 5)
    assert [line["step"] for line in run.history()] == [0, *expected]


@every_model
def test_the_weights_are_those_that_a_run_with_fewer_epochs_ends_with(tmp_path, straight, name):
    run, best = straight[name], run_to(tmp_path / "best", name, epochs=epochs_of(name, 4))
    lines = [line for line in run.history() if line["kind"] == "validation"]
    assert [line["nll"] for line in lines] == [FIRST, *SCORES[:6]]
    assert run.result["steps"] == lines[-1]["step"] == run.history()[-1]["step"] == epochs_of(name, 6) * STEPS
    assert same_weights(run, best)
    assert run.metrics == best.metrics
    assert run.result["validation"] == best.result["validation"]
    assert {path.name for path in run.path.glob("*.safetensors")} == {
        "predictions.safetensors",
        "weights.safetensors",
    }


@pytest.mark.parametrize("ema", [0, 0.8])
def test_the_lowest_nll_of_a_real_run_is_what_it_ends_with(tmp_path, ema):
    settings = {"epochs": 40, "learning_rate": 0.1, "ema": ema}
    whole = run_to(tmp_path / "whole", **settings)
    scores = [line["nll"] for line in whole.history() if line["kind"] == "validation"]  # far below the initial one
    last = next(n for n in range(1, 40) if n - 1 - scores.index(min(scores[:n])) >= 3)
    run = run_to(tmp_path / "run", patience=3, **settings)
    assert run.result["steps"] == last * STEPS < 40 * STEPS
    assert [line["nll"] for line in run.history() if line["kind"] == "validation"][1:] == scores[:last]
    assert run.result["validation"]["nll"] == pytest.approx(min(scores[:last]), rel=1e-6)


def test_without_patience_nothing_is_kept_and_nothing_changes(tmp_path, monkeypatch, stop_before):
    tell(monkeypatch, SCORES)
    patient, plain = run_to(tmp_path / "patient", patience=50), run_to(tmp_path / "plain")
    assert without_seconds(patient)[0][1:] == without_seconds(plain)[0]  # what is trained is the same
    assert patient.result["steps"] == plain.result["steps"] == 12 * STEPS
    assert not same_weights(patient, plain)
    stopped = stop_before(9)
    with pytest.raises(stopped):
        run_to(tmp_path / "none", patience=0)
    assert not Run(tmp_path / "none").best.exists()
    none = run_to(tmp_path / "none", patience=0)
    assert_same(plain, none)
    assert plain.config == none.config


@pytest.mark.parametrize(
    ("name", "step", "checkpoint_seconds"),
    [("plain", 1, 0), ("plain", 9, 0), ("everything", 4, 0), ("everything", 17, 0), ("plain", 11, 1e6)],
)
def test_a_stopped_run_ends_alike(tmp_path, monkeypatch, straight, stop_before, name, step, checkpoint_seconds):
    tell(monkeypatch, SCORES, epochs_of(name, 1))
    settings = {"patience": 2, "checkpoint_seconds": checkpoint_seconds}
    stopped = stop_before(step)
    with pytest.raises(stopped):
        run_to(tmp_path / "stopped", name, **settings)
    assert Run(tmp_path / "stopped").best.exists()
    assert_same(straight[name], run_to(tmp_path / "stopped", name, **settings))


@pytest.mark.parametrize(
    ("module", "function", "call"),
    [
        ("instar.training.validation", "write_tensors", 0),  # the initial weights
        ("instar.training.validation", "write_tensors", 2),  # weights that are the best so far
        ("instar.training.loop", "save_checkpoint", 4 * STEPS - 1),  # the best weights, and not their checkpoint
        ("instar.training.validation", "read_tensors", 0),  # it is over
        ("instar.stages.stage", "save_model", 0),
        ("instar.stages.stage", "finish_run", 0),
    ],
)
def test_a_run_that_is_killed_between_two_files_ends_alike(
    tmp_path, monkeypatch, straight, fail_once, module, function, call
):
    tell(monkeypatch, SCORES)
    fail_once(module, function, call)
    with pytest.raises(StoppedError):
        run_to(tmp_path / "stopped", patience=2)
    stopped = Run(tmp_path / "stopped")
    assert not stopped.complete
    again = run_to(stopped.path, patience=2)
    assert_same(straight["plain"], again)
    assert not stopped.best.exists()
    assert not stopped.checkpoint.exists()


def test_a_run_that_is_over_takes_no_step_more_when_it_is_taken_up(tmp_path, monkeypatch, straight, fail_once):
    tell(monkeypatch, SCORES)
    fail_once("instar.stages.stage", "save_model")
    with pytest.raises(StoppedError):
        run_to(tmp_path / "run", patience=2)
    monkeypatch.setattr(loop, "train_step", lambda *_: 1 / 0)
    assert_same(straight["plain"], run_to(tmp_path / "run", patience=2))


@pytest.mark.parametrize(
    ("scores", "least_fall", "expected"),
    [
        ([3.0, 2.0, 1.0], 0, 0),
        ([3.0, 3.0, 2.0], 0, 1),  # equal is no better
        ([3.0, 4.0, 3.5, 2.9], 0, 2),  # the best before counts, not the last
        ([3.0, 2.9, 2.0], 5.0, 1),  # e^3 - e^2.9 is less than 5
        ([1e6, 2.0, 3.0], 0, 1),
    ],
)
def test_a_plateau_is_a_score_that_is_not_below_the_best(tmp_path, monkeypatch, scores, least_fall, expected):
    run = Run.start(tmp_path / "run", {}, {})
    config = TrainingConfig(epochs=len(scores), schedule="plateau", least_fall=least_fall)
    watch = Validation(run, DIGITS.validation, config, 1, 0, Accelerator(cpu=True))
    state = initial_state(Normalised(nn.Linear(1, 2), torch.zeros(1), torch.ones(1)), config, None)
    for step, score in enumerate(scores, start=1):
        monkeypatch.setattr(validation, "measure_validation", lambda *_, found=score: {"error": 0.5, "nll": found})
        watch.score(step, state)
    again = Validation(run, DIGITS.validation, config, 1, len(scores), Accelerator(cpu=True))
    assert watch.plateaus == again.plateaus == expected
    assert not watch.is_over


@pytest.mark.parametrize("step", [5, 9])
def test_the_rate_falls_after_a_plateau_and_a_stopped_run_knows(tmp_path, monkeypatch, stop_before, step):
    tell(monkeypatch, [3.0, 2.0, 2.5, 1.0, 1.0, 0.5])
    settings = {"epochs": 6, "schedule": "plateau", "factor": 0.25}
    straight = run_to(tmp_path / "straight", **settings)
    rates = [line["learning_rate"] for line in straight.history() if line["kind"] == "train"]
    assert rates == [0.02] * 6 + [0.02 / 4] * 4 + [0.02 / 16] * 2
    stopped = stop_before(step)
    with pytest.raises(stopped):
        run_to(tmp_path / "run", **settings)
    assert_same(straight, run_to(tmp_path / "run", **settings))


@pytest.mark.parametrize("chosen", [{"validation": 0}, {"train_on_all": True}])
def test_patience_without_a_validation_split_is_refused(tmp_path, chosen):
    with pytest.raises(ConfigError, match=r"'training\.patience' needs a validation split with labels, and there is"):
        train(load_data("digits", **chosen), MLP([4]), out=tmp_path / "run", patience=1)
    assert not (tmp_path / "run").exists()


def test_patience_without_labels_to_validate_on_is_refused(tmp_path):
    inputs, labels = torch.randn(40, 3), torch.arange(40) % 2
    unknown = load_data((inputs, labels, inputs, labels)).validation.ids
    data = load_data((inputs, labels.index_fill(0, unknown, UNLABELLED), inputs, labels), unlabelled=UNLABELLED)
    with pytest.raises(ConfigError, match="needs a validation split with labels"):
        train(data, MLP([4]), out=tmp_path / "run", patience=1)


def test_patience_is_a_setting_of_the_run(tmp_path):
    with pytest.raises(ConfigError, match=r"'training\.patience'.*greater than or equal to 0, got -1"):
        run_to(tmp_path / "run", patience=-1)
    run_to(tmp_path / "run", epochs=1)
    with pytest.raises(RunError, match=r"training\.patience was 0, now 2"):
        run_to(tmp_path / "run", epochs=1, patience=2)
    as_older(tmp_path / "run")
    content = json.loads((tmp_path / "run" / "config.json").read_text())
    del content["config"]["training"]["patience"]
    (tmp_path / "run" / "config.json").write_text(json.dumps(content))
    run_to(tmp_path / "run", epochs=1)  # a folder of before there was patience


def test_a_run_that_ended_early_can_be_reported(tmp_path, monkeypatch):
    tell(monkeypatch, SCORES)
    run_to(tmp_path / "runs" / "run", patience=1, log_every=50)
    assert report(tmp_path / "runs", out=tmp_path / "report.html").exists()


def test_a_loss_that_is_no_number_is_found_before_training_may_end(tmp_path):
    data = load_data("digits", subset=200)
    shared = {"epochs": 20, "batch_size": 100, "optimiser": "sgd", "patience": 2}
    late = {"learning_rate": 0.05, "schedule": "step", "milestones": [3], "factor": 1e30}
    with pytest.raises(NonFiniteError):
        train(data, MLP([8]), out=tmp_path / "late", **shared, **late)
    with pytest.raises(NonFiniteError):
        train(data, MLP([8]), out=tmp_path / "soon", **shared, learning_rate=1e30)
