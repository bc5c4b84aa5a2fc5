"""Privileged information at the smallest scale: the table is whole, and its problems and controls are what they say."""

import json

import pytest
import torch

from instar.data import load_data
from instar.models.readers import Pixels
from instar.papers import run_paper
from instar.papers.lopezpaz2016 import ARMS, LINEAR_TRAINING, MNIST_ARMS, PUBLISHED_MNIST, PUBLISHED_PROBLEMS, Trial
from instar.papers.privileged_data import draw_problem, reduce_images, shuffle_within_classes
from instar.runs.run import Run


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("table")
    run_paper("lopezpaz2016", scale="smoke", seeds=1, data="digits", out=folder)
    return folder


@pytest.fixture(scope="module")
def trial(folder):
    train, test = draw_problem("clean labels", 0, 1000)
    return Trial("clean-labels", 0, train, test, (), LINEAR_TRAINING, out=folder / "runs")


def test_the_table_has_a_row_for_each_arm_with_numbers(folder):
    rows = json.loads((folder / "table.json").read_text())
    assert len(rows) == len(PUBLISHED_PROBLEMS) * len(ARMS) + len(PUBLISHED_MNIST) * len(ARMS | MNIST_ARMS)
    assert all(len(row["seeds"]) == 1 and 0 < row["mean"] <= 100 for row in rows)
    assert [row["published"] for row in rows if row["row"].startswith("clean labels")] == [96, 88, 95, None, None]


def test_the_privileged_column_helps_and_its_controls_do_not(rows):
    found = {arm: rows[f"clean labels: {title}", "test accuracy"]["mean"] for arm, title in ARMS.items()}
    assert found["distilled"] > found["privileged"] - 2
    assert found["distilled"] > max(found["regular"], found["shuffled"], found["smoothed"]) + 3


def test_all_students_of_a_data_set_have_one_budget(folder):
    configs = {
        arm: Run(folder / "runs" / "mnist-300" / arm / "0").config for arm in ("regular", "distilled", "program")
    }
    assert configs["distilled"]["objective"] == "0.9 * HardLabels() + 0.1 * SoftTargets(20)"
    assert configs["program"]["objective"] == "0.9 * HardLabels() + 40 * SoftTargets(1)"
    assert len({json.dumps(config["training"]) for config in configs.values()}) == 1


def test_smoothed_targets_are_the_means_of_each_class(trial):
    teacher = trial.first_stages()[0].run().model
    targets = teacher(trial.train.privileged).softmax(-1)
    smoothed = trial.mean_targets(teacher)(torch.eye(2)).softmax(-1)
    for number in (0, 1):
        torch.testing.assert_close(smoothed[number], targets[trial.train.labels == number].mean(0))


def test_a_shuffled_column_is_that_of_other_samples_of_the_class(trial):
    labels = trial.train.labels
    chosen = shuffle_within_classes(labels, seed=0)
    assert torch.equal(labels[chosen], labels)
    assert torch.equal(chosen.sort().values, torch.arange(len(labels)))
    assert torch.equal(trial.data.train.column("shuffled"), trial.train.privileged[chosen])
    assert (chosen != torch.arange(len(labels))).float().mean() > 0.9


@pytest.mark.parametrize("name", PUBLISHED_PROBLEMS)
def test_the_privileged_column_of_a_problem_decides_its_labels(name):
    train, test = draw_problem(name, 3, 5000)
    assert train.inputs.shape == (200, 50)
    design = torch.cat([test.privileged, torch.ones(len(test.labels), 1)], 1)
    fit = torch.linalg.lstsq(design, test.labels[:, None] * 2.0 - 1).solution
    right = ((design @ fit > 0)[:, 0] == test.labels.bool()).float().mean()
    assert right > 0.93  # the noise of "clean labels" flips 4.5%
    assert 0.4 < test.labels.float().mean() < 0.6


def test_small_images_are_reductions_of_the_large_ones():
    data = load_data("digits", validation=0)
    train, test = reduce_images(data, 300, seed=1)
    assert train.privileged.shape == (300, 1, 8, 8)
    assert torch.equal(test.inputs, Pixels(2, resize="squash")(data.test.inputs()))
