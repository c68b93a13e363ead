"""Standard output and error, which show what they are given and do nothing else."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO

from napari_ifa.plain import plain


class PlainStream(io.TextIOBase):
    """A text stream through which no character reaches the terminal that it would obey.

    ``terminal`` is the stream below, for those who move the cursor and say nothing of others.
    """

    def __init__(self, terminal: TextIO) -> None:
        self.terminal = terminal

    def write(self, text: str) -> int:
        """Write text, line by line."""
        self.terminal.write("\n".join(map(plain, text.split("\n"))))
        return len(text)

    def flush(self) -> None:
        self.terminal.flush()

    def isatty(self) -> bool:
        return self.terminal.isatty()

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self.terminal.fileno()

    @property
    def encoding(self) -> Any:  # type: ignore[override]
        """That of the stream below."""
        return getattr(self.terminal, "encoding", None)


def say(line: str) -> None:
    """One line on standard output, also where a name in it has an end of a line."""
    print(" ".join(line.splitlines()))


@contextmanager
def plain_streams() -> Iterator[None]:
    """Standard output and error are plain, and whoever stops reading them ends nothing loudly."""
    before = sys.stdout, sys.stderr
    # A terminal may lack characters that a description holds.
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    sys.stdout, sys.stderr = (
        stream if stream is None or isinstance(stream, PlainStream) else PlainStream(stream)
        for stream in before
    )
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before
        for stream in before:
            if stream is not None:
                _emptied(stream)


def _emptied(stream: TextIO) -> None:
    """Write what waits, or give it up: Python would complain of it at its end."""
    try:
        stream.flush()
    except (OSError, ValueError):
        with suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
