"""Text of others (names of classes, paths, commands) that stays text wherever it is shown."""

from __future__ import annotations

import re

from instar.errors import one_line

_MARKUP = re.compile(r"([\\`*_{}\[\]<>#|~&:@$^!]|(?<=www)\.)", re.IGNORECASE)


def markdown(text: object) -> str:
    r"""Return a text for Markdown: in one line, with a backslash before whatever could be markup inside a line.

    Any punctuation may have one (CommonMark, section 2.4); it keeps plain addresses from becoming links, too.

    >>> markdown("<b>|a*")
    '\\<b\\>\\|a\\*'
    """
    return _MARKUP.sub(r"\\\1", one_line(text))
