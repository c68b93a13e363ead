"""Words that come from a file, as they may stand on a terminal."""

from __future__ import annotations


def plain(text: str) -> str:
    """One line, whose characters do nothing but show: a name may hold commands to a terminal.

    Bytes of a name that are no text stay; standard output and error write them as escapes.
    """
    return "".join(c if c.isprintable() or "\ud800" <= c <= "\udfff" else " " for c in text)
