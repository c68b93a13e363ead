"""A damaged analysis is one sentence, and nothing else: no traceback, no word of a library."""

from __future__ import annotations

import gc
import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from tiny import tiny_classifier, write_cohort

from napari_ifa.analysis import analyze, load_analysis, read_cohort
from napari_ifa.errors import AnalysisError

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


@pytest.fixture(autouse=True)
def _quick_collections() -> Iterator[None]:
    """What was there before is not looked through after every file."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


def refused(path: Path, capfd: pytest.CaptureFixture[str]) -> str:
    """The sentence; that nothing else was said is asserted."""
    reason = ""
    try:
        load_analysis(path).dataset.close()
    except AnalysisError as error:
        reason = str(error)
        del error
    gc.collect()
    assert "\n" not in reason
    assert capfd.readouterr() == ("", "")
    return reason


def test_the_shared_damaged_analysis_is_one_sentence(
    shared_cases: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert "is damaged" in refused(shared_cases / "damaged_9.nc", capfd)


def test_whatever_is_changed_in_a_file_is_one_sentence_at_most(
    whole: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    content, dice, reasons = whole.read_bytes(), random.Random(3), []
    for number in range(COUNT):
        path = tmp_path / f"{number}.nc"
        path.write_bytes(dice.choice(DAMAGES)(bytearray(content), dice))
        reasons.append(refused(path, capfd))
        path.unlink()
    assert sum(map(bool, reasons)) > COUNT / 4


def _flipped(content: bytearray, dice: random.Random) -> bytes:
    for _ in range(dice.choice([1, 5, 50])):
        content[dice.randrange(len(content))] ^= 1 << dice.randrange(8)
    return bytes(content)


def _overwritten(content: bytearray, dice: random.Random) -> bytes:
    start, length = dice.randrange(len(content)), dice.choice([1, 8, 64, 1000])
    stop = min(len(content), start + length)
    content[start:stop] = bytes(
        dice.choice([0, 255, dice.randrange(256)]) for _ in range(start, stop)
    )
    return bytes(content)


def _cut(content: bytearray, dice: random.Random) -> bytes:
    return bytes(content[: dice.randrange(len(content))])


def _moved(content: bytearray, dice: random.Random) -> bytes:
    start = dice.randrange(len(content))
    return bytes(content[:start] + content[start + dice.choice([1, 8, 512]) :])


DAMAGES: list[Callable[[bytearray, random.Random], bytes]] = [_flipped, _overwritten, _cut, _moved]


@pytest.mark.parametrize(
    "content", [b"", b"text", b"CDF\x01" + b"\0" * 60, b"PK\x03\x04" + b"x" * 90]
)
def test_what_is_no_analysis_is_one_sentence(
    content: bytes, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.nc").write_bytes(content)
    assert "a.nc is damaged or is no analysis file" in refused(tmp_path / "a.nc", capfd)


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
    ],
)
def test_values_that_no_cohort_has_are_refused_by_name(
    name: str, value: float, whole: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with xr.open_dataset(whole, engine="h5netcdf") as opened:
        dataset = opened.load()
    dataset[name].values.flat[0] = value
    dataset.to_netcdf(tmp_path / "a.nc", engine="h5netcdf")

    assert f"lacks a right '{name}'" in refused(tmp_path / "a.nc", capfd)


def test_a_file_that_claims_more_than_it_can_hold_is_refused(
    whole: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    import h5py

    path = tmp_path / "a.nc"
    path.write_bytes(whole.read_bytes())
    with h5py.File(path, "a") as file:
        file.create_dataset("more", shape=(10**6, 10**6), dtype="f8", chunks=(1000, 1000))

    assert "is damaged" in refused(path, capfd)
