"""Reader of words with a tokenizer of Transformers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from instar.checks import checked
from instar.errors import MismatchError, shortened
from instar.models.readers.encoded import ANY_LENGTH, Encoded
from instar.models.readers.split_text_reader import EncodedWords, SplitTextReader, encode_places
from instar.models.readers.tokens import Tokens


@checked
@dataclass(frozen=True, repr=False)
class WordTokens(SplitTextReader, Tokens):
    """Words as a tokenizer of Transformers writes them, with its special tokens and the first token of each word.

    It makes `word_starts` beside the tensors of `Tokens`, and takes its arguments. Nothing is cut, because a word
    without tokens would have no prediction; longer samples are refused. A word that the tokenizer drops, such as one of
    invisible characters, is read as its token for what it does not know.

    Raises:
        ConfigError: when the tokenizer cannot be loaded.
    """

    def explain(self) -> str:
        """Return sentences that say how another program makes the tensors of words."""
        spaces = ", with a space before every word except the first" if self._files.needs_spaces else ""
        return (
            "The files of the tokenizer are in knowledge.tokenizer (see the description of the model). Of lists of "
            f"words{spaces}, tokenizer(words, is_split_into_words=True, padding=True) of Transformers makes input_ids "
            "and attention_mask; word_starts has the place of the first token of each word (see word_ids), padded with "
            "0. logits has a row for each word."
        )

    def encode_words(self, samples: Sequence[Sequence[str]]) -> EncodedWords:
        """Return the tokens of samples, and the place of the first token of each word.

        Raises:
            MismatchError: when a sample has more tokens than model and tokenizer allow, or the tokenizer does not say
                which word a token belongs to.
        """
        found = self._tokenise(samples)
        places = [_find_starts(found.word_ids(at)) for at in range(len(samples))]
        rows = {name: list(found[name]) for name in self._own_names}
        for at, words in enumerate(samples):
            if len(places[at]) < len(words):
                filled = self._tokenise([[self._fill(word, n in places[at]) for n, word in enumerate(words)]])
                places[at] = _find_starts(filled.word_ids(0))
                for name, column in rows.items():
                    column[at] = filled[name][0]
            if len(places[at]) < len(words):
                lost = next(word for n, word in enumerate(words) if n not in places[at])
                raise MismatchError(f"the tokenizer of {self} makes nothing of the word {lost!r:.40}; leave it out.")
        self._refuse_long(rows["input_ids"])
        starts = [[place for _, place in sorted(one.items())] for one in places]
        return EncodedWords(Encoded.of(rows, self._padding), encode_places(starts))

    def _tokenise(self, samples: Sequence[Sequence[str]]) -> Any:
        given = {"padding": False, "return_attention_mask": False, "verbose": False, "is_split_into_words": True}
        try:
            space = " " if self._files.needs_spaces else ""
            spelt = [[words[0], *(space + word for word in words[1:])] for words in samples]
            found = self.tokenizer(spelt, return_token_type_ids=len(self._own_names) > 1, **given)
            found.word_ids(0)  # only tokenizers of the library tokenizers know
        except Exception as error:  # a tokenizer raises what it likes
            raise MismatchError(f"the tokenizer of {self} cannot read words one by one: {shortened(error)}.") from None
        return found

    def _fill(self, word: str, is_known: bool) -> str:
        stand_in: str = self.tokenizer.convert_ids_to_tokens(self.unknown)
        return word if is_known else stand_in

    def _refuse_long(self, rows: Sequence[Sequence[int]]) -> None:
        limit = self.longest
        long = [at for at, tokens in enumerate(rows) if len(tokens) > limit] if limit != ANY_LENGTH else []
        if long:
            raise MismatchError(
                f"{self} reads {limit} tokens of a sample, and {len(long):,} of {len(rows):,} samples have more, such "
                f"as number {long[0]} with {len(rows[long[0]]):,}; split them where sentences end, because every word "
                "needs a prediction."
            )


def _find_starts(word_of_each: Sequence[int | None]) -> dict[int, int]:
    # the place of the first token of each word
    found: dict[int, int] = {}
    for place, word in enumerate(word_of_each):
        if word is not None:
            found.setdefault(word, place)
    return found
