"""How models of Transformers and timm read inputs: their processors and tokenizers as readers."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from instar.config import ModelConfig
from instar.data.source import Source
from instar.importing import LIBRARY_PREFIXES, names_an_import
from instar.models.audio_classifier import AudioClassifier
from instar.models.causal_lm import TRANSFORMERS_PREFIX
from instar.models.feature_extractor import extractor_reader
from instar.models.image_classifier import ImageClassifier
from instar.models.image_processor import processor_reader
from instar.models.readers.as_is import AsIs
from instar.models.readers.notation import parse_reader
from instar.models.readers.reader import Reader
from instar.models.sequence_classifier import SequenceClassifier, tokenizer_reader
from instar.models.timm_classifier import TIMM_PREFIX, timm_reader
from instar.models.token_classifier import TokenClassifier, word_reader
from instar.models.transformers_kinds import choose_transformers_kind, kind_of_data

_READERS: Mapping[type, Callable[[str], Reader | None]] = {
    ImageClassifier: processor_reader,
    AudioClassifier: extractor_reader,
    SequenceClassifier: tokenizer_reader,
    TokenClassifier: word_reader,
}


def transformers_reader(kind: type, path: str) -> Reader | None:
    """Return the reader of a Transformers model; None: it reads the inputs of the data as they are.

    Args:
        kind: class that wraps the model.
        path: folder or Hub id of the model.

    Raises:
        ConfigError: when Transformers cannot load its processor or tokenizer, or no reader does the same.
    """
    return _READERS[kind](path) if kind in _READERS else None


def choose_reader(model: ModelConfig, reader: str, source: Source | None = None) -> str:
    """Return the text of the reader of a student: that of its library, where the run names none.

    Args:
        model: model of the student.
        reader: reader that the run names, or `AsIs()`.
        source: data of the run; None: they are no texts.

    >>> choose_reader(ModelConfig(name="mlp"), "Pixels(8)")
    'Pixels(8)'
    """
    # one of the user's is named, and is not imported to find that out
    if not model.name.startswith(LIBRARY_PREFIXES) or names_an_import(reader) or parse_reader(reader) != AsIs():
        return reader
    if model.name.startswith(TIMM_PREFIX):
        return str(timm_reader(model.name.removeprefix(TIMM_PREFIX)))
    path = model.name.removeprefix(TRANSFORMERS_PREFIX)
    # a model without a head may be of several kinds, and the data tell which
    of_data = None if source is None else kind_of_data(source)
    kind = of_data or choose_transformers_kind(path)
    if kind is SequenceClassifier and of_data is None:  # the data hold numbers of tokens
        return reader
    found = transformers_reader(kind, path)
    return reader if found is None else str(found)
