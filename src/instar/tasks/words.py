"""Words: each sample is a recorded word, and the label of each of its frames is a state of that word."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from instar.analysis.viterbi import word_scores, wrong_words
from instar.tasks.intervals import Wilson
from instar.tasks.metric import Metric
from instar.tasks.metrics import metrics_of_classes
from instar.tasks.task import Task

WRONG_WORDS = "wrong_words"

WORDS = Metric("words", "count", "higher", measure=lambda _, observed: len(observed[WRONG_WORDS]))
WORD_ERRORS = Metric("word_errors", "count", measure=lambda _, observed: int(observed[WRONG_WORDS].sum()))
WORD_ERROR = Metric(
    "word_error",
    "share",
    interval=Wilson(of="words", counted="word_errors"),
    measure=lambda _, observed: int(observed[WRONG_WORDS].sum()) / len(observed[WRONG_WORDS]),
    label="words",
    line="{word_errors} of {words} wrong: {word_error:.2%}",
    title="Word error",
    meaning="Share of the recorded words that were misrecognised.",
)


@dataclass(frozen=True)
class Words(Task):
    """Each sample is a recorded word, and the label of each of its frames is a state of that word.

    Args:
        states: S; class w S + s - 1 is state s of word w.
    """

    metrics: ClassVar[tuple[Metric, ...]] = metrics_of_classes(WORDS, WORD_ERRORS, WORD_ERROR)
    states: int

    def find_problem(self, labels: Tensor, classes: tuple[str, ...]) -> str | None:
        """Return why labels or classes are not the states of words."""
        # frames are positions, and every word has the same number of states
        fits = labels.dim() == 2 and len(classes) % self.states == 0
        return None if fits else f"{self.states} states per word, with labels at positions"

    def class_names(self, classes: tuple[str, ...]) -> tuple[str, ...]:
        """Return the words.

        >>> Words(2).class_names(("yes/1", "yes/2", "no/1", "no/2"))
        ('yes', 'no')
        """
        return tuple(name.rpartition("/")[0] for name in classes[:: self.states])

    def answer(self, log_probs: Tensor, lengths: Tensor) -> Tensor:
        """Return p(w) = exp(score(w)) / sum_v exp(score(v)), with the scores of words of `word_scores`.

        A score is a mean over frames, because neighbouring frames say nearly the same. A recording that is too short
        for every word has NaN.
        """
        return word_scores(log_probs, lengths.to(log_probs.device), self.states).softmax(1)

    def observe(self, logits: Tensor, labels: Tensor, lengths: Tensor) -> dict[str, Tensor]:
        """Return whether each recording is misrecognised, bool `[recordings whose word is known]`."""
        # logits do as log-posteriors: the normaliser of a frame is the same for all words, so it moves no maximum
        scores = word_scores(logits, lengths.to(logits.device), self.states)
        return {WRONG_WORDS: wrong_words(scores, labels, self.states)}
