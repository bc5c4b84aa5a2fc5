"""A source checks its labels, and its fingerprint changes with any of its content."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from instar.data import UNLABELLED, Source
from instar.errors import DataError

few = settings(deadline=None, derandomize=True, max_examples=30)
CLASSES = ("cat", "dog", "horse")


def source(inputs: torch.Tensor | None = None, classes: tuple[str, ...] = CLASSES) -> Source:
    inputs = torch.arange(30, dtype=torch.uint8)[:, None].repeat(1, 4) if inputs is None else inputs
    return Source("animals", inputs, torch.arange(30) % 3, classes)


@pytest.mark.parametrize(("label", "at"), [(3, 4), (-2, 0), (99, 29)])
def test_labels_outside_the_classes_are_refused(label: int, at: int) -> None:
    labels = torch.zeros(30, dtype=torch.int64)
    labels[at] = label
    message = rf"labels of 'x' must be from 0 to 2 \(3 classes\), or -1 \(unlabelled\); found {label} at sample {at}\."
    with pytest.raises(DataError, match=message):
        Source("x", torch.zeros(30, 2), labels, CLASSES)


def test_every_label_up_to_the_last_class_and_none_are_taken() -> None:
    assert len(Source("x", torch.zeros(4, 2), torch.tensor([UNLABELLED, 0, 1, 2]), CLASSES)) == 4


def test_inputs_and_labels_must_be_as_many_and_some() -> None:
    with pytest.raises(DataError, match=r"'x' has 3 inputs but 2 labels\."):
        Source("x", torch.zeros(3, 2), torch.zeros(2, dtype=torch.int64), CLASSES)
    with pytest.raises(DataError, match=r"'x' has no samples\."):
        Source("x", torch.zeros(0, 2), torch.zeros(0, dtype=torch.int64), CLASSES)


@few
@given(st.integers(0, 29), st.integers(0, 3), st.integers(1, 255))
def test_the_fingerprint_changes_with_any_one_pixel(row: int, column: int, change: int) -> None:
    inputs = source().inputs.clone()
    inputs[row, column] += change
    assert source(inputs=inputs).fingerprint() != source().fingerprint()


@few
@given(st.integers(0, 29), st.sampled_from([UNLABELLED, 0, 1, 2]))
def test_the_fingerprint_changes_with_any_one_label(row: int, label: int) -> None:
    labels = source().labels.clone()
    same = int(labels[row]) == label
    labels[row] = label
    found = Source("animals", source().inputs, labels, CLASSES).fingerprint()
    assert (found == source().fingerprint()) is same


def test_the_fingerprint_is_of_the_content_alone() -> None:
    whole = source()
    copy = Source("another name", whole.inputs.T.contiguous().T, whole.labels.clone(), CLASSES)
    assert copy.fingerprint() == whole.fingerprint()


@pytest.mark.parametrize(
    "other",
    [
        source(classes=("cat", "dog", "house")),
        source(classes=(*CLASSES, "cow")),
        source(inputs=source().inputs.reshape(30, 2, 2)),
        source(inputs=source().inputs.to(torch.int8)),
        source(inputs=source().inputs.float()),
    ],
)
def test_the_fingerprint_changes_with_class_names_shapes_and_types(other: Source) -> None:
    assert other.fingerprint() != source().fingerprint()


def test_the_fingerprint_reads_beyond_its_first_block() -> None:
    inputs = torch.zeros(70_000, 1, dtype=torch.uint8)
    changed = inputs.clone()
    changed[-1] = 1
    labels = torch.zeros(70_000, dtype=torch.int64)
    found = {Source("x", x, labels, CLASSES).fingerprint() for x in (inputs, changed)}
    assert len(found) == 2
