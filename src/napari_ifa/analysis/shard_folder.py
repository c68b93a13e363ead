"""The finished shards of an analysis on disk, so that an interrupted one can go on."""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from napari_ifa.analysis.problems import AnalysisProblem
from napari_ifa.analysis.shard import Shard, cases_in
from napari_ifa.disk import Claim, reason_of, whole_file
from napari_ifa.errors import AnalysisError, AnalysisMismatchError

_Part = TypeVar("_Part")

_PLAN, _LOCK = "plan.json", "running.lock"
_SHARD = re.compile(r"shard_\d{6,}\.npz")
_DAMAGE = (OSError, ValueError, KeyError, IndexError, EOFError, zipfile.BadZipFile)


def finished_parts(folder: Path) -> list[Path]:
    """The files of the finished shards in a folder; none where there is no folder."""
    return sorted(file for file in folder.glob("shard_*.npz") if _SHARD.fullmatch(file.name))


def finished_cases(folder: Path) -> int:
    """Cases of the finished shards in a folder, the skipped ones among them."""
    cases = 0
    for file in finished_parts(folder):
        with suppress(*_DAMAGE):
            cases += cases_in(file)
    return cases


def remove_parts(folder: Path) -> None:
    """Remove the shards in a folder and what else is of them; what is not ours stays.

    All of it stays where another analysis is writing to the folder.
    """
    if not folder.is_dir():
        return
    with suppress(OSError):
        claim = Claim(folder / _LOCK)
        if not claim.take():
            return
        try:
            for file in (*finished_parts(folder), folder / _PLAN):
                file.unlink(missing_ok=True)
        finally:
            claim.release()
            (folder / _LOCK).unlink(missing_ok=True)
        folder.rmdir()


class ShardFolder:
    """A folder with one file per finished shard, and the plan that they belong to.

    Parameters
    ----------
    folder : made where there is none.
    plan : what the shards depend on, as named texts.

    Raises
    ------
    AlreadyRunningError
        Another analysis is writing to the folder.
    AnalysisMismatchError
        The folder holds shards of another plan; what differs is listed.
    AnalysisError
        The folder cannot be written.
    """

    def __init__(self, folder: Path, plan: Mapping[str, str]) -> None:
        self.folder = folder
        self._claim = Claim(folder / _LOCK)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if not self._claim.take():
                raise self._claim.taken()
            self._begin(plan)
        except ValueError as error:
            self.close()
            raise AnalysisError(AnalysisProblem.NO_PARTS_FOLDER, folder=folder.name) from error
        except OSError as error:
            self.close()
            raise AnalysisError(
                AnalysisProblem.FOLDER_NOT_WRITTEN, folder=folder.name, reason=reason_of(error)
            ) from error
        except AnalysisError:
            self.close()
            raise

    def __enter__(self) -> ShardFolder:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let another analysis write to the folder."""
        self._claim.release()
        with suppress(OSError):
            (self.folder / _LOCK).unlink(missing_ok=True)

    def _begin(self, plan: Mapping[str, str]) -> None:
        file = self.folder / _PLAN
        if file.is_file():
            self._check(json.loads(file.read_text(encoding="utf-8")), plan)
            return
        if finished_parts(self.folder):
            raise AnalysisMismatchError(
                AnalysisProblem.NO_PLAN, folder=self.folder.name, plan=_PLAN
            )
        with whole_file(file, None) as part:
            part.write_text(json.dumps(dict(plan), indent=1), encoding="utf-8")

    def finished(self, number: int) -> Shard | None:
        """A finished shard; None where it is not there or damaged."""
        try:
            shard = Shard.load(self._file(number))
        except _DAMAGE:
            return None
        return shard if shard.number == number else None

    def kept(self, number: int, read: Callable[[Path], _Part]) -> _Part:
        """What ``read`` finds in the file of a shard that was finished.

        Raises
        ------
        AnalysisError
            Where it is gone.
        """
        try:
            return read(self._file(number))
        except _DAMAGE as error:
            raise AnalysisError(AnalysisProblem.PART_GONE, folder=self.folder.name) from error

    def keep(self, shard: Shard) -> None:
        """Write a finished shard.

        Raises
        ------
        AnalysisError
            Where there is no space or no right to write.
        """
        try:
            shard.save(self._file(shard.number))
        except OSError as error:
            kept = len(finished_parts(self.folder))
            kind = AnalysisProblem.PART_NOT_WRITTEN if kept else AnalysisProblem.FOLDER_NOT_WRITTEN
            raise AnalysisError(
                kind, folder=self.folder.name, reason=reason_of(error), kept=kept
            ) from error

    def size(self, numbers: Iterable[int]) -> int:
        """Bytes of finished shards, in which nothing is compressed."""
        files = map(self._file, numbers)
        return sum(file.stat().st_size for file in files if file.is_file())

    def _file(self, number: int) -> Path:
        return self.folder / f"shard_{number:06d}.npz"

    def _check(self, stored: object, plan: Mapping[str, str]) -> None:
        if not isinstance(stored, dict):
            raise ValueError(_PLAN)
        different = [key for key, text in plan.items() if stored.get(key) != text]
        if different:
            raise AnalysisMismatchError(
                AnalysisProblem.OTHER_PLAN,
                different=different,
                file=self.folder.name,
                differs=", ".join(different),
            )
