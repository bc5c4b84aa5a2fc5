"""A teacher that is no teacher: its error beside chance, before the first step, in every verb that queries one."""

import json
import random

import numpy as np
import pytest
import torch
from torch import nn

from instar.data import Loader, Samples, Source, load_data
from instar.errors import MismatchError, NonFiniteError
from instar.models import LSTM, MLP
from instar.procedures.distill import distill
from instar.procedures.evaluate import evaluate
from instar.procedures.label import label
from instar.procedures.train import train
from instar.stages.first_look import are_probabilities, look_at
from instar.targets import DenseTargets
from instar.tasks import NextToken
from instar.teachers import Ensemble, Module, Teacher, reorder_classes

DIGITS = load_data("digits")
LOADER = Loader(DIGITS.train, 32, seed=0)
SMALL = {"epochs": 1, "batch_size": 200}
CHANCE = 1 - DIGITS.validation.labels.bincount().max().item() / len(DIGITS.validation)


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    folder = tmp_path_factory.mktemp("good") / "teacher"
    return train(DIGITS, MLP([16]), out=folder, epochs=8, learning_rate=0.02)


class Through(nn.Module):
    """A good network that is asked wrongly, or whose answers are changed."""

    def __init__(self, network, before=nn.Identity(), after=nn.Identity()):  # noqa: B008 (they hold nothing)
        super().__init__()
        self.inside, self.before, self.after = network, before, after

    def forward(self, inputs):
        return self.after(self.inside(self.before(inputs)))


class Darker(nn.Module):
    def forward(self, inputs):
        return 2.5 - 4 * inputs


class Percent(nn.Module):
    def forward(self, logits):
        return 100 * logits.softmax(1)


class Rounded(nn.Module):
    def forward(self, logits):
        return logits.softmax(1).bfloat16()


class Clipped(nn.Module):
    def forward(self, logits):
        return logits.softmax(1).clamp(0.01, 0.99)


class Rolled(nn.Module):
    def forward(self, logits):
        return logits.roll(1, 1)


def test_a_good_teacher_is_told_beside_chance_without_a_warning(good, tmp_path, capsys):
    run = distill(DIGITS, good, MLP([4]), out=tmp_path / "run", **SMALL)
    look = run.result["first_look"]
    metrics = evaluate(good, DIGITS, split="validation")
    assert (look["split"], look["examples"]) == ("validation", min(256, len(DIGITS.validation)))
    assert look["error"] == look["errors"] / look["examples"]
    assert abs(look["error"] - metrics["error"]) < 0.05
    assert look["chance"] == pytest.approx(CHANCE)
    assert look["warnings"] == []
    told = capsys.readouterr().err
    assert told.count(f"the teacher's error is {look['error']:.1%}") == 1
    assert "chance: " in told
    distill(DIGITS, good, MLP([4]), out=tmp_path / "run", **SMALL)
    assert "the teacher's error" not in capsys.readouterr().err, "the run is complete"


@pytest.mark.parametrize(
    ("before", "after", "warnings"),
    [
        (nn.Identity(), nn.Softmax(1), ["probabilities"]),
        (nn.Identity(), Percent(), ["probabilities"]),
        (nn.Identity(), Rounded(), ["probabilities"]),
        (nn.Identity(), Clipped(), ["probabilities"]),
        (nn.Identity(), nn.Sigmoid(), ["probabilities"]),
        (nn.Identity(), nn.LogSoftmax(1), []),
        (nn.Identity(), nn.Softplus(), []),
        (Darker(), nn.Identity(), ["hardly better than chance"]),
        (nn.Identity(), Rolled(), ["hardly better than chance"]),
    ],
)
def test_what_is_no_teacher_is_warned_of(good, before, after, warnings):
    found = look_at(Module(Through(good.model, before, after)), DIGITS, LOADER).warnings
    assert len(found) == len(warnings)
    for sentence, word in zip(found, warnings, strict=True):
        assert word in sentence


FIRST = torch.tensor([0.45, 0.52]) + 0.02 * torch.randn(64, 2, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (FIRST, False),
        (FIRST[:1], False),
        (FIRST.mean(0) + 1e-6 * FIRST, False),  # of one sum, because all examples have nearly the same logits
        (3 * FIRST.mean(0) + 1e-6 * FIRST, False),
        (FIRST.softmax(1), True),
        ((200 * (FIRST - FIRST.mean(0))).sigmoid(), True),
        (100 * (200 * (FIRST - FIRST.mean(0))).softmax(1), True),
    ],
)
def test_first_logits_of_two_classes_are_no_probabilities(values, expected):
    assert are_probabilities(values) is expected


