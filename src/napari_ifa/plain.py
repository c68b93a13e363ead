"""Words that come from outside, as they may be shown: they do nothing but say what they say.

Names of files, classes, series and patients may hold commands to a terminal, turn the direction of
the letters around, or hide some of them.
"""

from __future__ import annotations

import re

#: Letters of a sentence; a name from a file may be as long as the file.
LONGEST = 1000
_LAST = 300
#: Letters of a foreign text within a sentence.
MOST_TEXT = 200
#: Two parts of a path or more: where a file lies may name a person.
_FOLDERS = re.compile(r"(?:[A-Za-z]:)?(?:[\\/][^\\/\s'\":]+)*[\\/](?=[^\\/\s'\":]+)")


def plain(text: str) -> str:
    """``text`` with a space for each character that is not seen as itself.

    Those are the control characters (C0, C1, DEL), what changes the direction of the letters, what
    has no width, ends of lines, and code points that Unicode has not given away. Bytes of a file's
    name that are no text are shown as ``\\udcff``.
    """
    if text.isprintable():
        return text
    return "".join(_shown(character) for character in text)


def sentence(text: str) -> str:
    """The same on one line, cut in its middle where it is longer than a sentence can be."""
    line = " ".join(plain(text).split())
    if len(line) <= LONGEST:
        return line
    return f"{line[: LONGEST - _LAST - 3]} … {line[-_LAST:]}"


def reason(error: BaseException) -> str:
    """What an error says, for use within a sentence: its first line, without folders."""
    line = (str(error).strip().splitlines() or [""])[0] or type(error).__name__
    return shortened(_FOLDERS.sub("", line).rstrip(". "))


def shortened(text: object) -> str:
    """A foreign text, cut to a length that can be read."""
    whole = " ".join(str(text).split())
    return whole if len(whole) <= MOST_TEXT else f"{whole[:MOST_TEXT]}…"


def _shown(character: str) -> str:
    if character.isprintable():
        return character
    if "\ud800" <= character <= "\udfff":
        return f"\\u{ord(character):04x}"
    return " "
