"""Every file that nibabel ships: opened as nibabel itself sees it, or refused with its sentence."""

from __future__ import annotations

import shutil
import tracemalloc
import warnings
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from scipy.ndimage import map_coordinates

from napari_ifa.errors import UnsupportedStudyError
from napari_ifa.reading import Series, list_series
from napari_ifa.reading.nifti import is_nibabel_file, nifti_series, read_nifti
from napari_ifa.reading.nifti.problems import NiftiNote, NiftiProblem
from napari_ifa.volumes import Volume
from tests.refusals import refused

DATA = Path(nibabel.__file__).parent / "tests" / "data"
#: Number of images, shape and spacing (I, P, L).
OPENED = {
    "anatomical.nii": (1, (25, 41, 33), (2, 2, 2)),
    "example4d+orig.BRIK.gz": (3, (25, 41, 33), (3, 3, 3)),
    "example4d+orig.HEAD": (3, (25, 41, 33), (3, 3, 3)),
    "example4d.nii.gz": (2, (24, 96, 128), (2.2, 2, 2)),
    "example_nifti2.nii.gz": (2, (12, 20, 32), (2.2, 2, 2)),
    "functional.nii": (20, (3, 21, 17), (8, 4, 4)),
    "minc1-no-att.mnc": (1, (10, 20, 20), (1, 1, 1)),
    "minc1_1_scale.mnc": (1, (10, 20, 20), (2, 2, 2)),
    "minc1_4d.mnc": (2, (10, 20, 20), (2, 2, 2)),
    "minc2-4d-d.mnc": (5, (16, 16, 16), (1, 1, 1)),
    "minc2-no-att.mnc": (1, (10, 20, 20), (1, 1, 1)),
    "minc2_1_scale.mnc": (1, (10, 20, 20), (2, 2, 2)),
    "minc2_4d.mnc": (2, (10, 20, 20), (2, 2, 2)),
    "minc2_baddim.mnc": (1, (10, 10, 10), (0.035, 0.035, 0.035)),
    "phantom_EPI_asc_CLEAR_2_1.PAR": (3, (9, 64, 64), (8, 3.75, 3.75)),
    "phantom_EPI_asc_CLEAR_2_1.REC": (3, (9, 64, 64), (8, 3.75, 3.75)),
    "phantom_truncated.PAR": (3, (9, 64, 64), (8, 3.75, 3.75)),
    "phantom_truncated.REC": (3, (9, 64, 64), (8, 3.75, 3.75)),
    "phantom_varscale.PAR": (3, (9, 64, 64), (8, 3.75, 3.75)),
    "phantom_varscale.REC": (3, (9, 64, 64), (8, 3.75, 3.75)),
    "reoriented_anat_moved.nii": (1, (22, 26, 21), (4, 4, 4)),
    "resampled_anat_moved.nii": (1, (3, 21, 17), (8, 4, 4)),
    "scaled+tlrc.BRIK": (1, (43, 54, 47), (3, 3, 3)),
    "scaled+tlrc.HEAD": (1, (43, 54, 47), (3, 3, 3)),
    "small.mnc": (1, (18, 28, 29), (9, 8, 7)),
    "standard.nii.gz": (1, (7, 5, 4), (2, 3, 1)),
    "tiny.mnc": (1, (10, 20, 20), (2, 2, 2)),
}
#: Axes of (1, 2, 3), (2, 3, 1), (3, 1, 2) mm, far from right angles. √14, √65/√14 … by hand.
SHEARED = {"test.mgz": (2, (9, 6, 5), (3.7417, 2.3146, 2.0785))}
#: Headers that nibabel ships without their data files.
WITHOUT_DATA = {
    ".REC": [
        "ADC_Map", "ASL_3D_Multiecho", "DTI", "DTIv40", "R11_T2W_TSE", "T1",
        "T1_3echo_mag_real_imag_phase", "T1_dual_echo", "T2", "T2-interleaved", "T2_",
        "T2_-interleaved", "fieldmap", "phantom_fake_dualTR", "phantom_fake_v4",
        "phantom_fake_v4_1", "umass_anonymized", "variant_v4_2_header",
        "Phantom_EPI_3mm_cor_20APtrans_15RLrot_SENSE_15_1", "Phantom_EPI_3mm_cor_SENSE_8_1",
        "Phantom_EPI_3mm_sag_15AP_SENSE_13_1", "Phantom_EPI_3mm_sag_15FH_SENSE_12_1",
        "Phantom_EPI_3mm_sag_15RL_SENSE_11_1", "Phantom_EPI_3mm_sag_SENSE_7_1",
        "Phantom_EPI_3mm_tra_-30AP_10RL_20FH_SENSE_14_1", "Phantom_EPI_3mm_tra_15FH_SENSE_9_1",
        "Phantom_EPI_3mm_tra_15RL_SENSE_10_1", "Phantom_EPI_3mm_tra_SENSE_6_1",
    ],
    ".img": ["analyze", "nifti1", "nifti2"],
}  # fmt: skip
SUFFIX_OF_HEADER = {".REC": ".PAR", ".img": ".hdr"}
REFUSED = {
    "NA.PAR": NiftiProblem.NO_PARTNER,
    "bad_attribute+orig.HEAD": NiftiProblem.HEADER_DAMAGED,
    "bad_datatype+orig.HEAD": NiftiProblem.HEADER_DAMAGED,
    "row_major.dconn.nii": NiftiProblem.CIFTI,
} | {
    f"{stem}{SUFFIX_OF_HEADER[data]}": NiftiProblem.NO_PARTNER
    for data, stems in WITHOUT_DATA.items()
    for stem in stems
}
#: Fibre tracks, scanner files that nibabel cannot open, scripts and texts.
NO_IMAGES = [".trk", ".tck", ".v", ".m", ".py", ".rst", ".gitignore"]
PHILIPS = (".PAR", ".REC")
#: Bytes that opening takes beside the image.
SMALL = 2**21


