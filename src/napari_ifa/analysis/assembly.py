"""The analysis file from finished shards, one shard in memory at a time."""

from __future__ import annotations

import math
import platform
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_ifa.analysis.cohort_scale import CASE_PERCENTAGES
from napari_ifa.analysis.fine_counts import fine_arrays
from napari_ifa.analysis.fit.reference import FitReference, fitted
from napari_ifa.analysis.fit.statistics import CaseStatistics
from napari_ifa.analysis.fit.stored import DISTANCE, HEADER, variables_of
from napari_ifa.analysis.formulas import FORMULA, formula_of
from napari_ifa.analysis.opening import load_analysis
from napari_ifa.analysis.problems import AnalysisProblem
from napari_ifa.analysis.shard import (
    Counted,
    Sums,
    load_counted,
    load_measured,
    load_rows,
)
from napari_ifa.analysis.shard_folder import ShardFolder
from napari_ifa.analysis.store import HDF5_BYTES
from napari_ifa.analysis.variables import (
    COMPARED,
    COMPRESSION,
    COORDINATES,
    FINE,
    FORMAT_VERSION,
    RUNS,
    VARIABLES,
    described,
    description,
    dimensions,
    write,
)
from napari_ifa.cohorts.cohort import Cohort
from napari_ifa.cohorts.skipped import SkippedCase, none_usable
from napari_ifa.cohorts.truth import Truth
from napari_ifa.disk import check_room, reason_of, reasons_told
from napari_ifa.errors import AnalysisError, IfaError
from napari_ifa.models.classifier import Classifier
from napari_ifa.models.targets import LOGIT, Target, target_key

if TYPE_CHECKING:
    import h5netcdf

#: Rows that are compressed, and later read, together.
_CHUNK_BYTES = 2**20
#: Rows that are written at once: a chunk that is added to is packed anew.
_BLOCK_BYTES = 2**26


def assemble(
    file: Path,
    folder: ShardFolder,
    numbers: Sequence[int],
    classifier: Classifier,
    cohort: Cohort,
    truth: Truth,
    method: str,
) -> None:
    """Write the analysis of the shards in ``folder`` to ``file``, in the order of ``numbers``.

    Raises
    ------
    CohortError
        No case was analysed.
    AnalysisError
        A shard is gone, or there is no space.
    """
    skipped: list[SkippedCase] = []
    known: list[tuple[NDArray[np.int64], NDArray[np.uint64], NDArray[np.uint64]]] = []

    counted: Counted | None = None
    for number in numbers:
        left_out, found = folder.kept(number, load_counted)
        skipped.extend(left_out)
        if found is not None:
            rows, own = found
            known.append((rows.position, rows.content, rows.group))
            counted = own if counted is None else counted.merged(own)
    if counted is None:
        raise none_usable(skipped)
    analysed, content, group = (np.concatenate(column) for column in zip(*known, strict=True))

    def measured() -> Iterator[CaseStatistics]:
        parts = (folder.kept(number, load_measured) for number in numbers)
        return (part for part in parts if part is not None)

    reference = fitted(measured, content, group)
    bins, summaries = _summary(list(counted.targets.values()))
    logit = counted.targets[LOGIT]
    dataset = described(
        {
            **summaries,
            "position_spread": counted.position.spread,
            "position_cases": counted.position.cases,
            "cases_all": np.int64(len(analysed)),
            "cases_true": logit.true.cases,
            "cases_correct": logit.correct.cases,
            **variables_of(reference),
        },
        {
            COMPARED: np.array(list(counted.targets), dtype=object),
            "class": np.array(classifier.class_names, dtype=object),
            "bin": bins,
        },
    ).assign_attrs(
        {
            **_provenance(classifier, cohort, method, list(counted.targets)),
            HEADER: reference.header.as_text(),
        }
    )
    skipped.sort(key=lambda case: case.position)
    needed = dataset.nbytes + folder.size(numbers) + HDF5_BYTES
    try:
        with reasons_told(file.parent, needed):
            check_room(file.parent, needed)
        write(file, dataset)
        _append_cases(file, folder, numbers, cohort, truth, analysed, skipped, reference)
    except OSError as error:
        raise AnalysisError(AnalysisProblem.NOT_ASSEMBLED, reason=reason_of(error)) from error


def _summary(targets: Sequence[Sums]) -> tuple[NDArray[np.int64], dict[str, Any]]:
    """The bins that any target has values in, and the variables of all targets, in their order."""
    rows = [_row(sums) for sums in targets]
    found: dict[str, Any] = {name: np.stack([row[name] for row in rows]) for name in rows[0]}
    voxels = [sums.distribution for sums in targets]
    bins = np.unique(np.concatenate([one.bins for one in voxels]))
    counts = np.zeros((len(voxels), len(voxels[0].counts), bins.size), np.int64)
    for own, one in zip(counts, voxels, strict=True):
        places = np.searchsorted(bins, one.bins)
        # Row by row, as in `Distribution.merged`.
        for row, number in zip(own, one.counts, strict=True):
            row[places] = number
    fine = [fine_arrays(one.fine or ()) for one in voxels]
    for name in FINE:
        joined = np.concatenate([one[name] for one in fine])
        found[name] = joined if name in RUNS else joined.reshape(len(fine), -1)
    return bins, found | {"voxel_count": counts}


def _row(sums: Sums) -> dict[str, NDArray[Any]]:
    """The variables of one target but those of its bins."""
    voxels = sums.distribution
    return {
        "importance_all": sums.all.mean,
        "importance_true": sums.true.mean,
        "importance_true_correct": sums.correct.mean,
        "variance_all": sums.all.variance,
        "variance_true": sums.true.variance,
        "frequency_all": sums.all.frequency,
        "frequency_true": sums.true.frequency,
        "voxel_minimum": voxels.minimum,
        "voxel_maximum": voxels.maximum,
        "voxel_mean": voxels.mean,
        "voxel_sum_of_squares": voxels.sum_of_squares,
        "voxel_not_finite": voxels.not_finite,
    }


