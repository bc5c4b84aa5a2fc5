"""Text classifiers of Transformers, from a local folder or the Hub."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from instar.compute.inputs import Shapes, describe_shapes
from instar.errors import MismatchError, nearest
from instar.foreign import from_config, read_config
from instar.models.readers.encoded import ANY_LENGTH
from instar.models.readers.tokens import Tokens
from instar.models.saved_tokenizer import TOKENIZER_FILES
from instar.models.transformers_classifier import TransformersClassifier


class SequenceClassifier(TransformersClassifier):
    """z = the logits of a Transformers model for texts, called with its arguments by name, such as `input_ids`.

    See `TransformersClassifier` for its classes.
    """

    kind: ClassVar[str] = "AutoModelForSequenceClassification"

    def check_inputs(self, shape: Shapes, config: Any) -> None:
        """Refuse a single tensor, because the padding of texts needs a mask, and texts longer than the model allows."""
        if not isinstance(shape, Mapping) or "input_ids" not in shape:
            raise MismatchError(
                f"model '{self.path}' takes input_ids and a mask of their padding (attention_mask) by name, got inputs "
                f"of shape {describe_shapes(shape)}; give them as {{'input_ids': ..., 'attention_mask': ...}}."
            )
        allowed = getattr(config, "max_position_embeddings", None)
        if allowed is not None and shape["input_ids"][0] > allowed:
            raise MismatchError(
                f"model '{self.path}' allows {allowed} positions, but the data have {shape['input_ids'][0]}."
            )

    def forward(self, **inputs: Tensor) -> Tensor:
        """Return logits `[batch, classes]` of `input_ids` `[batch, position]` and other arguments of the model.

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
        return self.in_order(self.model(**given).logits)


def tokenizer_reader(path: str) -> Tokens | None:
    """Return a reader with the tokenizer of a model, for as many tokens as both allow; None for a folder without one.

    Raises:
        ConfigError: when Transformers cannot load the tokenizer or the model.
    """
    # a Hub id cannot be looked at without a request, so Transformers is asked
    if Path(path).is_dir() and not any((Path(path) / name).is_file() for name in TOKENIZER_FILES):
        return None
    reader, allowed = Tokens(path).fitted(), count_positions(path)
    if allowed is None or ANY_LENGTH < reader.longest <= allowed:
        return reader
    return Tokens(path, allowed).fitted()


def count_positions(path: str) -> int | None:
    """Return how many tokens a model reads at once; None: any number.

    Raises:
        ConfigError: when Transformers cannot build the model.
    """
    config = read_config(path, "model")
    rows: int | None = getattr(config, "max_position_embeddings", None)
    if rows is None:
        return None
    with torch.device("meta"):
        model = from_config(SequenceClassifier.kind, config, path, "model")
    # RoBERTa and others number positions from the row behind that of padding
    tables = [one for one in model.modules() if isinstance(one, nn.Embedding) and one.num_embeddings == rows]
    used = [one.padding_idx + 1 for one in tables if one.padding_idx is not None and rows != config.vocab_size]
    return rows - max(used, default=0)
