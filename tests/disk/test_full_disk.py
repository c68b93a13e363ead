"""A disk without room: one sentence that tells how much is free, and everything as it was."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from napari_ifa.analysis import analyze
from napari_ifa.cohorts import read_cohort
from napari_ifa.errors import IfaError
from napari_ifa.evaluation.section import Section
from napari_ifa.export import write_nifti
from napari_ifa.export.html_report import write_report
from napari_ifa.export.tables import write_sections, write_table
from napari_ifa.reading import read_volume
from tests.tiny import tiny_classifier, write_cohort

if sys.platform == "win32":
    pytest.skip("limits and mounts are other things there", allow_module_level=True)

FREE = re.compile(
    r"\((No space left on device|File too large): ([\d.,]+ .iB needed, )?[\d.,]+ .iB free\)"
)


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Callable[[], None]]:
    """A folder ``out`` on a disk of 1 MiB, which the call fills up; or files of 4 KiB at most.

    Only root may mount; elsewhere the system's limit of a file's size stands in.
    """
    out = tmp_path / "out"
    out.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1M", "tmpfs", str(out)]
    mounted = os.getuid() == 0 and not subprocess.run(mount, capture_output=True).returncode
    import resource

    before = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill() -> None:
        if not mounted:
            resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
            return
        with (out / "filler").open("wb", buffering=0) as stream, suppress(OSError):
            while True:
                stream.write(bytes(4096))
        os.truncate(out / "filler", (out / "filler").stat().st_size - 8192)

    yield fill
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    if mounted:
        subprocess.run(["umount", str(out)], check=True)


def _analysis(folder: Path, scale: float):
    rng = np.random.default_rng(1)
    cases = [((scale * rng.normal(size=8)).tolist(), n % 2) for n in range(4)]
    (folder / "cohort").mkdir(exist_ok=True)
    return analyze(tiny_classifier(), read_cohort(write_cohort(folder / "cohort", cases)))


def save_analysis(folder: Path, scale: float) -> Callable[[], None]:
    analysis = _analysis(folder, scale)
    return lambda: analysis.save(folder / "out" / "a.nc", overwrite=True)


def save_nifti(folder: Path, scale: float) -> Callable[[], None]:
    import nibabel

    rng = np.random.default_rng(int(scale))
    array = rng.normal(size=(30, 30, 30)).astype(np.float32)
    nibabel.save(nibabel.Nifti1Image(array, np.eye(4)), folder / "in.nii")
    volume = read_volume(folder / "in.nii")
    return lambda: write_nifti(volume, folder / "out" / "map.nii", overwrite=True) and None


def save_tables(folder: Path, scale: float) -> Callable[[], None]:
    rows = [{"case": n, "value": scale * n} for n in range(2000)]
    return lambda: write_table(rows, folder / "out" / "t", overwrite=True) and None


def save_sections(folder: Path, scale: float) -> Callable[[], None]:
    rows = tuple({"case": n, "value": scale * n} for n in range(2000))
    sections = [Section("one", "One", "It is.", "None.", rows, {})]
    return lambda: write_sections(sections, folder / "out" / "s", overwrite=True) and None


def save_page(folder: Path, scale: float) -> Callable[[], None]:
    analysis = _analysis(folder, scale)
    return lambda: write_report(folder / "out" / "p.html", analysis, overwrite=True) and None


def files(folder: Path) -> dict[str, bytes]:
    found = (path for path in folder.rglob("*") if path.is_file() and path.name != "filler")
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


@pytest.mark.parametrize(
    "prepare", [save_analysis, save_nifti, save_tables, save_sections, save_page]
)
def test_the_old_result_is_whole_and_nothing_half_written_left(
    prepare: Callable, small: Callable[[], None], tmp_path: Path
) -> None:
    prepare(tmp_path, 1.0)()
    before = files(tmp_path / "out")
    assert before
    write = prepare(tmp_path, 2.0)
    small()

    with pytest.raises(IfaError) as caught:
        write()

    assert FREE.search(str(caught.value)), str(caught.value)
    assert str(caught.value).count("\n") == 0
    assert files(tmp_path / "out") == before
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]
    assert not [path for path in (tmp_path / "out").iterdir() if path.name.startswith(".")]


def test_an_analysis_that_does_not_fit_is_made_again_from_its_parts(
    small: Callable[[], None], tmp_path: Path
) -> None:
    rng = np.random.default_rng(1)
    cases = [(rng.normal(size=8).tolist(), n % 2) for n in range(4)]
    (tmp_path / "cohort").mkdir()
    cohort = read_cohort(write_cohort(tmp_path / "cohort", cases))
    parts = tmp_path / "out" / "a.nc.parts"
    analyze(tiny_classifier(), cohort, shard_size=2, resume_dir=parts)
    kept = files(parts)
    (parts / "shard_000001.npz").unlink()
    small()

    with pytest.raises(IfaError, match="free") as caught:
        analyze(tiny_classifier(), cohort, shard_size=2, resume_dir=parts)

    assert "resume" in str(caught.value)
    assert files(parts) == {name: kept[name] for name in ("plan.json", "shard_000000.npz")}