def _append_cases(
    file: Path,
    folder: ShardFolder,
    numbers: Sequence[int],
    cohort: Cohort,
    truth: Truth,
    analysed: NDArray[np.int64],
    skipped: Sequence[SkippedCase],
    reference: FitReference,
) -> None:
    import h5netcdf

    with h5netcdf.File(file, "a") as opened:
        opened.dimensions["case"] = len(analysed)
        opened.dimensions["skipped"] = len(skipped)
        opened.dimensions["quantile"] = len(CASE_PERCENTAGES)
        opened.dimensions["statistic"] = reference.distances.shape[1]
        _append_texts(opened, "case", [cohort.cases[n].id for n in analysed])
        _append_texts(opened, "skipped", [case.id for case in skipped])
        _append_texts(opened, "skipped_reason", [case.reason for case in skipped], "skipped")
        start = 0
        for columns in _blocks(_columns(folder, numbers, truth)):
            stop = start + len(columns["label"])
            columns[DISTANCE] = reference.distances[start:stop]
            for name, column in columns.items():
                if start == 0:
                    _create(opened, name, column, len(analysed))
                before = (slice(None),) * dimensions(name, True).index("case")
                opened.variables[name][(*before, slice(start, stop))] = column
            start = stop


def _columns(
    folder: ShardFolder, numbers: Sequence[int], truth: Truth
) -> Iterator[dict[str, NDArray[Any]]]:
    """The columns of every shard's cases."""
    for number in numbers:
        found = folder.kept(number, load_rows)
        if found is not None:
            position = found.pop("position")
            # Without what was left out.
            kept = {name: column for name, column in found.items() if column.shape[-1]}
            yield {"label": truth.labels[position], "target": truth.targets[position], **kept}


def _blocks(parts: Iterator[dict[str, NDArray[Any]]]) -> Iterator[dict[str, NDArray[Any]]]:
    """The same rows, so many together that it pays to write them."""
    waiting: list[dict[str, NDArray[Any]]] = []
    size = 0
    for part in chain(parts, [None]):
        if waiting and (part is None or size >= _BLOCK_BYTES):
            places = {name: dimensions(name, True).index("case") for name in waiting[0]}
            yield {
                name: np.concatenate([one[name] for one in waiting], axis=place)
                for name, place in places.items()
            }
            waiting, size = [], 0
        if part is not None:
            waiting.append(part)
            size += sum(column.nbytes for column in part.values())


def _create(opened: h5netcdf.File, name: str, column: NDArray[Any], cases: int) -> None:
    found = dimensions(name, True)
    place = found.index("case")
    one = column.shape[place + 1 :]
    chunk = int(np.clip(_CHUNK_BYTES // max(1, column.itemsize * math.prod(one)), 1, cases))
    variable = opened.create_variable(
        name,
        found,
        column.dtype,
        chunks=(*(1,) * place, chunk, *one),
        compression="gzip",
        compression_opts=COMPRESSION,
        shuffle=True,
    )
    variable.attrs.update(description(name))


def _append_texts(
    opened: h5netcdf.File, name: str, texts: Sequence[str], dimension: str | None = None
) -> None:
    import h5py

    variable = opened.create_variable(name, (dimension or name,), h5py.string_dtype())
    variable.attrs.update(
        description(name) if name in VARIABLES else {"long_name": COORDINATES[name]}
    )
    if texts:
        variable[:] = np.array([_storable(text) for text in texts], dtype=object)


def _storable(text: str) -> str:
    """The text as HDF5 can hold it: a name of a file may be no text, or hold a null."""
    return text.encode("utf-8", "replace").decode().replace("\0", "\N{REPLACEMENT CHARACTER}")


def _provenance(
    classifier: Classifier, cohort: Cohort, method: str, targets: Sequence[str]
) -> dict[str, Any]:
    from napari_ifa.analysis.identity import identity_attributes

    packages = ("napari-ifa", "torch", "monai", "numpy", "xarray")
    libraries = [f"{name} {version(name)}" for name in packages]
    return {
        "title": "integrated feature analysis",
        "source": "napari-ifa; method: Li et al., arXiv 2407.01142",
        "format_version": FORMAT_VERSION,
        "method": method,
        "targets": ", ".join(targets),
        FORMULA: formula_of(method),
        "model_name": classifier.name,
        "output_activation": classifier.output_activation,
        **identity_attributes(classifier),
        "cohort_name": _storable(cohort.name),
        "cohort_split": _storable(cohort.split or ""),
        "cohort_sha256": cohort.manifest_sha256(),
        "notes": "\n".join(_storable(" ".join(note.split())) for note in cohort.notes),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": ", ".join([f"python {platform.python_version()}", *libraries]),
    }


def is_same_work(
    file: Path,
    classifier: Classifier,
    cohort: Cohort,
    method: str,
    profiles: str,
    targets: Sequence[Target] | None = None,
) -> bool:
    """Whether an analysis file is of the same model, cohort and options, and so the same result."""
    try:
        analysis = load_analysis(file)
    except IfaError:
        return False
    wanted = [target_key(t) for t in classifier.wanted_targets(targets)]
    kept = analysis.dataset.variables.get("contribution")
    type_of_profiles = "none" if kept is None else str(kept.dtype)
    before = analysis.dataset.attrs
    now = _provenance(classifier, cohort, method, wanted)
    analysis.dataset.close()
    return type_of_profiles == profiles and all(
        str(before.get(key)) == str(value) for key, value in now.items() if key != "created"
    )
