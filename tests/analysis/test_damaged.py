"""A damaged analysis is one sentence, and nothing else: no traceback, no word of a library."""

from __future__ import annotations

import gc
import os
import random
import tracemalloc
from collections.abc import Callable, Iterator
from enum import Enum
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import xarray as xr

from napari_ifa.analysis import analyze, load_analysis
from napari_ifa.analysis.problems import AnalysisProblem
from napari_ifa.cohorts import read_cohort
from napari_ifa.errors import AnalysisError
from tests.hostile.analyses import BYTES, write_analysis
from tests.tiny import tiny_classifier, write_cohort

#: More are tried with NAPARI_IFA_DAMAGED_ANALYSES=1000.
COUNT = int(os.environ.get("NAPARI_IFA_DAMAGED_ANALYSES", "30"))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small analysis of four cases."""
    folder = tmp_path_factory.mktemp("whole")
    dice = np.random.default_rng(0)
    cases = [(list(dice.normal(size=8)), number % 2) for number in range(4)]
    path = folder / "analysis.nc"
    analyze(tiny_classifier(), read_cohort(write_cohort(folder, cases))).save(path)
    return path


def _without_others(values: xr.DataArray) -> xr.DataArray:
    return values.where(values["compared_with"] != "others")


@pytest.fixture(autouse=True)
def _quick_collections() -> Iterator[None]:
    """What was there before is not looked through after every file."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


def refused(path: Path, capfd: pytest.CaptureFixture[str]) -> tuple[Enum | None, str]:
    """The kind of the error and what is wrong; that one sentence alone was said is asserted."""
    kind, sentence, what = None, "", ""
    try:
        load_analysis(path).dataset.close()
    except AnalysisError as error:
        kind, sentence, what = error.kind, str(error), error.facts.get("what", "")
        assert kind is not None
        del error
    gc.collect()
    assert "\n" not in sentence
    assert capfd.readouterr() == ("", "")
    return kind, what


