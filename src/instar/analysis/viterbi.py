"""Recognition of recorded words by Viterbi alignment of frames with the states of each word."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from instar.analysis.scores import UNLABELLED
from instar.errors import MismatchError


def word_scores(log_posteriors: Tensor, lengths: Tensor, states: int) -> Tensor:
    """Return the score of each word for each recording, `[recordings, words]`.

        score(w) = max_a (1 / n) sum_t log p(w, a_t | x, t)

    over the alignments a of the n frames with the states 1..S of the word: a_1 = 1, a_n = S, and a_(t+1) is a_t or
    a_t + 1. Computed by d_t(s) = e_t(s) + max(d_(t-1)(s), d_(t-1)(s - 1)) for all words and recordings at once. A
    recording with fewer frames than states has no alignment, and scores -inf for all words.

    Source: Viterbi 1967.

    Args:
        log_posteriors: log p(state | frame), `[recordings, frames, classes]`, where class w S + s - 1 is state s of
            word w. Frames beyond the length of a recording are ignored.
        lengths: number of frames n, int64 `[recordings]`.
        states: number of states S per word.

    Raises:
        MismatchError: when the number of classes is not a multiple of `states`.

    >>> posteriors = torch.tensor([[[0.5, 0.2, 0.2, 0.1], [0.3, 0.3, 0.3, 0.1]]])
    >>> word_scores(posteriors.log(), torch.tensor([2]), states=2).exp().square()
    tensor([[0.1500, 0.0200]])
    """
    if log_posteriors.shape[2] % states:
        raise MismatchError(f"{log_posteriors.shape[2]} classes cannot be words of {states} states each.")
    emitted = log_posteriors.unflatten(2, (-1, states))  # [recordings, frames, words, states]
    best = torch.full_like(emitted[:, 0], -torch.inf)  # d_t: [recordings, words, states]
    best[..., 0] = emitted[:, 0, :, 0]  # every alignment starts in the first state
    for frame in range(1, emitted.shape[1]):
        # d_(t-1)(s - 1): each state from the one before it, and nothing enters the first
        advanced = F.pad(best[..., :-1], (1, 0), value=-torch.inf)
        is_valid = (frame < lengths)[:, None, None]  # recordings that have ended keep their scores
        best = torch.where(is_valid, emitted[:, frame] + torch.maximum(best, advanced), best)
    return best[..., -1] / lengths[:, None]  # and ends in the last state


def spoken_words(scores: Tensor) -> Tensor:
    """Return the word with the best score, int64 `[recordings]`; `UNLABELLED` if no word has an alignment.

    >>> spoken_words(torch.tensor([[-1.0, -0.5], [-torch.inf, -torch.inf]])).tolist()
    [1, -1]
    """
    best, word = scores.max(1)
    return torch.where(best > -torch.inf, word, UNLABELLED)


def wrong_words(scores: Tensor, labels: Tensor, states: int) -> Tensor:
    """Return whether the best word is wrong, bool `[recordings with a known word]`.

    Args:
        scores: word scores that `word_scores` returned, `[recordings, words]`.
        labels: labels of the frames, int64 `[recordings, frames]`.
        states: number of states per word.

    >>> labels = torch.tensor([[0, 1], [2, 3], [-1, -1]])
    >>> wrong_words(torch.tensor([[-1.0, -2.0], [-1.0, -2.0], [-1.0, -2.0]]), labels, states=2)
    tensor([False,  True])
    """
    known = labels[:, 0] != UNLABELLED  # a recording has at least one frame, and one word throughout
    return (spoken_words(scores) != labels[:, 0] // states)[known]
