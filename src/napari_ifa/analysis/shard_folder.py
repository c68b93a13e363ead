"""The finished shards of an analysis on disk, so that an interrupted one can go on."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from pathlib import Path

from napari_ifa.analysis.fit.statistics import CaseStatistics
from napari_ifa.analysis.shard import Rows, Shard, load_measured, load_rows
from napari_ifa.atomic import whole_file
from napari_ifa.errors import AnalysisError, AnalysisMismatchError

_PLAN = "plan.json"
_DAMAGE = (OSError, ValueError, KeyError, IndexError, EOFError, zipfile.BadZipFile)


class ShardFolder:
    """A folder with one file per finished shard, and the plan that they belong to.

    Parameters
    ----------
    folder : made where there is none.
    plan : what the shards depend on, as named texts.

    Raises
    ------
    AnalysisMismatchError
        The folder holds shards of another plan; what differs is listed.
    AnalysisError
        The folder cannot be written.
    """

    def __init__(self, folder: Path, plan: Mapping[str, str]) -> None:
        self.folder = folder
        file = folder / _PLAN
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if file.is_file():
                self._check(json.loads(file.read_text(encoding="utf-8")), plan)
            else:
                with whole_file(file) as part:
                    part.write_text(json.dumps(dict(plan), indent=1), encoding="utf-8")
        except ValueError as error:
            raise AnalysisError(
                f"{folder.name} does not hold the finished part of an analysis; give an empty"
                " folder."
            ) from error
        except OSError as error:
            raise AnalysisError(
                f"{folder.name}: cannot be written ({error.strerror or error}); make space or"
                " choose another folder."
            ) from error

    def finished(self, number: int) -> Shard | None:
        """A finished shard; None where it is not there or damaged."""
        try:
            shard = Shard.load(self._file(number))
        except _DAMAGE:
            return None
        return shard if shard.number == number else None

    def kept(self, number: int) -> Shard:
        """A shard that was finished.

        Raises
        ------
        AnalysisError
            Where it is gone.
        """
        shard = self.finished(number)
        if shard is None:
            raise self._gone()
        return shard

    def kept_rows(self, number: int) -> Rows | None:
        """The rows alone of a shard that was finished; None where every case was skipped.

        Raises
        ------
        AnalysisError
            Where it is gone.
        """
        try:
            return load_rows(self._file(number))
        except _DAMAGE as error:
            raise self._gone() from error

    def kept_measured(self, number: int) -> CaseStatistics | None:
        """What a finished shard holds for the reference; None where every case was skipped.

        Raises
        ------
        AnalysisError
            Where it is gone.
        """
        try:
            return load_measured(self._file(number))
        except _DAMAGE as error:
            raise self._gone() from error

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
            kept = len(list(self.folder.glob("shard_*.npz")))
            hint = f"the first {kept} parts are kept, so make space and resume"
            raise AnalysisError(
                f"{self.folder.name}: cannot be written ({error.strerror or error});"
                f" {hint if kept else 'make space or choose another folder'}."
            ) from error

    def _gone(self) -> AnalysisError:
        return AnalysisError(
            f"A finished part in {self.folder.name} is gone; resume to compute it again."
        )

    def _file(self, number: int) -> Path:
        return self.folder / f"shard_{number:06d}.npz"

    def _check(self, stored: object, plan: Mapping[str, str]) -> None:
        if not isinstance(stored, dict):
            raise ValueError(_PLAN)
        different = [key for key, text in plan.items() if stored.get(key) != text]
        if different:
            raise AnalysisMismatchError(
                f"The interrupted analysis in {self.folder.name} was begun with another"
                f" {', '.join(different)}; go on with the same, or begin anew in another folder."
            )