def test_few_samples_are_said_to_be_few_and_not_a_bad_teacher():
    labels = torch.arange(20) % 2
    logits = torch.nn.functional.one_hot(labels, 2).float()
    settings = {"validation": 0.5, "inputs": "numbers"}
    first = load_data((logits, labels, logits, labels), **settings)
    logits[first.validation.ids[:2]] = logits[first.validation.ids[:2]].flip(1)  # two of ten are wrong, chance is half
    data = load_data((logits, labels, logits, labels), **settings)
    found = look_at(Module(nn.Identity()), data, Loader(data.train, 8, seed=0))
    assert (found.errors, found.examples) == (2, 10)
    assert found.warnings[-1] == "these are too few samples to tell whether the teacher is better than chance"


def test_members_that_return_probabilities_are_found_inside(good):
    mixed = Ensemble([good.model, Ensemble([good.model, Through(good.model, after=nn.Softmax(1))])])
    assert any("probabilities" in sentence for sentence in look_at(mixed, DIGITS, LOADER).warnings)


def test_without_labelled_validation_training_samples_are_asked_about_and_without_labels_nothing_is_said(good):
    for data, split in (
        (DIGITS.select(validation=0.0), "train"),
        (DIGITS.select(validation=0.0, drop_labels=1.0), None),
    ):
        look = look_at(Module(good.model), data, Loader(data.train, 32, seed=0))
        assert look.split == split
        assert (look.as_dict()["error"] is None) == (split is None)


def test_samples_without_a_loss_are_neither_asked_about_nor_chance(good):
    three = DIGITS.validation.labels == 3
    of_train = 1 - DIGITS.train.labels.bincount().max().item() / len(DIGITS.train)
    for kept, split, chance in ((three, "validation", 0.0), (torch.zeros_like(three), "train", of_train)):
        mask = torch.ones(len(DIGITS.train.source), dtype=torch.bool)
        mask[DIGITS.validation.ids[~kept]] = False
        data = load_data("digits", validation=len(DIGITS.validation) / len(mask), mask={"train": mask})
        assert torch.equal(data.validation.ids, DIGITS.validation.ids)
        look = look_at(Module(good.model), data, Loader(data.train, 32, seed=0))
        assert (look.split, look.warnings) == (split, ())
        assert look.chance == pytest.approx(chance)


def test_logits_of_another_shape_are_refused(good, tmp_path):
    odd = Through(good.model, after=nn.Unflatten(1, (1, 10)))
    with pytest.raises(MismatchError, match=r"must return logits of shape \[64, classes\], got \[64, 1, classes\]"):
        distill(DIGITS, odd, MLP([4]), out=tmp_path / "run", **SMALL)
    assert not (tmp_path / "run").exists()


def test_looking_changes_no_random_and_no_hidden_state():
    class Drawing(nn.Module):
        """Draws whenever it is called."""

        def forward(self, inputs):
            np.random.rand(), random.random()
            return torch.rand(len(inputs), 10)

    states = [torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()]
    look_at(Module(Drawing()), DIGITS, LOADER)
    assert torch.equal(torch.get_rng_state(), states[0])
    assert (np.random.get_state()[1] == states[1]).all()
    assert random.getstate() == states[2]
    words = torch.randint(0, 5, (40, 3))
    source = Source("text", words, words.roll(-1, 1), tuple("abcde"), task=NextToken(is_stream=True))
    text = Samples.all_of(source)
    data = type(DIGITS)(DIGITS.config, text, None, text)
    teacher = Module(LSTM(units=4, layers=1, input_shape=(3,), num_classes=5))
    look = look_at(teacher, data, Loader(text, 4, seed=0))
    assert (look.split, look.examples > 0) == ("train", True)
    assert not any(carried.tensors() for carried in teacher.carried())


def test_the_numbers_of_a_run_do_not_depend_on_who_is_looked_at(good, tmp_path, stop_before):
    whole = distill(DIGITS, good, MLP([4], 0.5), out=tmp_path / "whole", **SMALL)
    stopped = stop_before(3)
    with pytest.raises(stopped):
        distill(DIGITS, good, MLP([4], 0.5), out=tmp_path / "run", checkpoint_seconds=0, **SMALL)
    resumed = distill(DIGITS, good, MLP([4], 0.5), out=tmp_path / "run", checkpoint_seconds=0, **SMALL)
    assert resumed.result["first_look"] == whole.result["first_look"]
    for name, tensor in whole.model.state_dict().items():
        assert torch.equal(tensor, resumed.model.state_dict()[name])


