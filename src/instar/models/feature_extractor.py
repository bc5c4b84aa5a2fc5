"""The feature extractor of a Transformers model as a reader."""

from __future__ import annotations

import json

from instar.errors import ConfigError
from instar.foreign import from_pretrained
from instar.models.readers.extracted import Extracted

_LEFT_OUT = ("_name_or_path", "processor_class", "transformers_version")  # say nothing about features


def extractor_reader(path: str) -> Extracted:
    """Return a reader that does what the feature extractor of an audio model does.

    Raises:
        ConfigError: when transformers cannot load it, or it is none for sound.
    """
    extractor = from_pretrained("AutoFeatureExtractor", path, "the feature extractor of model")
    if not hasattr(extractor, "sampling_rate"):
        raise ConfigError(f"the feature extractor of model '{path}' ({type(extractor).__name__}) reads no sound.")
    settings = {name: value for name, value in extractor.to_dict().items() if name not in _LEFT_OUT}
    return Extracted(json.dumps(settings, sort_keys=True))
