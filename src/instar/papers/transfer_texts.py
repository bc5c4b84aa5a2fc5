"""Texts to distill from, made of training texts by rules, after Tang et al. 2019, section 3.3."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class TextRules:
    """Copies of a text in which words are left out or replaced, or of which a few words are left.

    Words are what spaces separate. The paper has a word [MASK] in place of a left-out one, and replaces words by others
    of the same part of speech. Here no tagger is needed: another word is drawn as often as it occurs in all texts.

    Args:
        copies: copies of each text; equal ones are kept once.
        mask: probability that a word is left out.
        replace: probability that a word is replaced.
        ngram: probability that a copy is cut to a few neighbouring words.
        longest: largest number of words of such a copy; each number from 1 on is as likely. The paper has 5.
    """

    copies: int
    mask: float = 0.1
    replace: float = 0.1
    ngram: float = 0.25
    longest: int = 5

    def apply(self, texts: Sequence[str], seed: int) -> list[tuple[int, str]]:
        """Return new texts, each with the index of the text that it comes from.

        >>> TextRules(3, mask=0.5, replace=0, ngram=0).apply(["a b c d"], seed=0)
        [(0, 'a'), (0, 'a c d')]
        """
        random = np.random.default_rng(seed)
        known = set(texts)
        found = []
        pool = np.array([word for text in texts for word in text.split()])
        for index, words in enumerate(map(str.split, texts)):
            for copy in self._copies(words, pool, random):
                if copy and copy not in known:
                    known.add(copy)
                    found.append((index, copy))
        # by size, because a teacher pads the texts of a batch to the longest
        return sorted(found, key=lambda one: len(one[1]))

    def _copies(self, words: list[str], pool: np.ndarray, random: np.random.Generator) -> Iterator[str]:
        for _ in range(self.copies):
            chance, others = random.random(len(words)), random.choice(pool, len(words))
            changed = [
                other if draw < self.mask + self.replace else word
                for word, other, draw in zip(words, others, chance, strict=True)
                if draw >= self.mask
            ]
            if random.random() < self.ngram and changed:
                length = min(int(random.integers(1, self.longest + 1)), len(changed))
                start = int(random.integers(len(changed) - length + 1))
                changed = changed[start : start + length]
            yield " ".join(changed)
