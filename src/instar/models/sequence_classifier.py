"""Text classifiers of Transformers, from a local folder or the Hub."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from instar.compute.inputs import Shapes, describe_shapes
from instar.errors import MismatchError, nearest, shortened
from instar.foreign import from_config, read_config
from instar.models.padding import call_by_length, ignores_padding
from instar.models.readers.encoded import ANY_LENGTH, ATTENTION_MASK
from instar.models.readers.tokens import Tokens
from instar.models.saved_tokenizer import TOKENIZER_FILES
from instar.models.transformers_classifier import TransformersClassifier

MASK_TOLERANCE = 1e-5
"""Largest difference of logits, relative to their size, by which padding behind a mask may change them."""

_COMPARED_TOKEN, _COMPARED_PADDING = 7, 6  # two tokens alone, and with so many of padding, which short texts feel most


class TextClassifier(TransformersClassifier):
    """A Transformers model for texts, called with its arguments by name, such as `input_ids`.

    Padding changes no logit. Texts of several lengths are computed together if the model ignores what its mask hides,
    which is tried; otherwise those of each length are computed by themselves. Models with convolutions (ConvBERT), and
    those that read the last position (XLNet), need that, and are slower for it.

    See `TransformersClassifier` for its classes.
    """

    def check_inputs(self, shape: Shapes, config: Any) -> None:
        """Refuse a single tensor, because the padding of texts needs a mask, and texts longer than the model allows."""
        if not isinstance(shape, Mapping) or "input_ids" not in shape:
            raise MismatchError(
                f"model '{self.path}' takes input_ids and a mask of their padding (attention_mask) by name, got inputs "
                f"of shape {describe_shapes(shape)}; give them as {{'input_ids': ..., 'attention_mask': ...}}."
            )
        allowed = getattr(config, "max_position_embeddings", None)
        if allowed is not None and 0 < allowed < shape["input_ids"][0]:  # XLNet has -1
            raise MismatchError(
                f"model '{self.path}' allows {allowed} positions, but the data have {shape['input_ids'][0]}."
            )

    def compute_logits(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Return the logits of the model, with the classes in the order of the data.

        Raises:
            MismatchError: when the model has no such argument.
        """
        known = inspect.signature(self.model.forward).parameters
        for name in inputs:
            if name not in known:
                raise MismatchError(
                    f"model '{self.path}' has no argument '{name}'; {nearest(name, known)} A reader chooses and "
                    "renames inputs, as Named(input_ids=AsIs('ids'))."
                )
        # some models compute with their mask, which a bool does not allow
        given = {name: one.long() if one.dtype == torch.bool else one for name, one in inputs.items()}
        return self.in_order(self._call_without_padding(given))

    def _call_without_padding(self, given: dict[str, Tensor]) -> Tensor:
        mask = given.get(ATTENTION_MASK)
        if mask is None:
            return self._call(given)
        if not self.ignores_padding:
            return call_by_length(self._call, given, mask.bool())
        padding = getattr(self.model.config, "pad_token_id", None)
        if padding is not None:  # some models find the last token of a text by the token behind it
            given = {**given, "input_ids": given["input_ids"].masked_fill(mask == 0, padding)}
        return self._call(given)

    def _call(self, given: Mapping[str, Tensor]) -> Tensor:
        try:
            logits: Tensor = self.model(**given).logits
        except (IndexError, ValueError) as error:  # of the library: a token that the model lacks, or no padding token
            told = "; its tokenizer may have tokens that it lacks" if isinstance(error, IndexError) else ""
            raise MismatchError(
                f"model '{self.path}' cannot read texts: {shortened(error).rstrip('.')}{told}."
            ) from error
        return logits

    def tries_padding(self) -> bool:
        """Return whether the model ignores tokens of padding that its mask hides."""
        config = self.model.config
        # the last token ends a text, because some models look for it
        end, padding = getattr(config, "eos_token_id", None), getattr(config, "pad_token_id", None) or 0
        is_token = isinstance(end, int) and end != padding and end < config.vocab_size
        text = [_COMPARED_TOKEN, end if is_token else _COMPARED_TOKEN]
        alone = torch.tensor([text])
        padded = torch.nn.functional.pad(alone, (0, _COMPARED_PADDING), value=padding)
        mask = (torch.arange(padded.shape[1]) < len(text))[None].long()
        given = {"input_ids": padded, ATTENTION_MASK: mask}
        return ignores_padding(self.model, {"input_ids": alone}, given, MASK_TOLERANCE)


class SequenceClassifier(TextClassifier):
    """z = the logits of a Transformers model that predicts the class of a text."""

    kind: ClassVar[str] = "AutoModelForSequenceClassification"

    def forward(self, **inputs: Tensor) -> Tensor:
        """Return logits `[batch, classes]` of `input_ids` `[batch, position]` and other arguments of the model.

        Raises:
            MismatchError: when the model has no such argument.
        """
        return self.compute_logits(inputs)


def tokenizer_reader(
    path: str, kind: type[Tokens] = Tokens, model: type[TextClassifier] = SequenceClassifier
) -> Tokens | None:
    """Return a reader with the tokenizer of a model, for as many tokens as both allow; None for a folder without one.

    Args:
        path: folder or Hub id of the model.
        kind: class of the reader.
        model: class that wraps the model.

    Raises:
        ConfigError: when Transformers cannot load the tokenizer or the model.
    """
    # a Hub id cannot be looked at without a request, so Transformers is asked
    if Path(path).is_dir() and not any((Path(path) / name).is_file() for name in TOKENIZER_FILES):
        return None
    reader, allowed = kind(path).fitted(), count_positions(path, model)
    if allowed is None or ANY_LENGTH < reader.longest <= allowed:
        return reader
    return kind(path, allowed).fitted()


def count_positions(path: str, kind: type[TextClassifier] = SequenceClassifier) -> int | None:
    """Return how many tokens a model reads at once; None: any number.

    Args:
        path: folder or Hub id of the model.
        kind: class that wraps it.

    Raises:
        ConfigError: when Transformers cannot build the model.
    """
    config = read_config(path, "model")
    rows: int | None = getattr(config, "max_position_embeddings", None)
    if rows is None or rows < 1:  # XLNet has -1
        return None
    with torch.device("meta"):
        model = from_config(kind.kind, config, path, "model")
    # RoBERTa and others number positions from the row behind that of padding
    tables = [one for one in model.modules() if isinstance(one, nn.Embedding) and one.num_embeddings == rows]
    used = [one.padding_idx + 1 for one in tables if one.padding_idx is not None and rows != config.vocab_size]
    return rows - max(used, default=0)
