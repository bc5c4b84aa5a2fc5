"""New texts for the model of a run that predicts a class for each of their words."""

from __future__ import annotations

import os
from itertools import chain
from typing import Any

import numpy as np

from instar.analysis.scores import UNLABELLED
from instar.data.columns.split_texts import SPLIT_TEXT, SplitTexts
from instar.data.source import Source
from instar.data.word_sources import make_word_source
from instar.errors import MismatchError
from instar.models.readers.split_text_reader import as_words
from instar.runs.run import Run
from instar.stages.run_data import describe_model, run_classes


def takes_words(run: Run) -> bool:
    """Return whether the model of a run predicts a class for each word of a text."""
    # a reader takes the inputs by name, or their only column
    return describe_model(run).get("dtype") in ({SPLIT_TEXT: SplitTexts.dtype}, SplitTexts.dtype)


def read_new_words(run: Run, given: Any) -> Source:
    """Return texts as a source without labels.

    Args:
        run: run whose model predicts classes of words.
        given: a text or a list of texts, whose words stand between spaces; or a list with a list of words for each.

    Raises:
        MismatchError: when the inputs are something else, or a text has no words.
    """
    given = [given] if isinstance(given, str) else given
    files = [one for one in given if isinstance(one, str) and os.path.isfile(one)] if isinstance(given, list) else []
    if files:  # whose name would be read as a word
        raise MismatchError(f"'{run.path}' takes words, and '{files[0]}' is a file; give the texts that it holds.")
    texts = as_words(given, f"'{run.path}'")
    labels = np.full(sum(map(len, texts)), UNLABELLED)
    return make_word_source("new inputs", texts, labels, run_classes(run), max(map(len, texts)))


def name_words(source: Source) -> list[str]:
    """Return the words of all samples, each behind the number of its sample.

    >>> name_words(make_word_source("new", [["EU", "rejects"], ["it"]], np.full(3, UNLABELLED), ("O",), 2))
    ['0: EU', '0: rejects', '1: it']
    """
    texts = source.columns[SPLIT_TEXT]
    assert isinstance(texts, SplitTexts), "the source was made of words"
    return list(chain.from_iterable([f"{at}: {word}" for word in words] for at, words in enumerate(texts.lists())))
