"""A home, a folder for temporary files and places for results, in which commands run and die.

Starting Python and torch takes seconds, so commands run in forked children of a process that has
imported everything already; each is its own process, with its own register and its own locks.
"""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import time
import weakref
from dataclasses import dataclass
from pathlib import Path

from napari_ifa.disk import WorkFolder


@dataclass(frozen=True)
class Sandbox:
    """``root`` holds the results; ``home`` the cache, perhaps on another disk."""

    root: Path
    home: Path

    @property
    def temporary(self) -> Path:
        return self.root / "tmp"

    def files(self) -> dict[str, bytes]:
        """All there is, by its path, but the product's own cache folder."""
        cache = self.home / ".cache"
        found: dict[str, bytes] = {}
        for place in {self.root, self.home}:
            for path in sorted(place.rglob("*")):
                if not path.is_file() or path.is_relative_to(cache):
                    continue
                content = path.read_bytes()
                # Python tries the folder for temporary files by a file of this word.
                if path.parent != self.temporary or content not in (b"", b"blat"):
                    found[str(path.relative_to(place))] = content
        return found

    def left_in_cache(self) -> list[str]:
        """What is in the cache folder beside locks and their notes."""
        cache = self.home / ".cache"
        names = [str(path.relative_to(cache)) for path in cache.rglob("*") if path.is_file()]
        return [name for name in names if not name.endswith((".lock", ".lock.json"))]

    def run(self, words: list[str], kill_after: float | None = None) -> tuple[int, float]:
        """Run a command in a child; its exit code, −9 where it was killed, and its seconds."""
        sys.stdout.flush()
        child = os.fork()
        begun = time.monotonic()
        if child == 0:
            os._exit(self._in_child(words))
        if kill_after is not None:
            while time.monotonic() < begun + kill_after:
                done, status = os.waitpid(child, os.WNOHANG)
                if done:
                    return os.waitstatus_to_exitcode(status), time.monotonic() - begun
                time.sleep(0.001)
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        return os.waitstatus_to_exitcode(status), time.monotonic() - begun

    def _in_child(self, words: list[str]) -> int:
        from napari_ifa.cli import main

        made = _work_folders()
        os.environ.pop("NAPARI_IFA_CACHE_DIR", None)
        os.environ.pop("XDG_CACHE_HOME", None)
        os.environ |= {"HOME": str(self.home), "TMPDIR": str(self.temporary)}
        tempfile.tempdir = None
        os.chdir(self.root)
        said = os.open(self.root.parent / "said.txt", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(said, 1)
        os.dup2(said, 2)
        try:
            code = main(words)
        except SystemExit as error:
            code = int(error.code or 0)
        except BaseException:
            import traceback

            traceback.print_exc()
            code = 70
        # As Python's own exit does, which a forked child does not come to.
        for folder in list(made):
            folder.remove()
        sys.stdout.flush()
        sys.stderr.flush()
        return code


def _work_folders() -> weakref.WeakSet[WorkFolder]:
    """The folders of work in progress made from now on, for as long as something holds them."""
    made: weakref.WeakSet[WorkFolder] = weakref.WeakSet()
    make = WorkFolder.__init__

    def noted(self: WorkFolder, place: Path) -> None:
        make(self, place)
        made.add(self)

    WorkFolder.__init__ = noted  # type: ignore[method-assign]
    return made


def warm() -> None:
    """Import what commands import when they need it."""
    import distributed  # noqa: F401
    import h5netcdf  # noqa: F401
    import highdicom  # noqa: F401
    import matplotlib.figure
    import monai.transforms  # noqa: F401
    import sklearn.decomposition  # noqa: F401
    import torch  # noqa: F401
    import xarray

    from napari_ifa import samples
    from napari_ifa.models import load_classifier

    load_classifier(samples.bundle("clean"))
    _ = matplotlib.figure.Figure, xarray.Dataset
