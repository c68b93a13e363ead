"""An analysis file, opened and checked: refused in one sentence where it cannot be right."""

from __future__ import annotations

from collections.abc import Hashable
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
    COORDINATES,
    FORMAT_VERSION,
    OF_TARGET,
    OPTIONAL,
    VARIABLES,
)
from napari_ifa.analysis.whole import check_whole
from napari_ifa.errors import AnalysisError, AnalysisMismatchError
from napari_ifa.memory import free_memory, in_gib, memory_said
from napari_ifa.models.targets import LOGIT, TARGETS

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
    datasets, held = _opened(file)
    root = datasets.pop(LOGIT)
    try:
        analysis = Analysis(
            _checked(root, file.name), None if held else file, others=dict(sorted(datasets.items()))
        )
        for target, dataset in datasets.items():
            _check_group(analysis, target, dataset, file.name)
        return analysis
    except BaseException:
        for dataset in (root, *datasets.values()):
            dataset.close()
        raise


def _check_group(analysis: Analysis, target: str, dataset: xr.Dataset, name: str) -> None:
    """Refuse a group of another target that is none, or that does not fit the file's cases."""
    numbers = [f"class {c}" for c in range(len(analysis.class_names))]
    wrong = [] if target in (*TARGETS, *numbers) else [target]
    known = {v: VARIABLES[v][0] for v in OF_TARGET}
    wrong += [str(v) for v, one in dataset.items() if known.get(str(v)) != one.dims]
    root = analysis.dataset
    wrong += [v for v in OF_TARGET if (v in root) != (v in dataset)]
    wrong += [d for d in ("feature", "class", "case") if dataset.sizes.get(d) != root.sizes[d]]
    wrong = wrong or [*islice(contradictions(analysis.of_target(target).dataset), 1)]
    if wrong:
        raise AnalysisError(AnalysisProblem.WRONG_CONTENT, what=wrong[0], name=name)


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
    wrong = [
        variable
        for variable, (dimensions, _, _) in VARIABLES.items()
        if (variable not in dataset and variable not in OPTIONAL)
        or (variable in dataset and dataset[variable].dims != dimensions)
    ]
    needed = ("method", *(attribute_of(key) for key in IDENTITY if key not in LATER))
    wrong += [attribute for attribute in needed if attribute not in dataset.attrs]
    wrong += [coordinate for coordinate in COORDINATES if coordinate not in dataset.coords]
    wrong = wrong or [*islice(contradictions(dataset), 1)]
    if wrong:
        raise AnalysisError(AnalysisProblem.WRONG_CONTENT, what=wrong[0], name=name)
    if (why := older_formula(dataset.attrs)) is not None:
        raise AnalysisMismatchError(AnalysisProblem.OTHER_FORMULA, file=name, why=why)
    return dataset


def _opened(file: Path) -> tuple[dict[str, xr.Dataset], bool]:
    """The file's content by target, and whether all of it is in memory; large rows stay there."""
    import h5py

    with h5py.File(file, "r") as content:
        groups = [name for name, entry in content.items() if isinstance(entry, h5py.Group)]
    opened = {
        LOGIT if name is None else name: xr.open_dataset(
            file, engine="h5netcdf", group=name, cache=False
        )
        for name in (None, *groups)
    }
    variables = [v for one in opened.values() for v in one.variables.values()]
    needed = sum(v.nbytes for v in variables if "case" not in v.dims)
    if needed > (free := free_memory()):
        raise AnalysisError(
            AnalysisProblem.TOO_LARGE,
            bytes=needed,
            file=file.name,
            needed=in_gib(needed),
            free=in_gib(free),
        )
    if sum(v.nbytes for v in variables if "case" in v.dims) <= _HELD_BYTES:
        return {name: _loaded(one, list(one)) for name, one in opened.items()}, True
    held = {}
    for name, one in opened.items():
        held[name] = _loaded(one, [n for n, v in one.items() if "case" not in v.dims])
    return held, False


def _loaded(opened: xr.Dataset, names: list[Hashable]) -> xr.Dataset:
    """The dataset with these variables in memory; where all are, the file is closed."""
    if len(names) == len(opened):
        with opened:
            return opened.load()
    dataset = opened.assign({name: opened[name].load() for name in names})
    dataset.set_close(opened.close)
    return dataset
