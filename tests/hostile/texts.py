"""Words that do harm where they are shown, written or taken for something else."""

from __future__ import annotations

import random

TEXTS = [
    "\x1b[2J\x1b[31mgone",
    "\x1b]0;title\x07",
    "\x9b2J",
    "two\nlines\r\nand a return\rover",
    "back\x08\x08\x08space \x7f \x00 nul",
    "right\u202eto left\u202c",
    "\u2066isolated\u2069 \u200b\u200d\ufeff nothing",
    "line\u2028separator\u2029",
    "<b>bold</b><img src=x onerror=alert(1)>",
    "<script>document.title='x'</script>",
    "=cmd|' /C calc'!A0",
    "@SUM(1+9)*cmd",
    "../../outside",
    "%s %d {0} {name} $HOME `id`",
    "caf\u00e9 \u65e5\u672c \U0001f600",
    "undecodable \udce9\udcff",
    "a" * 5000,
    "",
    " ",
    "-",
    "--help",
    "nan",
]


def text(dice: random.Random) -> str:
    """One of them, or several after one another."""
    return "".join(dice.choices(TEXTS, k=dice.choice([1, 1, 2])))


def name(dice: random.Random) -> str:
    """One that a file may be called."""
    said = text(dice).replace("/", "_").replace("\0", "_")
    # A file's name has 255 bytes at most.
    return said.encode("utf-8", "surrogateescape")[:120].decode("utf-8", "surrogateescape") or "x"
