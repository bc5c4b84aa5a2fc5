"""Data that a function of the user's returns, by `package.module:Name`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from torch import nn

from instar.calling import is_installed, refuse_arguments
from instar.config import DataConfig
from instar.errors import ConfigError, DataError, InstarError, shortened
from instar.importing import TypedName, import_object, is_import_path, names_an_import, require_trust


def names_a_function(source: str) -> bool:
    """Return whether data are named by the function that returns them, and not by a file of that name.

    >>> [names_a_function(source) for source in ("mine:load", "digits", "owner/name", "arrays")]
    [True, False, False, False]
    """
    return is_import_path(source) and not os.path.exists(source)


def refuse_untrusted(config: DataConfig, *, trust: bool) -> None:
    """Refuse data by a function that may not be imported, and arguments of one where there is none.

    Args:
        config: settings of the data; a source that somebody typed as a flag may be imported.
        trust: allow the import of any other.

    Raises:
        ConfigError: says how to allow it.
    """
    if names_a_function(config.source):
        require_trust(config.source, "data", trust=trust or isinstance(config.source, TypedName))
    elif config.source_arguments:
        raise ConfigError(f"'source_arguments' are those of a package.module:function, but '{config.source}' is none.")
    refuse_untrusted_transfer(config, trust=trust)


def refuse_untrusted_transfer(config: DataConfig, *, trust: bool) -> None:
    """Refuse a generator of rows by a function or class that may not be imported.

    Raises:
        ConfigError: says how to allow it.
    """
    made_by = config.transfer
    if made_by is not None and names_an_import(made_by) and not os.path.exists(made_by):
        require_trust(made_by, "transfer", trust=trust or isinstance(made_by, TypedName))


def call_source(config: DataConfig) -> Any:
    """Return what the function that `config.source` names returns; `refuse_untrusted` has allowed its import.

    Args:
        config: settings of the data, with the arguments of the function.

    Raises:
        ConfigError: when it cannot be imported, is no function of the user's, or its arguments do not fit.
        DataError: when it raises, or returns settings or another name in place of data.
    """
    name = config.source
    function = import_object(name, "data")
    if isinstance(function, type) and issubclass(function, nn.Module):
        raise ConfigError(f"data '{name}' are a class of models; data come first, then the teacher, then the model.")
    if not callable(function):
        raise ConfigError(f"data '{name}' must be a function that returns data, got {shortened(repr(function))}.")
    # a run folder gives the arguments too, so a function that removes files, say, would do what it says
    if not isinstance(name, TypedName) and is_installed(function):
        raise ConfigError(
            f"data '{name}' are a function of an installed package, and Instar calls no such function that a file "
            "names; call it in a function of your own, or type its name as the data."
        )
    refuse_arguments(function, f"data '{name}'", config.source_arguments, flag="--set data.source_arguments.")
    try:
        found = function(**config.source_arguments)
    except InstarError:
        raise
    except Exception as error:  # the code is the user's
        raise DataError(f"data '{name}' cannot be loaded: {type(error).__name__}: {shortened(error)}.") from error
    if isinstance(found, DataConfig) or (isinstance(found, str | Path) and names_a_function(str(found))):
        got = shortened(repr(found))
        raise DataError(f"data '{name}' must return a folder, a Hub id, arrays, a table or a data set, got {got}.")
    return found
