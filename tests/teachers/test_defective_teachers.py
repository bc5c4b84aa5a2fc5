"""Users' teachers with defects end in one sentence that names the teacher, also at a later batch."""

import pytest
import torch

from instar.data import load_data
from instar.errors import MismatchError
from instar.models import MLP
from instar.procedures.distill import distill
from instar.procedures.label import label
from instar.targets import DenseTargets
from instar.teachers import Teacher

DIGITS = load_data("digits", subset=60)
SMALL = {"epochs": 2, "batch_size": 20, "show": False}


def raising(batch):
    return {}["weights"]


DEFECTS = {
    "tensor": (lambda batch: torch.zeros(len(batch), 10), "must return Targets, such as .* got Tensor"),
    "none": (lambda batch: None, "must return Targets, such as .* got NoneType"),
    "too few rows": (
        lambda batch: DenseTargets(torch.zeros(len(batch) - 1, 10)),
        r"must return targets of shape \[\d+, classes\], got \[\d+, classes\]",
    ),
    "other shape": (lambda batch: DenseTargets(torch.zeros(len(batch), 2, 10)), r"got \[\d+, 2, classes\]"),
    "other classes": (lambda batch: DenseTargets(torch.zeros(len(batch), 9)), r"9 classes, and .* ha(?:s|ve) 10"),
    "raising": (raising, r"fails for \d+ samples \(ids .*\), inputs of shape \[\d+, 1, 8, 8\]: KeyError: 'weights'"),
}


class Defective(Teacher):
    """Correct for a number of batches, then wrong."""

    def __init__(self, defect, right):
        self.defect, self.right, self.asked = defect, right, 0

    def targets(self, batch):
        self.asked += 1
        return self.defect(batch) if self.asked > self.right else DenseTargets(torch.zeros(len(batch), 10))

    def fingerprint(self):
        return "defective"


@pytest.mark.parametrize("right", [0, 1, 7])
@pytest.mark.parametrize("name", DEFECTS)
@pytest.mark.parametrize("targets", ["online", "memory", "store"])
def test_a_defect_of_a_teacher_is_one_sentence_that_names_the_teacher_whenever_it_comes(tmp_path, name, right, targets):
    defect, words = DEFECTS[name]
    settings = SMALL if targets == "online" else {"targets": targets, "num_views": 2, "views": "Shift(1)", **SMALL}
    with pytest.raises(MismatchError, match=words) as caught:
        distill(DIGITS, Defective(defect, right), MLP([4]), out=tmp_path / "run", **settings)
    assert "Defective" in str(caught.value) or (name == "other classes" and right < 2)


@pytest.mark.parametrize("name", DEFECTS)
def test_a_defect_of_a_teacher_that_labels_is_one_sentence(tmp_path, name):
    defect, words = DEFECTS[name]
    with pytest.raises(MismatchError, match=words):
        label(DIGITS, Defective(defect, 8), out=tmp_path / "store", batch_size=20, show=False)


@pytest.mark.parametrize("name", ["tensor", "too few rows", "raising"])
def test_a_defective_member_of_an_ensemble_is_named(tmp_path, name):
    defect, words = DEFECTS[name]
    with pytest.raises(MismatchError, match=f"Defective .*{words}"):
        distill(
            DIGITS,
            [MLP([4], input_shape=(1, 8, 8), num_classes=10), Defective(defect, 9)],
            MLP([4]),
            out=tmp_path / "run",
            **SMALL,
        )
