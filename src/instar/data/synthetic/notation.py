"""Generators as text, which a configuration holds."""

from __future__ import annotations

import os

from instar.data.synthetic.generator import RowGenerator
from instar.data.synthetic.marginals import Marginals
from instar.data.synthetic.munge import Munge
from instar.data.synthetic.naive_bayes import NaiveBayes
from instar.data.synthetic.row_function import RowFunction
from instar.data.synthetic.smearing import Smearing
from instar.data.synthetic.unlabelled_table import UnlabelledTable
from instar.errors import ConfigError, nearest
from instar.expressions import parse
from instar.importing import is_import_path, names_an_import

GENERATORS: dict[str, type[RowGenerator]] = {
    generator.__name__: generator for generator in (Munge, Smearing, NaiveBayes, Marginals)
}
"""Generators by their names in a configuration; add one line for a new generator."""

_PLAIN_NAMES = dict(zip(("munge", "smearing", "naive-bayes", "marginals"), GENERATORS.values(), strict=True))


def parse_generator(text: str | RowGenerator, *, trust: bool = False) -> RowGenerator:
    """Return a generator of rows.

    Args:
        text: a generator by its name, such as "munge" or "Munge(0.2)"; a file of rows, a folder or a Hub id; or
            `package.module:function`, or a frozen dataclass `package.module:Name(...)` that derives from
            `RowGenerator`. An object is returned as it is.
        trust: allow the import of what is the user's.

    Raises:
        ConfigError: when it is none of these.

    >>> parse_generator("munge"), parse_generator("Smearing(0.25)")
    (Munge(probability=0.5, divisor=1.0), Smearing(probability=0.25))
    >>> parse_generator("mung")
    Traceback (most recent call last):
    instar.errors.ConfigError: 'mung' is no generator of rows, no file and no package.module:function; did you mean \
'munge'?
    """
    if isinstance(text, RowGenerator):
        return text
    if text in _PLAIN_NAMES:
        return _PLAIN_NAMES[text]()
    if os.path.exists(text):
        return UnlabelledTable(text)
    if is_import_path(text):
        return RowFunction.of(text, trust=trust)
    if "(" in text or text in GENERATORS or names_an_import(text):
        found = parse(text, GENERATORS, "generator", kind=RowGenerator, trust=trust)
        if not isinstance(found, RowGenerator):
            raise ConfigError(f"generator '{text}' must be one generator, for example 'Munge(0.5)'.")
        return found
    if text.count("/") == 1:  # the Hub's form of names
        return UnlabelledTable(text)
    raise ConfigError(
        f"'{text}' is no generator of rows, no file and no package.module:function; {nearest(text, _PLAIN_NAMES)}"
    )
