"""Which class wraps a model of Transformers: the one of its architecture, or the one that reads the data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from instar.compute.inputs import Shapes
from instar.compute.packed import are_packed
from instar.data.columns.split_texts import SplitTexts
from instar.data.source import Source
from instar.errors import ConfigError
from instar.foreign import read_config
from instar.models.audio_classifier import AudioClassifier
from instar.models.causal_lm import CausalLM
from instar.models.image_classifier import ImageClassifier
from instar.models.readers.encoded import WORD_STARTS
from instar.models.sequence_classifier import SequenceClassifier, TextClassifier
from instar.models.token_classifier import TokenClassifier
from instar.models.transformers_classifier import TransformersClassifier


def kind_of_inputs(shape: Shapes) -> type[TextClassifier] | None:
    """Return the class for tensors that a reader of texts makes; None for other inputs, which several kinds may take.

    >>> kind_of_inputs({"input_ids": (8,), "word_starts": (-1,)}).__name__
    'TokenClassifier'
    """
    # a family that predicts the next word classifies texts too, and takes packed texts by name as well
    if not isinstance(shape, Mapping) or "input_ids" not in shape or are_packed(shape):
        return None
    return TokenClassifier if WORD_STARTS in shape else SequenceClassifier


def kind_of_data(source: Source) -> type[TextClassifier] | None:
    """Return the class for samples that are texts with a label, or words with a label each; None for other samples."""
    if any(isinstance(column, SplitTexts) for column in source.raw_inputs):
        return TokenClassifier
    return SequenceClassifier if source.input_texts else None


def choose_transformers_kind(path: str) -> type[CausalLM] | type[TransformersClassifier]:
    """Return the class that wraps a Transformers model: of its architecture if it names one, or of its kind.

    Raises:
        ConfigError: when it is neither a causal language model nor a classifier of images, texts or recordings.
    """
    config = read_config(path, "model")
    from transformers.models.auto import modeling_auto  # after the sentence that says how to install it

    kinds: dict[type[CausalLM] | type[TransformersClassifier], Mapping[str, Any]] = {
        CausalLM: modeling_auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
        ImageClassifier: modeling_auto.MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES,
        SequenceClassifier: modeling_auto.MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES,
        AudioClassifier: modeling_auto.MODEL_FOR_AUDIO_CLASSIFICATION_MAPPING_NAMES,
        TokenClassifier: modeling_auto.MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING_NAMES,
    }
    given = set(config.architectures or ())
    classes = {kind: _flatten(mapping.get(config.model_type)) for kind, mapping in kinds.items()}
    # one that names a model without a head, or nothing, is of the only kind that its family has; a family that predicts
    # the next word classifies texts too, and one that classifies texts classifies words
    of_family = [kind for kind in kinds if classes[kind] and kind is not TokenClassifier]
    found = [kind for kind in kinds if given & classes[kind]] or of_family[: 1 if of_family[:1] == [CausalLM] else None]
    if len(found) != 1:
        raise ConfigError(
            f"model '{path}' ({', '.join(given) or config.model_type}) must be a causal language model or a classifier "
            "of images, texts or recordings; give any other as a module, by package.module:Name."
        )
    return found[0]


def _flatten(names: str | tuple[str, ...] | None) -> set[str]:
    return {names} if isinstance(names, str) else set(names or ())
