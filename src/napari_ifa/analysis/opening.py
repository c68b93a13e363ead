"""An analysis file, opened and checked: refused in one sentence where it cannot be right."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import xarray as xr

from napari_ifa.analysis.contradictions import contradictions
from napari_ifa.analysis.formulas import older_formula
from napari_ifa.analysis.identity import IDENTITY, LATER, attribute_of
from napari_ifa.analysis.migration import migrated
from napari_ifa.analysis.problems import AnalysisProblem
from napari_ifa.analysis.store import Analysis
from napari_ifa.analysis.variables import (
    COMPARED,
    COORDINATES,
    FORMAT_VERSION,
    OPTIONAL,
    VARIABLES,
    dimensions,
    of_target,
)
from napari_ifa.analysis.whole import check_whole
from napari_ifa.errors import AnalysisError, AnalysisMismatchError
from napari_ifa.memory import free_memory, in_gib, memory_said
from napari_ifa.models.targets import LOGIT

if TYPE_CHECKING:
    from napari_ifa.models.classifier import Classifier

#: Rows of cases beyond this stay in the file and are read when they are asked for.
_HELD_BYTES = 2**25


@memory_said(
    AnalysisError,
    "read this analysis",
    "close other programs, or use a computer with more memory",
)
def load_analysis(path: str | Path, classifier: Classifier | None = None) -> Analysis:
    """Read an analysis file and, given a model, check that it belongs to it.

    Raises
    ------
    AnalysisError
        Where the file is missing, damaged, of another kind or of a newer version.
    AnalysisMismatchError
        Where it was made with another model, or with a formula that was corrected since.
    """
    file = existing_analysis(path)
    try:
        analysis = _read(file)
    except AnalysisError:
        raise
    except PermissionError as error:
        raise AnalysisError(AnalysisProblem.NO_PERMISSION, file=file.name) from error
    # What HDF5, h5netcdf and xarray raise on a damaged file has many types.
    except Exception as error:
        raise AnalysisError(AnalysisProblem.DAMAGED, file=file.name) from error
    if classifier is not None:
        analysis.check(classifier)
    return analysis


def existing_analysis(path: str | Path) -> Path:
    """A file that may be an analysis; it is not looked into.

    Raises
    ------
    AnalysisError
        Where there is none.
    """
    file = Path(path)
    try:
        file = file.expanduser()
        is_file = file.is_file()
    except (OSError, ValueError, RuntimeError):  # a name that none can have, or nobody's home
        is_file = False
    if not is_file:
        raise AnalysisError(AnalysisProblem.NO_FILE, file=file.name)
    return file


def _read(file: Path) -> Analysis:
    check_whole(file)
    content, held = _opened(file)
    try:
        whole = _checked(content, file.name)
        return Analysis(
            of_target(whole, LOGIT),
            None if held else file,
            whole=whole if COMPARED in whole.coords else None,
        )
    except BaseException:
        content.close()
        raise


def _checked(dataset: xr.Dataset, name: str) -> xr.Dataset:
    """The content as the present version has it; refused where that cannot be."""
    version = dataset.attrs.get("format_version")
    if version is None:
        raise AnalysisError(AnalysisProblem.NO_ANALYSIS_FILE, file=name)
    if not str(version).isdecimal() or int(version) > FORMAT_VERSION:
        raise AnalysisError(
            AnalysisProblem.NEWER, version=str(version), name=name, newest=FORMAT_VERSION
        )
    try:
        dataset = migrated(dataset, int(version))
    except (KeyError, ValueError) as error:
        raise AnalysisError(AnalysisProblem.NOT_WHOLE, file=name, version=version) from error
    for wrong in islice(_wrong(dataset), 1):
        raise AnalysisError(AnalysisProblem.WRONG_CONTENT, what=wrong, name=name)
    if (why := older_formula(dataset.attrs)) is not None:
        raise AnalysisMismatchError(AnalysisProblem.OTHER_FORMULA, file=name, why=why)
    return dataset


def _wrong(dataset: xr.Dataset) -> Iterator[str]:
    """What is missing or cannot be, by name; each relies on those before it."""
    for name in VARIABLES:
        expected = dimensions(name, COMPARED in dataset.coords)
        if (name in dataset and dataset[name].dims != expected) or not (
            name in dataset or name in OPTIONAL
        ):
            yield name
    needed = ("method", *(attribute_of(key) for key in IDENTITY if key not in LATER))
    yield from (name for name in needed if name not in dataset.attrs)
    yield from (name for name in COORDINATES if name not in {COMPARED, *dataset.coords})
    yield from contradictions(dataset)


def _opened(file: Path) -> tuple[xr.Dataset, bool]:
    """The file's content, and whether all of it is in memory; large rows stay in the file."""
    opened = xr.open_dataset(file, engine="h5netcdf", cache=False)
    needed = sum(v.nbytes for v in opened.variables.values() if "case" not in v.dims)
    if needed > (free := free_memory()):
        raise AnalysisError(
            AnalysisProblem.TOO_LARGE,
            bytes=needed,
            file=file.name,
            needed=in_gib(needed),
            free=in_gib(free),
        )
    rows = [name for name, variable in opened.items() if "case" in variable.dims]
    if sum(opened[name].nbytes for name in rows) <= _HELD_BYTES:
        with opened:
            return opened.load(), True
    held = [name for name in opened if name not in rows]
    dataset = opened.assign({name: opened[name].load() for name in held})
    dataset.set_close(opened.close)
    return dataset, False
