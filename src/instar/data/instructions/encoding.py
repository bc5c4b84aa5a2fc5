"""Tokens of instructions, and which of them have a loss."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from instar.data.instructions.forms import ASSISTANT, Example, Message, UnusableRowError, read_row
from instar.data.text import PretrainedTokenizer
from instar.errors import DataError, shortened

ROWS_PER_CALL = 1000
"""Rows that are tokenised at once; a tokenizer reads many texts together several times as fast as one by one."""

_PROBE = ("b\n", "b")
"""Two parts between which no token stands."""

_PROBE_CONTENT = "42"
"""Content of a turn, behind which the tokens that end it are found."""


@dataclass
class Encoded:
    """Tokens of all examples of a split, one behind the other.

    Args:
        tokens: numbers of the tokens, int32.
        has_loss: whether each token has a loss, bool.
        lengths: number of tokens of each example, int64.
        unusable: rows that have nothing to learn from, with the reason.
    """

    tokens: NDArray[np.int32]
    has_loss: NDArray[np.bool_]
    lengths: NDArray[np.int64]
    unusable: list[tuple[int, str]] = field(default_factory=list)


class InstructionTokenizer(PretrainedTokenizer):
    """A Transformers tokenizer with its chat template.

    Args:
        tokenizer: folder or Hub id.

    Raises:
        DataError: when the tokenizer cannot be loaded, or has no end-of-text token.
    """

    def __init__(self, tokenizer: str) -> None:
        super().__init__(tokenizer)
        self._name = tokenizer
        empty = self._tokenizer("")["input_ids"]
        start = self._tokenizer.bos_token_id
        self._start = [start] if start is not None and empty[:1] == [start] else []
        added = [str(token) for token in self._tokenizer.added_tokens_decoder.values() if token.special]
        self._specials = {*added, *self._tokenizer.all_special_tokens}
        # some put a space before every text, which a part within a text must not get
        first, second, both = self._tokens_of([*_PROBE, "".join(_PROBE)])
        self._reads_parts_alike = first + second == both

    @property
    def padding(self) -> int | None:
        """Number of the padding token, if there is one."""
        found: int | None = self._tokenizer.pad_token_id
        return found

    @property
    def ends(self) -> set[int]:
        """Numbers of the tokens that end a text: that of all texts, and those that the template ends a turn with."""
        found = {self.end}
        if self._tokenizer.chat_template:
            turns = [{"role": role, "content": _PROBE_CONTENT} for role in ("user", ASSISTANT)]
            with suppress(DataError):  # a template may need what these turns lack
                example = read_row({"messages": turns}, self._render, self._specials)
                behind = self._tokens_of([example.parts[-1].text.partition(_PROBE_CONTENT)[2]])[0]
                tokens = zip(behind, self._tokenizer.convert_ids_to_tokens(behind), strict=True)
                found.update(number for number, token in tokens if token in self._specials)
        return found

    @property
    def is_dated(self) -> bool:
        """Whether the chat template may write the date of today into a conversation."""
        return "strftime_now" in str(self._tokenizer.chat_template)

    def encode_prompt(self, prompt: Any) -> list[int]:
        """Return the tokens of a text, or of messages up to where the next turn of the assistant begins.

        Raises:
            DataError: when the template cannot render the messages.
        """
        if isinstance(prompt, str):
            ids = [*self._start, *self._tokens_of([prompt])[0]]
            return ids or [self._first_token() or self.end]
        try:
            return self._tokens_of([self._render(prompt, True)])[0]
        except DataError:
            raise
        except Exception as error:  # templates raise what they like
            raise DataError(f"the messages cannot be rendered by the chat template: {shortened(error)}.") from None

    def decode(self, tokens: Sequence[Sequence[int]]) -> list[str]:
        """Return texts without special tokens."""
        texts: list[str] = self._tokenizer.batch_decode(tokens, skip_special_tokens=True)
        return texts

    def encode_rows(self, rows: Iterable[tuple[int, Mapping[str, Any]]], name: str) -> Encoded:
        """Return the tokens of rows with their numbers; `name` is for messages.

        Raises:
            DataError: when a row cannot be read; names it.
        """
        unusable: list[tuple[int, str]] = []
        tokens, sizes, losses, lengths = [np.zeros(0, np.int32)], [], [], []
        for part in _batched(rows):
            examples = self._read(part, name, unusable)
            found = [self._label(example, ids) for example, ids in zip(examples, self._split(examples), strict=True)]
            tokens.append(np.array([one for runs in found for ids, _ in runs for one in ids], np.int32))
            sizes += [len(ids) for runs in found for ids, _ in runs]
            losses += [has_loss for runs in found for _, has_loss in runs]
            lengths += [sum(len(ids) for ids, _ in runs) for runs in found]
        has_loss = np.repeat(np.array(losses, np.bool_), np.array(sizes, np.int64))
        return Encoded(np.concatenate(tokens), has_loss, np.array(lengths, np.int64), unusable)

    def _read(
        self, rows: Sequence[tuple[int, Mapping[str, Any]]], name: str, unusable: list[tuple[int, str]]
    ) -> list[Example]:
        examples: list[Example] = []
        for number, row in rows:
            try:
                example = read_row(row, self._render, self._specials)
                if not example.is_rendered and not example.parts[0].text and self._first_token() is None:
                    raise UnusableRowError("has an empty prompt, and the tokenizer has no token for the beginning")
                examples.append(example)
            except UnusableRowError as error:
                unusable.append((number, str(error)))
            except DataError as error:
                raise DataError(f"row {number} of '{name}' {error}.") from None
        return examples

    def _split(self, examples: Sequence[Example]) -> Iterator[list[list[int]]]:
        # a token never stands in two parts, because a model that is given the prompt alone would not see it
        apart = [part.text for example in examples for part in example.parts]
        if self._reads_parts_alike:
            known = iter(self._tokens_of(apart))
            yield from ([next(known) for _ in example.parts] for example in examples)
            return
        texts = (example.parts for example in examples)
        upto = ["".join(part.text for part in parts[: at + 1]) for parts in texts for at in range(len(parts))]
        known = iter(self._tokens_of(upto))
        for example in examples:
            whole = [next(known) for _ in example.parts]
            if all(longer[: len(shorter)] == shorter for shorter, longer in pairwise(whole)):
                edges = [0, *map(len, whole)]
                yield [whole[-1][start:stop] for start, stop in pairwise(edges)]
            else:
                yield self._tokens_of([part.text for part in example.parts])

    def _label(self, example: Example, parts: Sequence[list[int]]) -> list[tuple[list[int], bool]]:
        runs = [(ids, part.has_loss) for ids, part in zip(parts, example.parts, strict=True)]
        if not example.is_rendered:
            runs.insert(0, (self._start or ([] if parts[0] else [self._first_token() or 0]), False))
        if not example.has_end and parts[-1][-1:] != [self.end]:
            runs.append(([self.end], True))
        return runs

    def _tokens_of(self, texts: Sequence[str]) -> list[list[int]]:
        if not texts:
            return []
        if (library := getattr(self._tokenizer, "backend_tokenizer", None)) is not None:
            library.no_truncation()
            library.no_padding()
            # without the offsets of tokens in the text, which cost a quarter of the time
            return [one.ids for one in library.encode_batch_fast(list(texts), add_special_tokens=False)]
        found = self._tokenizer(
            list(texts),
            add_special_tokens=False,
            return_attention_mask=False,
            return_token_type_ids=False,
            verbose=False,  # a notice about texts that are longer than a model would come before they are cut
        )
        ids: list[list[int]] = found["input_ids"]
        return ids

    def _first_token(self) -> int | None:
        # before an empty prompt, because the first token of a completion is predicted from the token before it
        found: int | None = self._tokenizer.bos_token_id
        return found

    def _render(self, messages: Sequence[Message], add_generation_prompt: bool) -> str:
        if not self._tokenizer.chat_template:
            raise DataError(f"the tokenizer '{self._name}' has no chat template")
        text: str = self._tokenizer.apply_chat_template(
            list(messages), tokenize=False, add_generation_prompt=add_generation_prompt
        )
        return text


def _batched(rows: Iterable[tuple[int, Mapping[str, Any]]]) -> Iterator[list[tuple[int, Mapping[str, Any]]]]:
    part: list[tuple[int, Mapping[str, Any]]] = []
    for row in rows:
        part.append(row)
        if len(part) == ROWS_PER_CALL:
            yield part
            part = []
    yield part
