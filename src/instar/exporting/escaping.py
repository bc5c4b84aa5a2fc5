"""Escapes text of others (class names, paths, commands), so that no markup in it takes effect."""

from __future__ import annotations

import re

from instar.errors import one_line

_MARKUP = re.compile(r"([\\`*_{}\[\]<>#|~&:@$^!]|(?<=www)\.)", re.IGNORECASE)


def escape(text: object) -> str:
    r"""Return a text for Markdown: one line, with a backslash before every character that could be markup.

    Backslashes also keep plain addresses from becoming links. CommonMark, section 2.4, allows them before punctuation.

    >>> escape("<b>|a*")
    '\\<b\\>\\|a\\*'
    """
    return _MARKUP.sub(r"\\\1", one_line(text))
