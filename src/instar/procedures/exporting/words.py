"""Text of others (names of classes, paths, commands) that stays text wherever it is shown."""

from __future__ import annotations

import re

_MARKUP = re.compile(r"([\\`*_{}\[\]<>#|~&:@$^!]|(?<=www)\.)", re.IGNORECASE)


def one_line(text: object) -> str:
    r"""Return a text with its line ends, escape sequences and other invisible characters written out.

    >>> one_line("a\nb\x1b[31m")
    'a\\nb\\x1b[31m'
    """
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode("ascii") for letter in str(text)
    )


def markdown(text: object) -> str:
    r"""Return a text for Markdown: in one line, with a backslash before whatever could be markup inside a line.

    Any punctuation may have one (CommonMark, section 2.4); it keeps plain addresses from becoming links, too.

    >>> markdown("<b>|a*")
    '\\<b\\>\\|a\\*'
    """
    return _MARKUP.sub(r"\\\1", one_line(text))
