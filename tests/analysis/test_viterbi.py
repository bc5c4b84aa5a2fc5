"""Decoding of words, held against all alignments that there are."""

import itertools
import math

import pytest
import torch

from instar.analysis import spoken_words, word_scores, wrong_words
from instar.errors import MismatchError


def posteriors(recordings, frames, classes, seed=0):
    draws = torch.randn(recordings, frames, classes, generator=torch.Generator().manual_seed(seed)).double()
    return (2 * draws).log_softmax(2)


def best_of_all(emitted, states):
    """The best mean over all alignments of one word's `[frames, states]`, each tried."""
    frames = len(emitted)
    best = -math.inf
    for path in itertools.product(range(states), repeat=frames):
        steps = [after - before for before, after in itertools.pairwise(path)]
        if path[0] == 0 and path[-1] == states - 1 and all(step in (0, 1) for step in steps):
            best = max(best, sum(float(emitted[frame, state]) for frame, state in enumerate(path)) / frames)
    return best


@pytest.mark.parametrize(("words", "states"), [(4, 3), (3, 1), (1, 2), (2, 4)])
def test_scores_are_those_of_the_best_of_all_alignments(words, states):
    lengths = torch.tensor([7, 1, 2, 3, 4, 5, 6])
    found = posteriors(len(lengths), 7, words * states, seed=states)
    scores = word_scores(found, lengths, states)
    for row, length in enumerate(lengths.tolist()):
        for word in range(words):
            emitted = found[row, :length, word * states : (word + 1) * states]
            assert float(scores[row, word]) == pytest.approx(best_of_all(emitted, states), abs=1e-12)


def test_what_lies_beyond_a_recording_is_not_looked_at():
    lengths, found = torch.tensor([3, 6]), posteriors(2, 6, 6)
    expected = word_scores(found, lengths, 3)
    for value in (0.0, 99.0, -math.inf, math.nan):
        other = found.clone()
        other[0, 3:] = value
        assert torch.equal(word_scores(other, lengths, 3), expected)
    assert torch.equal(word_scores(found[:1, :3], lengths[:1], 3), expected[:1])


def test_a_recording_shorter_than_a_word_is_no_word_and_counts_as_wrong():
    lengths = torch.tensor([2, 3])
    scores = word_scores(posteriors(2, 3, 6), lengths, 3)
    assert (scores[0] == -math.inf).all()
    assert torch.isfinite(scores[1]).all()
    words = spoken_words(scores)
    assert words[0] == -1
    labels = torch.tensor([[0, 1, -1], [0, 1, 2]]) + 3 * torch.tensor([[0], [int(words[1])]])
    labels[0, 2] = -1
    assert wrong_words(scores, labels, 3).tolist() == [True, False]


def test_words_that_share_their_sounds_are_told_apart_by_the_order_of_states():
    """The second word has to begin with a b, where an a was heard, and to end with an a, where a b was."""
    sound = torch.tensor([[0.9, 0.1], [0.9, 0.1], [0.1, 0.9]])  # a, a, b
    word_ab, word_ba = sound, sound.flip(1)
    scores = word_scores(torch.cat([word_ab, word_ba], 1).log()[None], torch.tensor([3]), 2)
    assert spoken_words(scores).tolist() == [0]
    torch.testing.assert_close(scores[0, 0], torch.tensor(0.9).log())
    torch.testing.assert_close(scores[0, 1].exp() ** 3, torch.tensor(0.1 * 0.9 * 0.1))


def test_a_constant_of_a_frame_does_not_change_the_word():
    found, lengths = posteriors(5, 8, 12), torch.full((5,), 8)
    moved = found + torch.randn(5, 8, 1, generator=torch.Generator().manual_seed(3))
    assert torch.equal(spoken_words(word_scores(found, lengths, 3)), spoken_words(word_scores(moved, lengths, 3)))


def test_certain_frames_are_decoded_and_unknown_words_left_out():
    labels = torch.tensor([[3, 4, 4, 5], [0, 1, 2, -1], [-1, -1, -1, -1]])
    certain = torch.nn.functional.one_hot(labels.clamp(min=0), 6).double().log()  # log 0 included
    scores = word_scores(certain, torch.tensor([4, 3, 4]), 3)
    assert spoken_words(scores)[:2].tolist() == [1, 0]
    assert wrong_words(scores, labels, 3).tolist() == [False, False]
    assert wrong_words(scores, labels.flip(0)[[0, 2, 1]], 3).tolist() == [True, True]


def test_classes_that_are_no_whole_words_are_refused():
    with pytest.raises(MismatchError, match=r"10 classes cannot be words of 3 states each\."):
        word_scores(posteriors(1, 4, 10), torch.tensor([4]), 3)
