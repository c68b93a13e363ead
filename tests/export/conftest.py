"""Real images to export explanations of, and a validator of DICOM objects."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from napari_ifa.export import write_parametric_map, write_secondary_capture
from napari_ifa.reading import list_series, read_volume
from napari_ifa.volumes import Volume
from tests.places import COLOURING, PROVENANCE, map_of_places

#: What the validator says of the IODs, not of the objects, and why it is no fault.
EXPECTED_WARNINGS = {
    # highdicom's words of PS3.3 C.8.32.2; the validator's list is older.
    "Unrecognized defined term = <QUANTITY>",
    # It is unknown here whether the body part is one of a pair.
    "</Laterality(0020,0060)> - is only permitted to be empty when actually unknown",
    # Anonymised sources without an id, a study id, or with a name without carets.
    "would be needed to build DICOMDIR",
    "Retired Person Name form",
    # The place of a Secondary Capture: allowed in any object, though not in this IOD.
    "Attribute is not present in standard DICOM IOD",
}


@pytest.fixture(scope="session")
def faults() -> Callable[[Path], list[str]]:
    """Errors, and warnings that are not expected, that dciodvfy has about a file."""
    program = shutil.which("dciodvfy")
    if program is None:
        pytest.skip("no dciodvfy: install Debian's dicom3tools")

    def check(path: Path) -> list[str]:
        done = subprocess.run([program, "-new", str(path)], capture_output=True, text=True)
        lines = done.stderr.splitlines()
        assert any("SCImage" in line or "ParametricMap" in line for line in lines)
        return [
            line
            for line in lines
            if line.startswith("Error")
            or (line.startswith("Warning") and not any(w in line for w in EXPECTED_WARNINGS))
        ]

    return check


@pytest.fixture(scope="session")
def real_volume(shared_data: Path, mr_sagittal_oblique: Path) -> Callable[[str], Volume]:
    """A real image by name, opened when it is first asked for."""
    dicom = shared_data / "dicom"
    folders = {
        "ct_head": dicom / "ct_head",
        "mr_sagittal_oblique": mr_sagittal_oblique,
        "ct_body_no_uids": dicom / "ct_body_j2k_no_uids",
        "mr_enhanced_philips": dicom / "mr_enhanced_multiframe/Philips",
        "mr_enhanced_siemens": dicom / "mr_enhanced_multiframe/Siemens/XA10",
        "mr_mosaic": dicom / "mr_mosaic_sagittal",
        "ct_tilted": dicom / "ct_head_gantry_tilt_gaps",
    }
    opened: dict[str, Volume] = {}

    def named(name: str) -> Volume:
        if name not in opened:
            series = list_series(folders[name])[0]
            opened[name] = read_volume(folders[name], series.key)
        return opened[name]

    return named


@pytest.fixture(scope="session")
def parametric_map(
    real_volume: Callable[[str], Volume], tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., Path]:
    """The Parametric Map of a real image's map of places, in floats or in integers."""
    written: dict[tuple[str, bool], Path] = {}
    folder = tmp_path_factory.mktemp("maps")

    def write(name: str, compressed: bool = False) -> Path:
        if (name, compressed) not in written:
            written[name, compressed] = write_parametric_map(
                map_of_places(real_volume(name)),
                PROVENANCE,
                folder / f"{name}_{compressed}.dcm",
                compressed=compressed,
            )
        return written[name, compressed]

    return write


@pytest.fixture(scope="session")
def secondary_capture(
    real_volume: Callable[[str], Volume], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], list[Path]]:
    """The pictures of a real image's map of places, which hide the image where it has values."""
    written: dict[str, list[Path]] = {}
    folder = tmp_path_factory.mktemp("pictures")

    def write(name: str) -> list[Path]:
        if name not in written:
            image = real_volume(name)
            written[name] = write_secondary_capture(
                image, map_of_places(image), PROVENANCE, COLOURING, folder / name, opacity=1
            )
        return written[name]

    return write
