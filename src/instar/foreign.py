"""What Transformers reads from a folder or the Hub: models, tokenizers, processors. Code that lies there is not run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from instar.errors import ConfigError, InstarError


def from_pretrained(
    kind: str, source: str, what: str, *, raises: type[InstarError] = ConfigError, **options: Any
) -> Any:
    """Return `transformers.<kind>.from_pretrained(source)`; a folder that wants code of its own to be run is refused.

    Args:
        kind: a class of Transformers, such as "AutoConfig", "AutoTokenizer" or "AutoProcessor".
        source: folder or Hub id.
        what: the words for it in errors, such as "model".
        raises: the kind of error.
        options: further arguments.

    Raises:
        InstarError: when transformers is missing, or cannot read what is there without running code.
    """
    load = getattr(_transformers(what, source, raises), kind).from_pretrained
    # without this argument Transformers asks on stdin whether the code is to be run
    return _read(lambda: load(source, trust_remote_code=False, **options), what, source, raises)


def from_config(kind: str, config: Any, source: str, what: str, **options: Any) -> Any:
    """Return `transformers.<kind>.from_config(config)`, with new weights.

    Raises:
        ConfigError: when transformers cannot make it without running code.
    """
    make = getattr(_transformers(what, source, ConfigError), kind).from_config
    return _read(lambda: make(config, trust_remote_code=False, **options), what, source, ConfigError)


def read_config(source: str, what: str) -> Any:
    """Return the configuration of a model.

    Raises:
        ConfigError: when it cannot be read, or names a kernel of the Hub, which is code.
    """
    config = from_pretrained("AutoConfig", source, what)
    named = [getattr(config, name, None) for name in config.sub_configs]
    for part in (config, *(part for part in named if part is not None)):
        for setting in ("_attn_implementation", "_experts_implementation"):
            if "/" in str(getattr(part, setting, None)):
                raise ConfigError(
                    f"{what} '{source}' names a kernel of the Hub ({setting.lstrip('_')} '{getattr(part, setting)}'), "
                    "which is code, and Instar runs none of a model's folder; load the model yourself, and give it as "
                    "a Python object."
                )
    return config


def _transformers(what: str, source: str, raises: type[InstarError]) -> Any:
    try:
        import transformers
    except ImportError:
        raise raises(f"{what} '{source}' needs the extra: pip install 'instar[transformers]'.") from None
    return transformers


def _read(load: Callable[[], Any], what: str, source: str, raises: type[InstarError]) -> Any:
    try:
        return load()
    except Exception as error:  # a dozen kinds, of Transformers, of its tokenizers and of what they import
        if "trust_remote_code" in str(error):
            reason = (
                "it wants code of its own to be run, which Instar does not do; load it yourself, and give it as a "
                "Python object"
            )
        else:
            reason = " ".join(str(error).strip().partition("\n")[0].split())[:300].rstrip(". ") or type(error).__name__
        raise raises(f"{what} '{source}' cannot be loaded by transformers: {reason}.") from None
