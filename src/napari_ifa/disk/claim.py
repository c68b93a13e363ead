"""One run at a time: a place that a run works on, kept from a second one.

The lock is the system's own, which ends with its process however that ends; where a file system
has none, `filelock` compares host, process number and start time. A note beside it says who runs,
for the one who has to wait.
"""

from __future__ import annotations

import hashlib
import json
import os
import socket
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

from napari_ifa.disk.cache import cache_folder, private_folder
from napari_ifa.disk.problems import PlaceProblem
from napari_ifa.errors import AlreadyRunningError


class Claim:
    """A lock file and the note beside it.

    Parameters
    ----------
    file : the lock; the note has the same name with ``.json``.
    """

    def __init__(self, file: Path) -> None:
        from filelock import FileLock

        self._lock = FileLock(file, timeout=0, thread_local=False)
        self._note = file.with_name(f"{file.name}.json")

    def take(self) -> bool:
        """Take the place; False where another process, or this one, has it already.

        Raises
        ------
        OSError
            Where the lock cannot be written.
        """
        from filelock import Timeout

        try:
            self._lock.acquire()
        except Timeout:
            return False
        now = datetime.now().astimezone().isoformat(timespec="seconds")
        who = {"pid": os.getpid(), "host": socket.gethostname(), "since": now}
        with suppress(OSError):
            self._note.write_text(json.dumps(who), encoding="utf-8")
        return True

    def release(self) -> None:
        """Let others have the place."""
        with suppress(OSError):
            self._note.unlink(missing_ok=True)
        self._lock.release()

    def taken(self) -> AlreadyRunningError:
        """The sentence for the one who has to wait: since when, by which process, and where."""
        try:
            who = json.loads(self._note.read_text(encoding="utf-8"))
            begun = datetime.fromisoformat(who["since"])
            host = "" if who["host"] == socket.gethostname() else f" on {who['host']}"
            found = {"since": begun, "process": int(who["pid"]), "host": who["host"]}
            since = f" since {begun:%Y-%m-%d %H:%M:%S} (process {int(who['pid'])}{host})"
        except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError):
            since, found = "", {}
        return AlreadyRunningError(
            f"Another run has been working on this place{since}; wait until it has ended, or"
            " choose another place for the results.",
            PlaceProblem.IN_USE,
            **found,
        )


@contextmanager
def claimed(target: Path) -> Iterator[None]:
    """Keep a file or folder that is to be written from other runs of this user.

    Raises
    ------
    AlreadyRunningError
        Another run has it.
    """
    claim = Claim(private_folder(cache_folder() / "runs") / f"{_key(target)}.lock")
    if not claim.take():
        raise claim.taken()
    try:
        yield
    finally:
        claim.release()


def _key(target: Path) -> str:
    """The same for all spellings of one place: through links, and in another case."""
    plain = unicodedata.normalize("NFC", os.path.realpath(target)).casefold()
    return hashlib.sha256(plain.encode("utf-8", "surrogateescape")).hexdigest()[:32]