def test_the_shared_damaged_analysis_is_one_sentence(
    shared_cases: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert refused(shared_cases / "damaged_9.nc", capfd)[0] is AnalysisProblem.DAMAGED


def test_whatever_is_changed_in_a_file_is_one_sentence_at_most(
    whole: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    content, dice, reasons = whole.read_bytes(), random.Random(3), []
    for number in range(COUNT):
        path = tmp_path / f"{number}.nc"
        path.write_bytes(dice.choice(BYTES)(bytearray(content), dice))
        reasons.append(refused(path, capfd)[0] is not None)
        path.unlink()
    assert sum(reasons) > COUNT / 4


def test_whatever_the_variables_of_a_file_are_it_is_one_sentence_at_most(
    whole: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Links, other types, claims, texts and numbers in place of those that there should be."""
    content, reasons = whole.read_bytes(), []
    for number in range(COUNT):
        path = tmp_path / f"{number}.nc"
        write_analysis(path, content, random.Random(number))
        reasons.append(refused(path, capfd)[0] is not None)
        path.unlink()
    assert sum(reasons) > COUNT / 2


def _linked(make: Callable[[Path], Any]) -> Callable[[Any, Path], None]:
    def change(file: Any, other: Path) -> None:
        del file["importance_all"]
        file["importance_all"] = make(other)

    return change


def _stored_elsewhere(file: Any, other: Path) -> None:
    shape = file["importance_all"].shape
    del file["importance_all"]
    size = int(np.prod(shape)) * 8
    file.create_dataset("importance_all", shape, "f8", external=[(str(other), 0, size)])


def _virtual(file: Any, other: Path) -> None:
    shape = file["importance_all"].shape
    del file["importance_all"]
    layout = h5py.VirtualLayout(shape, "f8")
    layout[...] = h5py.VirtualSource(str(other), "importance_all", shape)
    file.create_virtual_dataset("importance_all", layout)


@pytest.mark.parametrize(
    "change",
    [
        _linked(lambda other: h5py.SoftLink("/importance_all")),
        _linked(lambda other: h5py.SoftLink("/variance_all")),
        _linked(lambda other: h5py.ExternalLink(str(other), "/importance_all")),
        _stored_elsewhere,
        _virtual,
    ],
    ids=["round in a circle", "to another", "out of the file", "stored elsewhere", "virtual"],
)
def test_nothing_is_read_from_another_file(
    change: Callable[[Any, Path], None],
    whole: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """The other one holds what would fit."""
    path = tmp_path / "a.nc"
    path.write_bytes(whole.read_bytes())
    with h5py.File(path, "a") as file:
        change(file, whole)

    assert refused(path, capfd)[0] is AnalysisProblem.DAMAGED


def test_many_texts_at_one_place_of_the_file_fill_no_memory(
    whole: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """A thousand cases whose name is one text of 2 MB: 2 GB in a file of 2 MB."""
    path = tmp_path / "a.nc"
    path.write_bytes(whole.read_bytes())
    with h5py.File(path, "a") as file:
        del file["case"]
        names = file.create_dataset("case", (1000,), h5py.string_dtype(), chunks=(1000,))
        names[0] = "x" * 2_000_000
        offset = names.id.get_chunk_info(0).byte_offset
    content = bytearray(path.read_bytes())
    content[offset : offset + 16_000] = content[offset : offset + 16] * 1000
    path.write_bytes(content)

    tracemalloc.start()
    kind, _ = refused(path, capfd)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert kind is AnalysisProblem.DAMAGED
    assert peak < 2**28


@pytest.mark.parametrize(
    "content", [b"", b"text", b"CDF\x01" + b"\0" * 60, b"PK\x03\x04" + b"x" * 90]
)
def test_what_is_no_analysis_is_one_sentence(
    content: bytes, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.nc").write_bytes(content)
    assert refused(tmp_path / "a.nc", capfd)[0] is AnalysisProblem.DAMAGED


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("importance_all", np.nan),
        ("importance_all", np.inf),
        ("voxel_maximum", np.inf),
        ("voxel_minimum", -np.inf),
        ("voxel_minimum", 1e9),
        ("variance_all", -1.0),
        ("frequency_true", 1.5),
        ("cases_true", 400),
        ("cases_correct", 4),
        ("importance_true", np.nan),
        ("variance_true", -1e-9),
        ("frequency_true", np.nan),
        ("position_spread", -1.0),
        ("position_cases", 5),
        ("voxel_mean", 1e6),
        ("voxel_sum_of_squares", -1.0),
        ("cases_all", 5),
        ("logits", np.nan),
        ("activation_minimum", -1e9),
        ("activation_maximum", np.inf),
        ("contribution", np.inf),
    ],
)
def test_values_that_no_cohort_has_are_refused_by_name(
    name: str, value: float, whole: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with xr.open_dataset(whole, engine="h5netcdf") as opened:
        dataset = opened.load()
    dataset[name].values.flat[0] = value
    dataset.to_netcdf(tmp_path / "a.nc", engine="h5netcdf")

    found = refused(tmp_path / "a.nc", capfd)
    assert found == (AnalysisProblem.WRONG_CONTENT, name)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("class", lambda d: d.assign_coords({"class": ["none", "none"]})),
        ("class", lambda d: d.assign_coords({"class": [1, 2]})),
        ("cases_true", lambda d: d.assign(label=d["label"] * 0)),
        ("fine_count", lambda d: d.assign(voxel_count=d["voxel_count"] + 1)),
        ("feature", lambda d: d.isel(feature=[])),
        ("case", lambda d: d.isel(case=[])),
        ("compared_with", lambda d: d.assign_coords(compared_with=["logit", "class 2"])),
        ("compared_with", lambda d: d.assign_coords(compared_with=["logit", "logit"])),
        ("compared_with", lambda d: d.isel(compared_with=[1, 0])),
        ("importance_all", lambda d: d.assign(importance_all=d["importance_all"][0])),
        ("importance_all", lambda d: d.drop_vars("compared_with")),
        ("importance_all", lambda d: d.assign(importance_all=_without_others(d["importance_all"]))),
        ("fine_bins", lambda d: d.assign(fine_bins=d["fine_bins"] + [[0, 0], [0, 1]])),
        ("output_activation", lambda d: d.assign_attrs(output_activation="guess")),
        ("method", lambda d: d.assign_attrs(method=3)),
        ("notes", lambda d: d.assign_attrs(notes=np.zeros(3))),
        ("model_weights", lambda d: d.assign_attrs(model_weights=np.array([1.0, 2.0]))),
    ],
)
def test_texts_and_sizes_that_no_analysis_has_are_refused_by_name(
    name: str,
    change: Callable[[xr.Dataset], xr.Dataset],
    whole: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    with xr.open_dataset(whole, engine="h5netcdf") as opened:
        dataset = change(opened.load())
    dataset.to_netcdf(tmp_path / "a.nc", engine="h5netcdf")

    found = refused(tmp_path / "a.nc", capfd)
    assert found == (AnalysisProblem.WRONG_CONTENT, name)


def test_a_file_that_claims_more_than_it_can_hold_is_refused(
    whole: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "a.nc"
    path.write_bytes(whole.read_bytes())
    with h5py.File(path, "a") as file:
        file.create_dataset("more", shape=(10**6, 10**6), dtype="f8", chunks=(1000, 1000))

    assert refused(path, capfd)[0] is AnalysisProblem.DAMAGED
