"""A file that appears whole or not at all."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole_file(target: Path) -> Iterator[Path]:
    """A path to write to; it becomes ``target`` when the block ends without an exception.

    The name keeps the target's suffix, since writers choose the format by it. Missing folders are
    made.

    Raises
    ------
    OSError
        Where the place cannot be written.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{uuid.uuid4().hex[:12]}.part.{target.name}")
    try:
        yield temporary
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


def reason_of(error: OSError) -> str:
    """Why a file could not be written, as ``" (No space left on device)"``; empty if unknown.

    A library's own error may stand before the system's, and may quote what was written.
    """
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.strerror:
            return f" ({cause.strerror})"
        cause = cause.__cause__ or cause.__context__
    return ""
