"""Where a student gains over its teacher, counted again sample by sample."""

import json

import numpy as np
import pytest
import torch

from instar.analysis import Scores, gain
from instar.data import load_data
from instar.models import MLP
from instar.procedures.distill import distill
from instar.procedures.train import train

RANDOM = np.random.default_rng(0)


def gained(student, teacher, labels):
    return gain(Scores.of(student, labels), Scores.of(teacher, labels))


def test_groups_are_counted_as_they_are_defined():
    teacher = 2 * RANDOM.standard_normal((201, 5))
    student = teacher + RANDOM.standard_normal((201, 5))
    labels = np.where(RANDOM.random(201) < 0.7, teacher.argmax(1), RANDOM.integers(0, 5, 201))
    student[np.arange(201), labels] += 4
    labels[7] = -1
    found = gained(torch.tensor(student), torch.tensor(teacher), torch.tensor(labels))
    known = [i for i in range(201) if labels[i] >= 0]
    confidence = np.exp(teacher).max(1) / np.exp(teacher).sum(1)
    edge = sorted(confidence[known])[49]
    members = {
        "all": known,
        "unsure": [i for i in known if confidence[i] <= edge],
        "wrong": [i for i in known if teacher[i].argmax() != labels[i]],
        "second": [i for i in known if teacher[i].argsort()[-2] == labels[i]],
    }
    total = sum(int(teacher[i].argmax() != labels[i]) - int(student[i].argmax() != labels[i]) for i in known)
    assert total > 0
    assert found.keys() == members.keys()
    for name, group in members.items():
        errors = [sum(int(side[i].argmax() != labels[i]) for i in group) for side in (teacher, student)]
        assert found[name] == {
            "samples": len(group),
            "teacher_errors": errors[0],
            "student_errors": errors[1],
            "gain": errors[0] - errors[1],
            "share": pytest.approx((errors[0] - errors[1]) / total),
        }
    assert found["unsure"]["samples"] == 50
    json.dumps(found)


def test_a_student_without_a_gain_has_no_shares():
    logits, labels = torch.tensor(RANDOM.standard_normal((40, 3))), torch.tensor(RANDOM.integers(0, 3, 40))
    for student in (logits, -99 * torch.nn.functional.one_hot(labels, 3).double()):
        found = gained(student, logits, labels)
        assert all(group["share"] is None for group in found.values())
    assert found["all"]["gain"] < 0


def test_a_perfect_student_gains_all_errors_where_the_teacher_was_wrong():
    logits, labels = torch.tensor(RANDOM.standard_normal((40, 3))), torch.tensor(RANDOM.integers(0, 3, 40))
    found = gained(torch.nn.functional.one_hot(labels, 3).double(), logits, labels)
    assert found["wrong"]["share"] == 1
    assert found["wrong"]["samples"] == found["wrong"]["gain"] == found["all"]["teacher_errors"]


def test_equally_unsure_samples_are_all_unsure():
    assert gained(torch.zeros(9, 2), torch.zeros(9, 2), torch.ones(9).long())["unsure"]["samples"] == 9


def test_a_distilled_run_says_where_it_gained(tmp_path):
    data = load_data("digits", subset=150)
    teacher = train(data, MLP([4]), out=tmp_path / "teacher", epochs=2)
    run = distill(data, teacher, MLP([16]), out=tmp_path / "run", epochs=3)
    assert "gain" not in teacher.metrics
    found = run.metrics["gain"]["all"]
    assert found["student_errors"] == run.metrics["errors"]
    assert found["teacher_errors"] == teacher.metrics["errors"]
    assert found["samples"] == run.metrics["samples"]
    assert run.result["validation"]["gain"]["all"]["samples"] == run.result["validation"]["samples"]
