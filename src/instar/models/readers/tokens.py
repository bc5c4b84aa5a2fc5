"""Reader of texts with a tokenizer of Transformers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any

from instar.checks import Count, checked
from instar.compute.inputs import Shape
from instar.data.columns.held import INPUTS
from instar.errors import ConfigError, MismatchError
from instar.foreign import from_pretrained
from instar.models.readers.encoded import ANY_LENGTH, ATTENTION_MASK, Encoded
from instar.models.readers.text_reader import TextReader
from instar.models.saved_tokenizer import copy_tokenizer, tokenizer_folder

if TYPE_CHECKING:
    from instar.data.samples import Samples

MAX_LENGTH_TOKENS = 1_000_000
"""Limits above this mean that a tokenizer has none."""

TOKEN_TYPES = "token_type_ids"
"""Name of the tensor that is 1 for tokens of the second text of a pair, and 0 for others."""


class TokenizerFiles:
    """The files of a tokenizer by name, with a hash that costs nothing, and the tokenizer itself once it is needed.

    Args:
        files: text of each file by name, as `copy_tokenizer` returns them.
    """

    def __init__(self, files: Mapping[str, str]) -> None:
        self.files = dict(files)
        self._hash = hash(tuple(sorted(self.files.items())))

    def __eq__(self, other: object) -> bool:
        # readers are compared for every batch; files only if their hashes agree, and they are not one object
        return self is other or (
            isinstance(other, TokenizerFiles) and self._hash == other._hash and self.files == other.files
        )

    def __hash__(self) -> int:
        return self._hash

    @cached_property
    def tokenizer(self) -> Any:
        """The tokenizer of Transformers."""
        with tokenizer_folder(self.files, "") as folder:
            return from_pretrained("AutoTokenizer", folder, "the tokenizer")

    @cached_property
    def needs_spaces(self) -> bool:
        """Whether words have the tokens of their text only with the spaces before them, as in GPT-2 and RoBERTa."""
        whole = self.tokenizer("a b")["input_ids"]
        given = (["a", "b"], ["a", " b"])
        plain, spaced = (self.tokenizer(words, is_split_into_words=True)["input_ids"] for words in given)
        return bool(plain != whole and spaced == whole)


@checked
@dataclass(frozen=True, repr=False)
class Tokens(TextReader):
    """Texts, or pairs of texts, as a tokenizer of Transformers writes them, with its special tokens.

    It makes `input_ids`, `attention_mask`, and `token_type_ids` where the tokenizer has them. Data that hold such
    tensors already pass as they are. The files of the tokenizer are kept with the model, so `path` is needed only once.

    Args:
        path: folder or Hub id of the tokenizer.
        length: tokens of a text or pair that are read; None: as many as the tokenizer allows. Of a pair, the longer
            text is cut.
        column: column of the texts; "inputs": the texts, or pairs of texts, of the data.
        token_types: make `token_type_ids` where the tokenizer has them; networks of Instar take none.

    Raises:
        ConfigError: when the tokenizer cannot be loaded.
    """

    path: str
    length: Count | None = None
    column: str = INPUTS
    token_types: bool = True
    kept: TokenizerFiles | None = field(default=None, init=False, repr=False)

    def fitted(self, samples: Samples | None = None) -> Tokens:
        """Return the reader with the files of its tokenizer, which need no samples."""
        return self if self.kept is not None else self._keeping(copy_tokenizer(self.path))  # as it is now

    def knowledge(self) -> dict[str, Any]:
        """Return the files of the tokenizer by name."""
        return {"tokenizer": self._files.files}

    def with_knowledge(self, knowledge: Mapping[str, Any]) -> Tokens:
        """Return the reader with the tokenizer of a file.

        Raises:
            ConfigError: when there is none.
        """
        files = knowledge.get("tokenizer")
        if not isinstance(files, Mapping) or not all(isinstance(one, str) for pair in files.items() for one in pair):
            raise ConfigError(f"{self} needs the files of its tokenizer, found: {', '.join(map(str, knowledge)):.100}.")
        return self._keeping(files)

    def _keeping(self, files: Mapping[str, str]) -> Tokens:
        found = replace(self)
        object.__setattr__(found, "kept", TokenizerFiles(files))
        return found

    @property
    def tokenizer(self) -> Any:
        """The tokenizer of Transformers."""
        return self._files.tokenizer

    @property
    def _files(self) -> TokenizerFiles:
        return _read_files(self.path) if self.kept is None else self.kept

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the tensors."""
        return (*self._own_names, ATTENTION_MASK)

    @property
    def _own_names(self) -> tuple[str, ...]:
        known = self.tokenizer.model_input_names
        return ("input_ids", *([TOKEN_TYPES] if self.token_types and TOKEN_TYPES in known else []))

    def sizes(self) -> dict[str, Any]:
        """Return the number of tokens."""
        return {"vocabulary_size": len(self.tokenizer)}

    @property
    def longest(self) -> int:
        """Largest number of tokens."""
        allowed = self.tokenizer.model_max_length
        return self.length or (int(allowed) if allowed < MAX_LENGTH_TOKENS else ANY_LENGTH)

    def explain(self) -> str:
        """Return sentences that say how another program makes the tensors of a text."""
        limit = "" if self.longest == ANY_LENGTH else f", truncation=True, max_length={self.longest}"
        return (
            "The files of the tokenizer are in knowledge.tokenizer (see the description of the model). Of a list of "
            f"texts, tokenizer(texts, padding=True{limit}) of Transformers makes the tensors."
        )

    def shape(self, given: Any) -> dict[str, Shape]:  # type: ignore[override]  # of several
        """Return the shape of each tensor; that of tokens that the data hold already stays."""
        if isinstance(given, Mapping) and "input_ids" in given:
            return dict(given)
        return super().shape(given)

    def collect(self, find: Callable[[str], Any]) -> Any:
        """Return what `find` returns for its column; for the inputs, by name."""
        return find(self.column)

    def _split(self, inputs: Any) -> tuple[Any, Any]:
        if isinstance(inputs, Mapping):
            values = list(inputs.values())
        elif isinstance(inputs, list | tuple) and inputs and all(isinstance(one, list | tuple) for one in inputs):
            values = [list(column) for column in zip(*inputs, strict=False)]
            if any(len(one) != len(values) for one in inputs):
                values = []
        else:
            values = [inputs]
        if len(values) not in (1, 2):
            raise MismatchError(f"{self} reads texts or pairs of texts; give a list of strings or of pairs of strings.")
        return values[0], values[1] if len(values) == 2 else None

    def encode(self, texts: Sequence[str], pairs: Sequence[str] | None = None) -> Encoded:
        """Return the tokens of texts, or of pairs of texts."""
        limit = self.longest
        cut = {} if limit == ANY_LENGTH else {"truncation": True, "max_length": limit}
        names = self._own_names
        found = self.tokenizer(
            list(texts),
            None if pairs is None else list(pairs),
            padding=False,
            return_attention_mask=False,
            return_token_type_ids=TOKEN_TYPES in names,
            verbose=False,  # a notice about long texts, which are meant to be cut or read whole
            **cut,
        )
        sequences = {name: found[name] for name in names}
        for at, tokens in enumerate(sequences["input_ids"]):
            if not tokens:  # some tokenizers have no special tokens, and a network needs one position at least
                for name in names:
                    sequences[name][at] = [self._stand_in if name == "input_ids" else 0]
        return Encoded.of(sequences, self._padding)

    @property
    def _padding(self) -> dict[str, int]:
        padding = {"input_ids": self.tokenizer.pad_token_id or 0, TOKEN_TYPES: self.tokenizer.pad_token_type_id}
        return {name: padding[name] for name in self._own_names}

    @property
    def unknown(self) -> int:
        """Number of the token that stands for what the tokenizer does not know, or of another special one."""
        found: int | None = self.tokenizer.unk_token_id
        return self._stand_in if found is None else found

    @property
    def _stand_in(self) -> int:
        kinds = ("bos", "eos", "cls", "sep", "unk", "pad")
        tokens = (getattr(self.tokenizer, f"{kind}_token_id") for kind in kinds)
        return next((token for token in tokens if token is not None), 0)


@cache
def _read_files(path: str) -> TokenizerFiles:
    return TokenizerFiles(copy_tokenizer(path))
