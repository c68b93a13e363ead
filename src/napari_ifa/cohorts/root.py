"""The folder that a cohort's paths start from and must not lead out of."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from napari_ifa.cohorts.problems import ListProblem
from napari_ifa.errors import CohortError


class Root:
    """Resolves paths below a folder.

    Parents are resolved once each and a file only where it is a link: a cohort has many files in
    few folders.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._real = folder.resolve()
        self._parents: dict[str, Path] = {}

    def path(self, relative: str | os.PathLike[str], where: str) -> Path:
        """The real path of ``relative``, which need not exist.

        Raises
        ------
        CohortError
            Where it is no path, or leads out of the folder, be it by a link; ``where`` it stands
            begins the sentence.
        """
        text = os.fspath(relative)
        head, tail = os.path.split(text)
        try:
            if tail in ("", os.curdir, os.pardir):
                return self._below((self.folder / text).resolve(), where)
            if head not in self._parents:
                self._parents[head] = self._below((self.folder / head).resolve(), where)
            path = self._parents[head] / tail
            return self._below(path.resolve(), where) if _is_link(path) else path
        except (ValueError, OSError, RuntimeError) as error:
            raise CohortError(ListProblem.NOT_A_PATH, where=where) from error

    def _below(self, path: Path, where: str) -> Path:
        if not path.is_relative_to(self._real):
            raise CohortError(ListProblem.LEADS_OUT, where=where)
        return path


def _is_link(path: Path) -> bool:
    # Path.is_symlink would call a name that no file can have no link.
    try:
        return stat.S_ISLNK(os.lstat(path).st_mode)
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return False
