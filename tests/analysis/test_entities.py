"""Entities of labels of words: those of the CoNLL script, which seqeval counts too."""

import pytest
import torch

from instar.analysis.entities import find_entities, mark_entities
from instar.analysis.scores import Scores
from instar.tasks import Entities

CLASSES = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC")


def find_one_by_one(names):
    """Entities of one sample, word by word, in the words of the script: a chunk ends, and a chunk starts."""
    found, start, before = set(), 0, ("O", "")
    for at, name in enumerate([*names, "O"]):
        tag, _, kind = name.partition("-")
        last, last_kind = before
        if last != "O" and (tag in ("B", "O") or last_kind != kind):
            found.add((start, at - 1, last_kind))
        if tag == "B" or (tag == "I" and (last == "O" or last_kind != kind)):
            start = at
        before = (tag, kind)
    return found


def test_entities_are_those_of_a_walk_over_the_words_of_each_sample():
    draws = torch.Generator().manual_seed(0)
    sizes = torch.randint(1, 7, (300,), generator=draws)
    labels = torch.randint(5, (int(sizes.sum()),), generator=draws)
    expected, start = set(), 0
    for size in sizes.tolist():
        names = [CLASSES[at] for at in labels[start : start + size]]
        expected |= {(start + first, start + last, kind) for first, last, kind in find_one_by_one(names)}
        start += size
    assert find_entities(labels, sizes, CLASSES) == expected
    assert find_entities(labels[:0], sizes[:0], CLASSES) == set()


@pytest.mark.parametrize(
    ("predicted", "true", "f1"),
    [
        # the example of seqeval's own documentation: one of two entities is right
        ([[0, 0, 3, 4, 4, 4, 0], [1, 2, 0]], [[0, 0, 0, 3, 4, 4, 0], [1, 2, 0]], 0.5),
        ([[1, 2, 0]], [[1, 2, 0]], 1.0),
        ([[2, 2, 0]], [[1, 2, 0]], 1.0),  # I behind nothing begins an entity
        ([[1, 1, 0]], [[1, 2, 0]], 0.0),
        ([[0, 0, 0]], [[0, 0, 0]], 0.0),  # there is nothing to find
    ],
)
def test_f1_is_over_whole_entities_of_all_samples_and_padding_never_counts(predicted, true, f1):
    lengths = torch.tensor([len(row) for row in true])
    labels = torch.full((len(true), 9), -1)
    logits = torch.zeros(len(true), 9, 5)
    logits[..., 1] = 1.0  # padding would be an entity
    for row, (guess, known) in enumerate(zip(predicted, true, strict=True)):
        labels[row, : len(known)] = torch.tensor(known)
        logits[row, range(len(guess)), guess] = 9.0
    task = Entities()
    found = task.measure(
        Scores.of(logits.flatten(0, 1), labels.flatten()), CLASSES, task.observe(logits, labels, lengths)
    )
    assert found["entity_f1"] == pytest.approx(f1)


def test_classes_mark_entities_if_all_others_than_o_begin_or_continue_one():
    assert mark_entities(CLASSES)
    assert not mark_entities(("noun", "verb"))
    assert not mark_entities(("O",))