def as_nibabel_sees(path: Path) -> list[tuple[np.ndarray, np.ndarray]]:
    """Each image on (I, P, L) axes and its index → LPS affine, worked out with nibabel alone."""
    options = {"permit_truncated": True, "strict_sort": True} if path.suffix in PHILIPS else {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        image = nibabel.load(path, **options)
        data = image.get_fdata()
    if path.suffix == ".mnc" and data.ndim == 4:
        data = np.moveaxis(data, 0, -1)
    data = data.reshape(*data.shape[:3], -1)
    found = []
    for k in range(data.shape[3]):
        ras = nibabel.as_closest_canonical(nibabel.Nifti1Image(data[..., k], image.affine))
        array = np.asarray(ras.dataobj).transpose(2, 1, 0)[::-1, ::-1, ::-1]
        # Index (i, p, l) from the top, front and right → RAS index (L-1-l, P-1-p, I-1-i).
        size_i, size_p, size_l = array.shape
        to_ras = np.array(
            [
                [0, 0, -1, size_l - 1],
                [0, -1, 0, size_p - 1],
                [-1, 0, 0, size_i - 1],
                [0, 0, 0, 1],
            ]
        )
        found.append((array, np.diag([-1, -1, 1, 1]) @ ras.affine @ to_ras))
    return found


def opened(path: Path) -> list[Volume]:
    listed = nifti_series(path, path.parent)
    assert [s.volume_index for s in listed] == list(range(len(listed)))
    volumes = [read_nifti(series) for series in listed]
    for series, volume in zip(listed, volumes, strict=True):
        assert series.unsupported is None
        assert (series.shape, series.spacing) == (volume.shape, volume.spacing)
        assert series.orientation == volume.plane
        assert series.notes == volume.report.notes
    return volumes


def test_no_file_is_forgotten() -> None:
    names = {path.name for path in DATA.iterdir() if path.is_file()}
    others = {name for name in names if any(name.endswith(suffix) for suffix in NO_IMAGES)}
    dicom = {"0.dcm", "1.dcm"}
    assert names - others - dicom == OPENED.keys() | SHEARED.keys() | REFUSED.keys()
    assert not any(is_nibabel_file(DATA / name) for name in others | dicom)


@pytest.mark.parametrize("name", ["0.dcm", "1.dcm"])
def test_mosaics_without_their_private_header_are_refused(name: str) -> None:
    assert "mosaic without its private header" in str(refused(DATA / name))


@pytest.mark.parametrize("name", ["standard.trk", "standard.tck", "tinypet.v"])
def test_file_without_an_image_is_one_sentence(name: str) -> None:
    with pytest.raises(UnsupportedStudyError) as caught:
        list_series(DATA / name)
    assert str(caught.value).startswith(f"{name}: neither a DICOM, NIfTI, ")


def test_folder_of_all_files_lists_each_image_once() -> None:
    listed = [series for series in list_series(DATA) if series.kind == "nifti"]
    assert len({series.key for series in listed}) == len(listed)
    # A data file is its header's series.
    opened_once = {name for name in OPENED if not name.endswith((".BRIK", ".BRIK.gz", ".REC"))}
    images = sum((OPENED | SHEARED)[name][0] for name in opened_once | SHEARED.keys())
    assert sum(series.unsupported is None for series in listed) == images
    kinds = {series.path.name: series.unsupported.kind for series in listed if series.unsupported}
    assert kinds == REFUSED


@pytest.mark.parametrize("name", sorted(OPENED))
def test_opens_as_nibabel_sees_it(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    count, shape, spacing = OPENED[name]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        volumes = opened(DATA / name)
    assert capfd.readouterr() == ("", "")
    expected = as_nibabel_sees(DATA / name)
    assert len(volumes) == len(expected) == count
    for volume, (array, affine) in zip(volumes, expected, strict=True):
        assert volume.shape == shape
        np.testing.assert_allclose(volume.spacing, spacing, atol=1e-3)
        np.testing.assert_allclose(volume.affine, affine, atol=1e-4)
        np.testing.assert_allclose(volume.array, array, rtol=1e-6, atol=1e-6 * np.nanmax(array))
        assert not volume.report.resampled
        assert not volume.report.unverified


@pytest.mark.parametrize("name", sorted(SHEARED))
def test_sheared_image_has_its_values_at_the_same_places(name: str) -> None:
    count, shape, spacing = SHEARED[name]
    image = nibabel.load(DATA / name)
    data = image.get_fdata()
    volumes = opened(DATA / name)
    assert len(volumes) == count
    for k, volume in enumerate(volumes):
        assert volume.report.sheared
        assert sorted(volume.shape) == sorted(shape)
        np.testing.assert_allclose(sorted(volume.spacing), sorted(spacing), atol=1e-3)
        matrix = volume.affine[:3, :3] / volume.spacing
        np.testing.assert_allclose(matrix.T @ matrix, np.eye(3), atol=1e-6)
        index = np.indices(volume.shape).reshape(3, -1)
        lps = volume.affine[:3, :3] @ index + volume.affine[:3, 3:]
        ras = np.diag([-1, -1, 1]) @ lps
        to_source = np.linalg.inv(image.affine)
        at = to_source[:3, :3] @ ras + to_source[:3, 3:]
        at = np.where(np.abs(at - np.rint(at)) < 1e-4, np.rint(at), at)
        source = data[..., k]
        expected = map_coordinates(source, at, order=1, cval=np.float32(source.min()))
        np.testing.assert_allclose(volume.array.ravel(), expected, atol=1e-4)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", sorted(REFUSED))
def test_refused_for_its_reason(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert refused(DATA / name).kind is REFUSED[name]
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("stem", sorted({*WITHOUT_DATA[".REC"]} - {"T1_dual_echo"}))
def test_philips_header_with_slices_that_count_themselves(tmp_path: Path, stem: str) -> None:
    path = tmp_path / f"{stem}.PAR"
    shutil.copy(DATA / path.name, path)
    _, lines = parsed(path)
    pixels = int(np.prod(lines["recon resolution"][0]))
    # The n-th slice of the file holds n.
    slices = np.repeat(np.arange(len(lines), dtype="<u2"), pixels)
    wide = lines["image pixel size"][0] == 16
    (tmp_path / f"{stem}.REC").write_bytes((slices if wide else slices.astype("u1")).tobytes())
    volumes = opened(path)
    for volume, (array, affine) in zip(volumes, as_nibabel_sees(path), strict=True):
        np.testing.assert_allclose(volume.affine, affine, atol=1e-4)
        np.testing.assert_allclose(volume.array, array, rtol=1e-6, atol=1e-4)


def parsed(path: Path) -> Any:
    with path.open(encoding="latin-1") as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return nibabel.parrec.parse_PAR_header(file)


@pytest.mark.parametrize("stem", WITHOUT_DATA[".img"])
def test_header_with_made_voxels(tmp_path: Path, stem: str) -> None:
    path = tmp_path / f"{stem}.hdr"
    shutil.copy(DATA / path.name, path)
    voxels = np.random.default_rng(0).integers(0, 255, 91 * 109 * 91)
    seen = nibabel.load(path).dataobj
    # One of these headers has its voxels begin at byte 544.
    (tmp_path / f"{stem}.img").write_bytes(bytes(seen.offset) + voxels.astype(seen.dtype).tobytes())
    (volume,) = opened(path)
    ((array, affine),) = as_nibabel_sees(path)
    np.testing.assert_allclose(volume.affine, affine, atol=1e-4)
    np.testing.assert_allclose(volume.array, array, rtol=1e-6)
    assert volume.report.unverified == (stem == "analyze")


def test_names_tell_apart_the_images_of_a_philips_recording(tmp_path: Path) -> None:
    stem = "T1_3echo_mag_real_imag_phase"
    shutil.copy(DATA / f"{stem}.PAR", tmp_path)
    (tmp_path / f"{stem}.REC").write_bytes(bytes(80 * 80 * 360 * 2))
    parts = [series.part for series in list_series(tmp_path)]
    assert len(parts) == 12
    assert len(set(parts)) == 12
    # Of nibabel: 0 for magnitude, 3 for phase.
    assert parts[0] == "image 1 of 12, echo number 1, image_type_mr 0"
    assert parts[11] == "image 12 of 12, echo number 3, image_type_mr 3"


@pytest.mark.parametrize("name", ["phantom_truncated.PAR", "scaled+tlrc.HEAD", "tiny.mnc"])
def test_relatives_say_that_their_orientation_is_not_checked(name: str) -> None:
    assert read_nifti(Series("0", DATA / name, "nifti")).report.kinds == (NiftiNote.AS_STATED,)


def test_slice_that_is_missing_from_a_recording_is_not_filled_from_another(tmp_path: Path) -> None:
    stem = "phantom_EPI_asc_CLEAR_2_1"
    text = (DATA / f"{stem}.PAR").read_text(encoding="latin-1").splitlines(keepends=True)
    lines = [k for k, line in enumerate(text) if line.split()[:1] and line.split()[0].isdigit()]
    # Without the first slice of the second time and all but the first slice of the third.
    for k in sorted([lines[9], *lines[19:]], reverse=True):
        del text[k]
    (tmp_path / f"{stem}.PAR").write_text("".join(text), encoding="latin-1")
    shutil.copy(DATA / f"{stem}.REC", tmp_path)
    assert refused(tmp_path / f"{stem}.PAR").kind is NiftiProblem.HEADER_DAMAGED


@pytest.mark.parametrize("name", sorted({*OPENED, *SHEARED} - {"example4d+orig.HEAD"}))
def test_opening_takes_little_more_memory_than_the_image(name: str) -> None:
    # Imports are not counted.
    series = Series("0", DATA / name, "nifti")
    decoded = read_nifti(series).array.nbytes
    tracemalloc.start()
    try:
        nifti_series(DATA / name, DATA)
        read_nifti(series)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak <= 4 * decoded + SMALL