@pytest.mark.parametrize("keep", ["all", "top:3", "sample:3"])
def test_stores_are_looked_at_as_they_are_and_labelling_looks_at_the_teacher(good, tmp_path, capsys, keep):
    settings = {"views": "Shift(1)", "num_views": 2, "keep": keep, "temperature": 2.0, "held_out": False}
    store = label(DIGITS, good, out=tmp_path / "store", show=True, **settings)
    assert "the teacher's error is" in capsys.readouterr().err
    assert store.first_look["split"] == "validation"
    objective = "SoftTargets(2)"
    run = distill(DIGITS, store, MLP([4]), objective=objective, out=tmp_path / "run", **SMALL)
    look = run.result["first_look"]
    assert (look["split"], look["error"] is None) == ((None, True) if keep == "sample:3" else ("train", False))


def test_json_has_both_numbers(good, tmp_path, instar):
    arguments = ("digits", "--model", "mlp", "--arg", "widths=[4]", "--epochs", 1, "--json")
    _, out, _ = instar("distill", *arguments, "--teacher", good.path, "--out", tmp_path / "run")
    assert json.loads(out)["first_look"]["chance"] == pytest.approx(CHANCE)
    _, out, _ = instar("label", "digits", "--teacher", good.path, "--out", tmp_path / "store", "--json")
    assert json.loads(out)["first_look"]["chance"] == pytest.approx(CHANCE)
    grid = ("--temperatures", "1,4", "--weights", 0, "--seeds", 2)
    _, out, err = instar("tune", *arguments, *grid, "--teacher", good.path, "--out", tmp_path / "tune")
    assert json.loads(out)["first_look"]["chance"] == pytest.approx(CHANCE)
    assert err.count("the teacher's error is") == 1
    _, out, err = instar("specialists", "cluster", good.path, "--clusters", 2)
    assert "the teacher's error is" in err


def test_terms_that_compare_logits_are_refused_before_the_first_step_where_they_are_infinite(good, tmp_path):
    class Strict(Teacher):
        def targets(self, batch):
            return DenseTargets(Module(good.model).targets(batch).logits().index_fill(1, torch.tensor([9]), -torch.inf))

        def fingerprint(self):
            return "strict"

    for objective in ("LogitMatching()", "Standardised(SoftTargets(2))"):
        with pytest.raises(NonFiniteError, match=r"term '.*' is not finite, because the teacher's logits are -inf"):
            distill(DIGITS, Strict(), MLP([4]), objective=objective, out=tmp_path / "run", **SMALL)
        assert not (tmp_path / "run").exists()
    distill(DIGITS, Strict(), MLP([4]), objective="SoftTargets(2)", out=tmp_path / "run", **SMALL)


def renamed(run, names):
    """Return the network of a run whose classes have other names."""
    return Module(run.model, tuple(names))


def test_classes_in_another_order_are_put_in_that_of_the_data(good, tmp_path):
    names = tuple("9876543210")
    other = renamed(good, names)
    batch = LOADER.batch(0)
    expected = Module(good.model).targets(batch).logits()
    found = reorder_classes(other, DIGITS.classes)
    assert torch.equal(found.targets(batch).logits(), expected.flip(1))
    assert found.fingerprint() != other.fingerprint()
    wrong, right = evaluate(other, DIGITS), evaluate(good, DIGITS)
    assert wrong["errors"] > right["errors"], "the names were changed, and not the network"
    run = distill(DIGITS, other, MLP([4]), out=tmp_path / "run", **SMALL)
    assert run.result["first_look"]["warnings"], "only its error can tell that the names are wrong"
    both = Ensemble([good.path, other])
    assert torch.allclose(both.targets(batch).logits(), (expected + expected.flip(1)) / 2)


def test_classes_of_other_names_are_refused(good, tmp_path):
    other = renamed(good, [*DIGITS.classes[:9], "ten"])
    with pytest.raises(MismatchError, match="the teacher alone has 'ten', the data alone have '9'"):
        distill(DIGITS, other, MLP([4]), out=tmp_path / "run", **SMALL)
    with pytest.raises(MismatchError, match="other classes"):
        Ensemble([good.path, other])
    words = renamed(good, [f"digit {name}" for name in DIGITS.classes])
    assert reorder_classes(words, DIGITS.classes) is words, "numbers are no names"
