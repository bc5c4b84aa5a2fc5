"""Loading of Transformers models, tokenizers and processors from a folder or the Hub, without running their code."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from instar.errors import ConfigError, InstarError


def from_pretrained(
    kind: str, source: str, what: str, *, raises: type[InstarError] = ConfigError, **options: Any
) -> Any:
    """Return `transformers.<kind>.from_pretrained(source)`; refuse a folder whose own code would have to run.

    Args:
        kind: class name in Transformers, such as "AutoConfig", "AutoTokenizer" or "AutoProcessor".
        source: folder or Hub id.
        what: noun for error messages, such as "model".
        raises: class of the error.
        options: further arguments of `from_pretrained`.

    Raises:
        InstarError: when transformers is not installed, or cannot load the source without running its code.
    """
    load = getattr(_transformers(what, source, raises), kind).from_pretrained
    # without trust_remote_code=False, Transformers asks on stdin whether to run the code
    return _read(lambda: load(source, trust_remote_code=False, **options), what, source, raises)


def from_weights(kind: str, source: str, config: Any) -> tuple[Any, set[str]]:
    """Return a model of Transformers in float32, and the names of the weights that its folder lacks.

    Transformers fills those with random numbers, so the caller must refuse them or say so.

    Raises:
        ConfigError: when transformers is not installed, or cannot load the weights.
    """
    # only safetensors, because loading other formats unpickles them
    options = {"config": config, "use_safetensors": True, "dtype": "float32", "output_loading_info": True}
    with _quiet():  # its table of missing weights, which the caller says in a sentence
        model, report = from_pretrained(kind, source, "model", **options)
    return model, set(report["missing_keys"])


def from_config(kind: str, config: Any, source: str, what: str, **options: Any) -> Any:
    """Return `transformers.<kind>.from_config(config)`, a model with new weights.

    Raises:
        ConfigError: when transformers cannot build the model without running its code.
    """
    make = getattr(_transformers(what, source, ConfigError), kind).from_config
    return _read(lambda: make(config, trust_remote_code=False, **options), what, source, ConfigError)


def make_extractor(settings: Mapping[str, Any]) -> Any:
    """Return the feature extractor of Transformers that settings of `preprocessor_config.json` describe.

    Raises:
        ConfigError: when transformers is not installed, has no such class, or it cannot be made.
    """
    name = str(settings.get("feature_extractor_type"))
    transformers = _transformers("feature extractor", name, ConfigError)
    kind = getattr(transformers, name, None)
    # a file may name any class
    if not isinstance(kind, type) or not issubclass(kind, transformers.SequenceFeatureExtractor):
        raise ConfigError(f"transformers has no feature extractor '{name}' of sound.")
    make: Any = kind
    return _read(lambda: make.from_dict(dict(settings)), "feature extractor", name, ConfigError)


def read_config(source: str, what: str) -> Any:
    """Return the configuration of a Transformers model.

    Raises:
        ConfigError: when it cannot be read, or names a kernel on the Hub, which is code.
    """
    config = from_pretrained("AutoConfig", source, what)
    named = [getattr(config, name, None) for name in config.sub_configs]
    for part in (config, *(part for part in named if part is not None)):
        for setting in ("_attn_implementation", "_experts_implementation"):
            if "/" in str(getattr(part, setting, None)):
                raise ConfigError(
                    f"{what} '{source}' needs a kernel from the Hub ({setting.lstrip('_')} "
                    f"'{getattr(part, setting)}'), which is code, and Instar does not run code from a model's folder; "
                    "load the model yourself and pass it as a Python object."
                )
    return config


@contextmanager
def _quiet() -> Iterator[None]:
    try:
        from transformers.utils import logging as messages
    except ImportError:  # told by whoever loads
        yield
        return
    before = messages.get_verbosity()
    messages.set_verbosity(logging.ERROR)
    try:
        yield
    finally:
        messages.set_verbosity(before)


def _transformers(what: str, source: str, raises: type[InstarError]) -> Any:
    try:
        import transformers
    except ImportError:
        raise raises(f"{what} '{source}' needs the extra: pip install 'instar[transformers]'.") from None
    # stderr is for what a user must know
    transformers.utils.logging.disable_progress_bar()  # type: ignore[no-untyped-call]  # the library lacks types
    return transformers


def _read(load: Callable[[], Any], what: str, source: str, raises: type[InstarError]) -> Any:
    try:
        return load()
    except Exception as error:  # Transformers, its tokenizers and their imports raise a dozen classes
        if "trust_remote_code" in str(error):
            reason = "Instar does not run its code; load it yourself and pass it as a Python object"
        else:
            reason = " ".join(str(error).strip().partition("\n")[0].split())[:300].rstrip(". ") or type(error).__name__
        taken = "" if os.path.isdir(source) else f". '{source}' is no folder here, so it was taken for a Hub id"
        raise raises(f"transformers cannot load {what} '{source}': {reason}{taken}.") from None
